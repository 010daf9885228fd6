"""What the batch jobs cost beside DuckDB: `make bench-batch`, with SIZES="1 3 10" ROUNDS=3.

Of each size (in millions of simulated events over 30 days; made once, kept in .cache/bench-batch) three jobs
run by turns with DuckDB on two threads, each a process of its own from start to end:

    incremental    the newest day's tiles, and the tables that are materialized from all tiles
    from_nothing   every day's tiles, and the same
    point_in_time  every window at a tenth of the events, of each activity

DuckDB computes the same windows from the same files, and what Spark made has to be equal. One JSON object on
standard output, a table on standard error.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
import psutil

from feature_repo.aggregates import Activity
from feature_repo.behavior import ACTIVITIES, WINDOWS
from feature_repo.tiles import Tile, window_values
from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.settings import Settings
from orchestration.importing import Import
from spark_jobs.jobs import clean_events
from spark_jobs.lake import CURRENT, Lake, day_bounds
from spark_jobs.session import build_session
from spark_jobs.simulation import simulate, users_for
from spark_jobs.toolchain import REPOSITORY
from tests.benchmarks.duckdb_windows import THREADS
from tests.benchmarks.figures import shown, spread
from tests.online_api.redis_process import redis_process

KEPT = REPOSITORY / ".cache" / "bench-batch"
DAYS, SEED = 30, 7
CLEANED_AT_ONCE = 5
POLL_S = 0.1


class Plan(NamedTuple):
    """`sizes` in events."""

    sizes: tuple[int, ...] = (1_000_000, 3_000_000, 10_000_000)
    rounds: int = 3

    @classmethod
    def from_environment(cls) -> "Plan":
        sizes = [float(x) for x in os.environ.get("SIZES", "1 3 10").split()]
        rounds = os.environ.get("ROUNDS") or cls._field_defaults["rounds"]
        return cls(tuple(round(x * 1_000_000) for x in sizes), int(rounds))


class Turn(NamedTuple):
    """`peak_mb` is of all processes of the turn together; `started_s`: until Spark was there; `shuffle_mb`:
    what Spark wrote for its shuffles."""

    seconds: float
    processor_s: float
    peak_mb: float
    started_s: float = 0.0
    shuffle_mb: float = 0.0


class Bench(NamedTuple):
    """A lake with clean events, and where results go. `as_of` is the end of the newest whole day."""

    lake: Lake
    scratch: Path
    events: int
    days: list[str]
    as_of: int

    @property
    def rows(self) -> Path:
        return self.scratch / "rows"


# -- what is measured -----------------------------------------------------------------------------


def prepared(events: int, folder: Path) -> Lake:
    """The lake of so many simulated events, with their clean events published."""
    lake = Lake(folder / "lake")
    if not (folder / "ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        simulate(users_for(events, DAYS), DAYS, SEED, folder)
        with redis_process(folder) as url:
            settings = Settings(state=folder, lake=lake.root, redis_url=url)
            ledger = BlockingLedger(BlockingRedis(url), settings)
            now = time.time_ns() // 1_000
            Import(lake, ledger, settings.door, now, settings.clock_max_jump_s).run(folder / "events.jsonl")
        clean(lake)
        (folder / "ready").touch()
    return lake


def clean(lake: Lake) -> None:
    spark = build_session("bench")
    days = list(lake.ledger_days())
    for first in range(0, len(days), CLEANED_AT_ONCE):
        some = days[first : first + CLEANED_AT_ONCE]
        for table in clean_events.run(spark, lake, some):
            for day in some:
                lake.publish(table, day)
    spark.stop()


def bench_of(lake: Lake, scratch: Path) -> Bench:
    """The last day of a simulation holds only the ends of its sessions."""
    days = lake.parts("clean_events")[:-1]
    files = [str(f) for day in days for f in lake.partition("clean_events", day).glob("*.parquet")]
    (events,) = duckdb.from_parquet(files).count("*").fetchone()
    bench = Bench(lake, scratch, events, days, day_bounds(days[-1])[1] - 1)
    bench.rows.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"COPY (SELECT user_id, item_id, category, event_time AS event_timestamp FROM read_parquet({files}) "
        f"WHERE hash(event_id) % 10 = 0) TO '{bench.rows}/rows.parquet' (FORMAT parquet)"
    )
    return bench


def spark_turn(bench: Bench, job: str, activity: Activity | None = None) -> Turn:
    conf = bench.scratch / "spark.conf"
    logs = bench.scratch / "spark-events"
    logs.mkdir(exist_ok=True)
    for log in logs.iterdir():
        log.unlink()
    conf.write_text(
        f"spark.eventLog.enabled true\nspark.eventLog.dir {logs.as_uri()}\n"
        "spark.eventLog.rolling.enabled false\nspark.eventLog.compress false\n"
    )
    lake = str(bench.lake.root)
    if job == "point_in_time":
        out = str(result(bench, "spark", job, activity))
        options = ["--lake", lake, "--conf", str(conf), "--rows", str(bench.rows), "--out", out]
        command = ["spark_jobs.jobs.point_in_time", *options, "--activity", activity.name]
    else:
        days = bench.days[-1:] if job == "incremental" else bench.days
        command = ["tests.benchmarks.batch_jobs", lake, str(conf), str(bench.as_of), *days]
    turn, said = timed(command)
    return turn._replace(
        shuffle_mb=sum(map(shuffled_mb, logs.iterdir())), started_s=said.get("started_s", 0.0)
    )


def duckdb_turn(bench: Bench, job: str, activity: Activity) -> Turn:
    task, given = ("point_in_time", bench.rows) if job == "point_in_time" else ("snapshot", bench.as_of)
    out = result(bench, "duckdb", job, activity)
    command = [
        "tests.benchmarks.duckdb_windows",
        task,
        str(bench.lake.root),
        activity.name,
        str(given),
        str(out),
    ]
    return timed(command)[0]


def result(bench: Bench, whose: str, job: str, activity: Activity) -> Path:
    job = job if job == "point_in_time" else "snapshot"
    return bench.scratch / f"{whose}-{job}-{activity.name}"


def timed(command: Sequence[str]) -> tuple[Turn, dict]:
    """A module run to its end, with what it printed."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE) as process:
        watch = Watch(process.pid)
        output = process.stdout.read()
        code = process.wait()
        seconds = time.perf_counter() - began
        watch.stop()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    last = output.strip().splitlines()[-1:] or [b"{}"]
    return Turn(seconds, watch.processor_s, watch.peak_mb), msgspec.json.decode(last[0])


