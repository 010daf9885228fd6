"""What the jobs' command lines share. A job prints its metadata as one JSON object on standard
output.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from spark_jobs.jobs.tables import NoEvents, NotPublished, TilesNotKept
from spark_jobs.lake import Lake
from spark_jobs.session import SparkConfError, build_session, read_conf
from spark_jobs.toolchain import JavaUnavailable


def parser(description: str | None) -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--lake", required=True, type=Path, help="the lake's folder")
    arguments.add_argument(
        "--master",
        default=os.environ.get("INTENT_SPARK_MASTER") or "local[*]",
        help="where to run when not started by spark-submit (INTENT_SPARK_MASTER, else local[*])",
    )
    conf = os.environ.get("INTENT_SPARK_CONF")
    arguments.add_argument(
        "--conf",
        type=Path,
        default=Path(conf) if conf else None,
        help="a file of Spark's settings (INTENT_SPARK_CONF)",
    )
    return arguments


def day_parser(description: str | None) -> argparse.ArgumentParser:
    arguments = parser(description)
    arguments.add_argument("--day", required=True, type=date.fromisoformat, help="YYYY-MM-DD, UTC")
    arguments.add_argument("--to", type=date.fromisoformat, help="last day, if there are several")
    return arguments


def days_between(first: date, last: date | None) -> list[str]:
    last = last or first
    if last < first:
        raise SystemExit(f"--to {last} is before --day {first}")
    return [(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)]


def function_at(path: str) -> Callable:
    """`package.module:function`"""
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


def now_us() -> int:
    return time.time_ns() // 1_000


def execute(app_name: str, options: argparse.Namespace, job: Callable[[SparkSession, Lake], dict]) -> None:
    try:
        spark = build_session(app_name, options.master, conf=read_conf(options.conf))
        metadata = job(spark, Lake(options.lake))
    except (NoEvents, NotPublished, TilesNotKept, JavaUnavailable, SparkConfError) as error:
        sys.exit(str(error))
    print(json.dumps(metadata))
    spark.stop()
