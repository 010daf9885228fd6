"""The only place a SparkSession is built."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from spark_jobs.toolchain import REPOSITORY, spark_environment

DRIVER_MEMORY = "2g"
# A JVM writes its warnings to standard output, where the commands answer in JSON.
QUIET = "-Xlog:disable -Xlog:all=warning:stderr"
LOOPBACK = "127.0.0.1"
# Adaptive execution merges small ones; more than this only costs time where the cores are few.
LOCAL_SHUFFLE_PARTITIONS = 32

# Set by spark-submit for the Python program it starts: the JVM runs already and has its master.
STARTED_BY_SPARK_SUBMIT = "PYSPARK_GATEWAY_PORT"

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.adaptive.enabled": "true",
    # HotSpot never optimises a longer method: better not to fuse operators into one.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
}


def build_session(
    app_name: str,
    master: str = "local[*]",
    state_dir: Path | None = None,
    conf: Mapping[str, str] | None = None,
) -> SparkSession:
    """A session whose scratch files lie under `state_dir` (INTENT_STATE, else `.state` of the
    checkout).

    `conf` has the last word over every setting made here. A program started by spark-submit keeps
    the master and the driver that spark-submit gave it. Raises toolchain.JavaUnavailable when no
    Java suits.
    """
    scratch = (state_dir or default_state_dir()).absolute() / "spark"
    settings = {**SETTINGS, "spark.sql.warehouse.dir": str(scratch / "warehouse"), **(conf or {})}
    builder = SparkSession.builder.appName(app_name)
    if STARTED_BY_SPARK_SUBMIT not in os.environ:
        prepare_environment(scratch)
        builder = builder.master(master)
        settings = {**driver_settings(master, scratch), **settings}
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    return session


class SparkConfError(ValueError):
    """The file of Spark's settings cannot be used; the message says why."""


def read_conf(path: Path | None) -> dict[str, str]:
    """Spark's settings, `name value` or `name=value` a line, as in Spark's own spark-defaults.conf."""
    if path is None:
        return {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SparkConfError(f"INTENT_SPARK_CONF={path} cannot be read: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        setting = re.fullmatch(r"(spark\.[^\s=]+)\s*[\s=]\s*(.+)", text)
        if not setting:
            raise SparkConfError(f"{path}, line {number}: {text!r} is not `spark.name value`")
        found[setting[1]] = setting[2]
    return found


def default_state_dir() -> Path:
    return Path(os.environ.get("INTENT_STATE") or REPOSITORY / ".state")


def prepare_environment(scratch: Path) -> None:
    """What has to stand before the JVM starts: its variables and the folder for temporary files."""
    (scratch / "tmp").mkdir(parents=True, exist_ok=True)
    given = {"TMPDIR": str(scratch / "tmp"), **os.environ}
    os.environ.update(spark_environment(scratch.parent, given))


def driver_settings(master: str, scratch: Path) -> dict[str, str]:
    settings = {
        "spark.driver.memory": DRIVER_MEMORY,
        "spark.driver.extraJavaOptions": f'{QUIET} -XX:-UsePerfData "-Djava.io.tmpdir={scratch / "tmp"}"',
        "spark.executor.extraJavaOptions": "-XX:-UsePerfData",
    }
    if master.startswith("local"):
        settings["spark.sql.shuffle.partitions"] = str(LOCAL_SHUFFLE_PARTITIONS)
    if master.startswith(("local", f"spark://{LOOPBACK}:")):
        settings |= {"spark.driver.bindAddress": LOOPBACK, "spark.driver.host": LOOPBACK}
    return settings