class Watch:
    """The memory and processor time of a process and all that it starts, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._used_s: dict[int, float] = {}
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @property
    def processor_s(self) -> float:
        return sum(self._used_s.values())

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(POLL_S):
            resident = 0
            try:
                found = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in found:
                try:
                    times = process.cpu_times()
                    self._used_s[process.pid] = times.user + times.system
                    resident += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_mb = max(self.peak_mb, resident / 1e6)


def shuffled_mb(event_log: Path) -> float:
    written = 0
    with event_log.open("rb") as lines:
        for line in lines:
            if line.startswith(b'{"Event":"SparkListenerTaskEnd"'):
                metrics = json.loads(line).get("Task Metrics") or {}
                written += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
    return written / 1e6


# -- whether both say the same --------------------------------------------------------------------


def differing_rows(bench: Bench, activity: Activity) -> int:
    """Rows of the point-in-time results that one of the two has and the other has not."""
    spark, duck = (result(bench, who, "point_in_time", activity) for who in ("spark", "duckdb"))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    names = ", ".join(connection.sql(f"SELECT * FROM read_parquet('{duck}')").columns)
    sides = [f"SELECT {names} FROM read_parquet('{path}')" for path in (f"{spark}/*.parquet", duck)]
    return sum(
        connection.execute(f"SELECT count(*) FROM ({a} EXCEPT ALL {b})").fetchone()[0]
        for a, b in (sides, sides[::-1])
    )


def differing_entities(bench: Bench, activity: Activity) -> int:
    """Entities whose windows, put together from the tiles that Spark published, are not DuckDB's."""
    names = [*activity.keys, *(a.feature(w) for a in activity.aggregates for w in a.windows_of(WINDOWS))]
    keys = len(activity.keys)
    default = [a.default for a in activity.aggregates for _ in a.windows_of(WINDOWS)]
    path = result(bench, "duckdb", "snapshot", activity)
    expected = {row[:keys]: list(row[keys:]) for row in rows_of(str(path), names)}
    differing = 0
    tiles_path = bench.lake.partition(activity.tiles, CURRENT) / "*.parquet"
    for *entity, tiles in rows_of(str(tiles_path), [*activity.keys, "tiles"]):
        found = window_values(
            map(tile_of, msgspec.json.decode(tiles)), bench.as_of, WINDOWS, activity.aggregates
        )
        differing += found != expected.pop(tuple(entity), default)
    return differing + sum(values != default for values in expected.values())


