"""The jobs as programs, each alone under spark-submit, on a standalone master with two workers."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark
import pytest

from feature_repo.windows import DAY_US
from online_api.redis_server import free_port
from spark_jobs.lake import day_bounds
from spark_jobs.toolchain import REPOSITORY, spark_environment
from tests.parity.streams import random_events

BIN = Path(pyspark.__file__).parent / "bin"
DAY = "2024-03-10"
START_LIMIT_S = 120
JOB_LIMIT_S = 240
# A JVM that lives for seconds does not earn back what it spends on optimising its code.
QUICK_START = "-XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@contextmanager
def daemon(name: str, arguments: list[str], environment: dict, log: Path) -> Iterator[None]:
    command = [BIN / "spark-class", f"org.apache.spark.deploy.{name}", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_for(text: str, log: Path, times: int = 1) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while log.read_text("utf-8", "replace").count(text) < times:
        assert time.monotonic() < deadline, f"no {text!r} in {log}: {log.read_text()[-2000:]}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    scratch = tmp_path_factory.mktemp("spark-scratch")
    given = {**os.environ, "TMPDIR": str(scratch), "SPARK_LOCAL_IP": "127.0.0.1"}
    for inherited in ("SPARK_LOCAL_DIRS", "SPARK_DAEMON_JAVA_OPTS", "SPARK_SUBMIT_OPTS"):
        given.pop(inherited, None)
    prepared = spark_environment(scratch, given)
    return {
        **given,
        **prepared,
        "SPARK_DAEMON_JAVA_OPTS": f"{prepared['SPARK_DAEMON_JAVA_OPTS']} {QUICK_START}",
        "SPARK_WORKER_DIR": str(scratch / "work"),
        "SPARK_LOG_DIR": str(scratch / "logs"),
        "SPARK_DAEMON_MEMORY": "256m",
        "INTENT_STATE": str(scratch / "state"),
    }


@pytest.fixture(scope="module")
def master(environment, tmp_path_factory) -> Iterator[str]:
    logs, port = tmp_path_factory.mktemp("spark-logs"), free_port()
    url, local = f"spark://127.0.0.1:{port}", ["--host", "127.0.0.1"]
    master_log = logs / "master"
    master_arguments = [*local, "--port", str(port), "--webui-port", "0"]
    worker_arguments = [*local, "--webui-port", "0", "-c", "1", "-m", "1g", url]
    with (
        daemon("master.Master", master_arguments, environment, master_log),
        daemon("worker.Worker", worker_arguments, environment, logs / "worker-1"),
        daemon("worker.Worker", worker_arguments, environment, logs / "worker-2"),
    ):
        wait_for("Registering worker", master_log, times=2)
        yield url


@pytest.fixture
def submit(master, environment):
    def run(job: str, *arguments: str) -> dict:
        command = [
            str(BIN / "spark-submit"),
            *("--master", master, "--deploy-mode", "client"),
            *("--executor-memory", "512m", "--driver-memory", "512m"),
            *("--driver-java-options", QUICK_START),
            *("--conf", f"spark.executor.extraJavaOptions={QUICK_START}"),
            *("--conf", "spark.sql.shuffle.partitions=2"),
            *("--conf", "spark.driver.host=127.0.0.1"),
            *("--conf", "spark.driver.bindAddress=127.0.0.1"),
            str(REPOSITORY / "spark_jobs" / "jobs" / f"{job}.py"),
            *arguments,
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=JOB_LIMIT_S)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def cleaned(submit, fill_lake):
    """The events, and the lake in which a job on the cluster has cleaned them."""
    start, end = day_bounds(DAY)
    events = random_events(51, 200, start, end - DAY_US // 8)
    lake = fill_lake(events)
    clean = submit("clean_events", "--lake", str(lake.root), "--day", DAY)
    assert clean["clean_events"]["rows"] == len(events)
    lake.publish("clean_events", DAY)
    return events, lake


@pytest.mark.slow
def test_a_job_runs_alone_on_a_cluster(cleaned):
    _, lake = cleaned
    assert lake.parts("clean_events") == [DAY]


@pytest.mark.long
def test_every_job_runs_alone_on_a_cluster(submit, cleaned, tmp_path):
    events, lake = cleaned
    of_day = ["--lake", str(lake.root), "--day", DAY]

    tiles = submit("day_tiles", *of_day)
    for table in ("user_day_tiles", "item_day_tiles", "session_day_tiles"):
        assert tiles[table]["rows"] > 0
        lake.publish(table, DAY)

    activity = submit("activity", *of_day, "--tail")
    instants = {(e.user_id, e.event_time) for e in events if e.personal}
    assert activity["user_activity"]["rows_by_part"][DAY] >= len(instants)
    assert activity["user_activity"]["rows_by_part"]["tail"] > 0

    labels = submit("training_labels", *of_day)
    assert labels["horizon"] == "session"
    assert 0 < labels["rows"] <= len(instants)

    serving = submit("serving_state", "--lake", str(lake.root))
    assert serving["user_tiles"]["rows"] == 3

    rows, out = tmp_path / "rows.csv", tmp_path / "out"
    rows.write_text(f"item_id,event_timestamp\ni1,{DAY} 12:00:00\n", "utf-8")
    arguments = ["--rows", str(rows), "--out", str(out), "--activity", "item"]
    submit("point_in_time", "--lake", str(lake.root), *arguments)
    assert list(out.glob("*.parquet"))
