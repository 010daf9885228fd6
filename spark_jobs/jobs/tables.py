"""Reading the lake's tables as DataFrames and writing their candidates."""

import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from feature_repo.behavior import (
    AGGREGATES,
    ITEM_ACTIVITY,
    SESSION_ACTIVITY,
    SESSION_AGGREGATES,
    USER_ACTIVITY,
    Feature,
)
from spark_jobs.lake import CANDIDATE, CURRENT, Lake, replace_folder
from spark_jobs.ledger_files import LEDGER_SCHEMA

SPARK_TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.int32(): "int",
    pa.timestamp("us", "UTC"): "timestamp",
}


def ddl(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)


def feature_columns(features: tuple[Feature, ...]) -> list[tuple[str, str]]:
    kinds = {"int64": "bigint", "float64": "double"}
    return [(f.name, kinds[f.dtype]) for f in features]


LEDGER = ddl((f.name, SPARK_TYPES[f.type]) for f in LEDGER_SCHEMA)
DAY_TILES = ddl(
    [
        ("entity_id", "string"),
        ("hop_s", "int"),
        ("start", "timestamp"),
        *((a.name, "bigint") for a in AGGREGATES),
        ("newest_event_us", "bigint"),
    ]
)
STAMPS = [("event_timestamp", "timestamp"), ("created_timestamp", "timestamp")]
COVERAGE = [("covered_epoch", "bigint"), ("definitions_hash", "string")]
VECTOR = [("embedding", "array<float>"), ("encoder_revision", "string")]
NEWEST = [("tiles", "string"), ("newest_event_us", "bigint")]
SCHEMAS: dict[str, str] = {
    "clean_events": f"{LEDGER}, session_key string, is_bot boolean, bot_reason string, "
    "is_outlier boolean, outlier_reason string, amount bigint, personal boolean",
    "user_day_tiles": DAY_TILES,
    "item_day_tiles": DAY_TILES,
    "session_day_tiles": ddl(
        [
            ("user_id", "string"),
            ("session_id", "string"),
            ("start", "timestamp"),
            *((a.name, "bigint") for a in SESSION_AGGREGATES),
        ]
    ),
    "user_activity": ddl([("user_id", "string"), *STAMPS, *feature_columns(USER_ACTIVITY)]),
    "item_activity": ddl([("item_id", "string"), *STAMPS, *feature_columns(ITEM_ACTIVITY)]),
    "session_activity": ddl(
        [
            ("user_id", "string"),
            ("session_id", "string"),
            *STAMPS,
            *feature_columns(SESSION_ACTIVITY),
        ]
    ),
    "text_embeddings": "content_hash string, text string, encoder_revision string, embedding array<float>",
    **{
        view: ddl([(key, "string"), *STAMPS, *VECTOR])
        for view, key in (
            ("user_intent_embedding", "user_id"),
            ("query_embedding", "query"),
            ("item_embedding", "item_id"),
        )
    },
    "training_labels": "user_id string, session_id string, session_key string, "
    "event_timestamp timestamp, purchase int, add_to_cart int, leave int, horizon string",
    "user_tiles": ddl(
        [
            ("user_id", "string"),
            *STAMPS,
            *NEWEST,
            ("last_session_id", "string"),
            ("last_session_us", "bigint"),
            *COVERAGE,
        ]
    ),
    "item_tiles": ddl([("item_id", "string"), *STAMPS, *NEWEST, *COVERAGE]),
    "session_state": ddl(
        [
            ("user_id", "string"),
            ("session_id", "string"),
            *STAMPS,
            ("state", "string"),
            *COVERAGE,
        ]
    ),
}


class NoEvents(ValueError):
    """There is nothing to compute for the days asked for."""


class NotPublished(ValueError):
    """A job's input has not been made yet."""


@dataclass(frozen=True)
class Written:
    """What a job left as candidates: rows by part, and the number of files."""

    rows: dict[str, int]
    files: int

    def metadata(self) -> dict:
        return {"rows": sum(self.rows.values()), "rows_by_part": self.rows, "files": self.files}


# -- reading --------------------------------------------------------------------------------------


def read_ledger(spark: SparkSession, lake: Lake, days: list[str], upto_epoch: int | None = None) -> DataFrame:
    return spark.read.schema(LEDGER).parquet(*map(str, lake.ledger_files(days, upto_epoch)))


def read_days(spark: SparkSession, lake: Lake, table: str, first: str, last: str) -> DataFrame:
    """The published days of a table from `first` to `last`, both included; empty if there are
    none.
    """
    return read_parts(spark, table, lake.partitions(table, first, last))


def read_parts(spark: SparkSession, table: str, folders: list[Path]) -> DataFrame:
    if not folders:
        return spark.createDataFrame([], SCHEMAS[table])
    return spark.read.schema(SCHEMAS[table]).parquet(*map(str, folders))


def require_published(lake: Lake, table: str, days: list[str]) -> None:
    """Raises NotPublished if a day with events is missing from the first of `days` to the last."""
    first, last = min(days), max(days)
    if missing := unpublished(lake, table, first, last):
        raise NotPublished(f"{table} is not published for {', '.join(missing)}: materialize these days first")


def unpublished(lake: Lake, table: str, first: str, last: str) -> list[str]:
    """Days with events, from `first` to `last`, both included, that the table does not show."""
    published = set(lake.parts(table))
    return [d for d in lake.ledger_days() if first <= d <= last and d not in published]


# -- writing --------------------------------------------------------------------------------------


def write_days(
    frame: DataFrame, lake: Lake, table: str, parts: list[str], part_column: str = "day"
) -> Written:
    """Write each row to the candidate that its `part_column` names, in one pass; a part of `parts`
    without rows becomes an empty file, and rows of other parts are left out.
    """
    spark, schema = frame.sparkSession, SCHEMAS[table]
    scratch = lake.root / CANDIDATE / f".writing-{table}-{uuid.uuid4().hex}"
    rows = frame.where(F.col(part_column).isin(*parts)).select(
        *conforming(schema), F.col(part_column).alias("day")
    )
    try:
        balanced(rows, "day").write.partitionBy("day").parquet(str(scratch))
        for part in parts:
            folder = scratch / f"day={part}"
            if not folder.exists():
                spark.createDataFrame([], schema).coalesce(1).write.parquet(str(folder))
            replace_folder(folder, lake.candidate(table, part))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return written(lake, table, parts)


def write_snapshot(frame: DataFrame, lake: Lake, table: str) -> Written:
    with_part = frame.withColumn("day", F.lit(CURRENT))
    return write_days(with_part, lake, table, [CURRENT])


def conforming(schema: str):
    return [F.col(f.name).cast(f.dataType) for f in StructType.fromDDL(schema)]


def balanced(rows: DataFrame, column: str) -> DataFrame:
    """Few and even files: adaptive execution merges small partitions of a value and splits large
    ones.
    """
    return rows.hint("rebalance", F.col(column))


def written(lake: Lake, table: str, parts: list[str]) -> Written:
    files = {part: sorted(lake.candidate(table, part).glob("*.parquet")) for part in parts}
    rows = {p: sum(pq.read_metadata(f).num_rows for f in found) for p, found in files.items()}
    return Written(rows, sum(map(len, files.values())))