def tile_of(values: list) -> Tile:
    return Tile(*values)


def rows_of(path: str, names: list[str]) -> Iterator[tuple]:
    found = duckdb.connect().execute(f"SELECT {', '.join(names)} FROM read_parquet('{path}')")
    while rows := found.fetchmany(10_000):
        yield from rows


# -- rounds and report ----------------------------------------------------------------------------


def measured(bench: Bench, rounds: int) -> dict[str, dict]:
    """By job, the turns of both."""
    found: dict[str, dict] = {}
    for round_ in range(rounds):
        for job in ("from_nothing", "incremental"):
            turns = found.setdefault(job, {"spark": [], "duckdb": []})
            turns["spark"].append(spark_turn(bench, job))
            turns["duckdb"].append(sum_of([duckdb_turn(bench, job, a) for a in ACTIVITIES]))
            if round_ == 0:
                require_equal(job, {a.name: differing_entities(bench, a) for a in ACTIVITIES})
        for activity in ACTIVITIES:
            job = f"point_in_time {activity.name}"
            turns = found.setdefault(job, {"spark": [], "duckdb": []})
            turns["spark"].append(spark_turn(bench, "point_in_time", activity))
            turns["duckdb"].append(duckdb_turn(bench, "point_in_time", activity))
            if round_ == 0:
                require_equal(job, {activity.name: differing_rows(bench, activity)})
    return found


def sum_of(turns: list[Turn]) -> Turn:
    return Turn(
        sum(t.seconds for t in turns), sum(t.processor_s for t in turns), max(t.peak_mb for t in turns)
    )


def require_equal(job: str, differing: dict[str, int]) -> None:
    if any(differing.values()):
        raise RuntimeError(f"{job}: what Spark and DuckDB made differs in so many rows: {differing}")


def report(bench: Bench, found: dict[str, dict]) -> dict[str, object]:
    """Medians with the lowest and highest; `ratio`: Spark's seconds, its start included, by DuckDB's of the
    same round."""
    jobs = {}
    for job, turns in found.items():
        pairs = zip(turns["spark"], turns["duckdb"], strict=True)
        jobs[job] = {
            "ratio": spread([s.seconds / d.seconds for s, d in pairs], 2),
            "events_per_s_per_core": spread([bench.events / t.seconds / THREADS for t in turns["spark"]], 0),
            **{
                who: {name: spread([getattr(t, name) for t in turns[who]]) for name in Turn._fields}
                for who in ("spark", "duckdb")
            },
        }
    return {"events": bench.events, "jobs": jobs}


def table(sizes: list[dict]) -> str:
    lines = [
        f"{'events':>12} {'job':28}{'Spark s':>24}{'DuckDB s':>24}{'ratio':>8}"
        f"{'shuffle MB':>12}{'peak MB':>9}{'events/s/core':>15}"
    ]
    for size in sizes:
        for job, x in size["jobs"].items():
            lines.append(
                f"{size['events']:12,} {job:28}{shown(x['spark']['seconds'], '.1f'):>24}"
                f"{shown(x['duckdb']['seconds'], '.1f'):>24}{x['ratio']['median']:8.2f}"
                f"{x['spark']['shuffle_mb']['median']:12,.0f}{x['spark']['peak_mb']['median']:9,.0f}"
                f"{x['events_per_s_per_core']['median']:15,.0f}"
            )
    return "\n".join(lines)


def main() -> None:
    plan = Plan.from_environment()
    sizes = []
    for events in plan.sizes:
        lake = prepared(events, KEPT / f"{events}")
        with tempfile.TemporaryDirectory() as scratch:
            bench = bench_of(lake, Path(scratch))
            sizes.append(report(bench, measured(bench, plan.rounds)))
        print(table(sizes), file=sys.stderr)
    print(json.dumps({"cores": os.cpu_count(), "rounds": plan.rounds, "sizes": sizes}))


if __name__ == "__main__":
    main()
