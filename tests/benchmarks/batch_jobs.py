"""The daily as-of job as one process, for `batch_speed`: day tiles, then what the online store is given.

    python -m tests.benchmarks.batch_jobs LAKE SPARK_CONF AS_OF DAY...

Prints `{"started_s": ...}`, how long Spark took to start.
"""

import json
import sys
import time
from pathlib import Path

from spark_jobs.jobs import day_tiles, serving_state
from spark_jobs.jobs.command import now_us
from spark_jobs.lake import CURRENT, Lake
from spark_jobs.session import build_session, read_conf


def as_of_job(spark, lake: Lake, as_of: int, days: list[str]) -> None:
    """Tiles of `days`, and all tiles to the tables that are materialized, published as they come."""
    for table in day_tiles.run(spark, lake, days):
        for day in days:
            lake.publish(table, day)
    for table in serving_state.run(spark, lake, as_of, covered_epoch=0, created_at=now_us()):
        lake.publish(table, CURRENT)


def main(lake: str, conf: str, as_of: str, *days: str) -> None:
    began = time.perf_counter()
    spark = build_session("bench", conf=read_conf(Path(conf)))
    spark.range(1).count()
    started_s = time.perf_counter() - began
    as_of_job(spark, Lake(lake), int(as_of), list(days))
    print(json.dumps({"started_s": started_s}))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
