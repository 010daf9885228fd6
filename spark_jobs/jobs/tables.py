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

from feature_repo.aggregates import Activity
from feature_repo.behavior import ACTIVITIES, SESSION_AGGREGATES
from feature_repo.definitions.tables import VIEWS, View
from feature_repo.events import EVENT_TYPES
from feature_repo.feature import Dtype
from spark_jobs.lake import CANDIDATE, CURRENT, Lake, replace_folder
from spark_jobs.ledger_files import LEDGER_SCHEMA
from spark_jobs.transforms.contributions import partial_type

SPARK_TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.int32(): "int",
    pa.timestamp("us", "UTC"): "timestamp",
}
FEATURE_TYPES: dict[Dtype, str] = {
    "int64": "bigint",
    "float64": "double",
    "vector": "array<float>",
    "string": "string",
    "strings": "array<string>",
}


def ddl(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)


def view_schema(view: View) -> str:
    return ddl(
        [
            *((key, "string") for key in view.keys),
            ("event_timestamp", "timestamp"),
            ("created_timestamp", "timestamp"),
            *((column.name, FEATURE_TYPES[column.dtype]) for column in view.columns),
        ]
    )


LEDGER = ddl((f.name, SPARK_TYPES[f.type]) for f in LEDGER_SCHEMA)


def day_tiles_schema(activity: Activity) -> str:
    return ddl(
        [
            *((key, "string") for key in activity.keys),
            ("hop_s", "int"),
            ("start", "timestamp"),
            *((a.name, partial_type(a)) for a in activity.aggregates),
            ("newest_event_us", "bigint"),
        ]
    )


SCHEMAS: dict[str, str] = {
    "clean_events": f"{LEDGER}, session_key string, is_bot boolean, bot_reason string, "
    "is_outlier boolean, outlier_reason string, amount bigint, personal boolean, "
    "category_path string, category_source string, brand_name string, brand_source string, "
    "unit_price bigint, price_source string",
    "item_attributes": "item_id string, start timestamp, category string, brand string, "
    "median_price bigint, priced_events bigint",
    "quality_days": "day string, metric string, value double",
    **{activity.day_tiles: day_tiles_schema(activity) for activity in ACTIVITIES},
    "session_day_tiles": ddl(
        [
            ("user_id", "string"),
            ("session_id", "string"),
            ("start", "timestamp"),
            *((a.name, "bigint") for a in SESSION_AGGREGATES),
            ("steps", "array<struct<at_us:bigint,event_type:int,item:bigint>>"),
        ]
    ),
    "user_day_facts": ddl(
        [
            ("user_id", "string"),
            ("start", "timestamp"),
            *((f"{event_type}_count", "bigint") for event_type in EVENT_TYPES),
            ("purchase_amount", "bigint"),
            *((f"{which}_us", "bigint") for which in ("first_event", "newest_event", "last_purchase")),
            ("visits", "bigint"),
            ("orders", "bigint"),
            *((f"{which}_visit", "string") for which in ("first", "last")),
            *((f"{which}_bought", "boolean") for which in ("first", "last")),
            ("hours", "array<bigint>"),
            ("interests", "array<struct<kind:string,name:string,weight:bigint>>"),
            ("price_weight", "bigint"),
            ("price_points", "bigint"),
            ("is_bot", "boolean"),
        ]
    ),
    "item_day_facts": ddl(
        [
            ("item_id", "string"),
            ("start", "timestamp"),
            *((f"{event_type}_count", "bigint") for event_type in ("view", "add_to_cart", "purchase")),
            *((who, "bigint") for who in ("visitors", "carters", "buyers")),
            ("buyer_sketch", "binary"),
            ("price_minor", "bigint"),
            ("category_path", "string"),
            ("brand_name", "string"),
            ("visits", "bigint"),
            ("co_views", "array<struct<item_id:string,visits:bigint>>"),
        ]
    ),
    "text_embeddings": "content_hash string, text string, normalized string, encoder_revision string, "
    "embedding array<float>",
    "training_labels": "user_id string, session_id string, session_key string, "
    "event_timestamp timestamp, purchase int, add_to_cart int, leave int, horizon string",
    **{view.name: view_schema(view) for view in VIEWS},
    "score_log": "score_id string, as_of timestamp, user_id string, session_id string, scenario string, "
    "release string, definitions_hash string, encoder_revision string, as_of_exact boolean, "
    "live boolean, degraded boolean, purchase double, add_to_cart double, leave double, stage string, "
    "stage_probabilities map<string,double>, intent string, intent_confidence double",
    "outcomes": "score_id string, as_of timestamp, user_id string, session_key string, scenario string, "
    "release string, as_of_exact boolean, live boolean, degraded boolean, purchase_probability double, "
    "add_to_cart_probability double, leave_probability double, horizon string, is_bot boolean, "
    "known boolean, purchase int, add_to_cart int, leave int",
    "feedback": "feedback_id string, received_at timestamp, text string, intent string, source string, "
    "user_id string, score_id string, release string",
}


class NoEvents(ValueError):
    """There is nothing to compute for the days asked for."""


class NotPublished(ValueError):
    """A job's input has not been made yet."""


class TilesNotKept(ValueError):
    """Windows are asked for at an instant of which the shortest tiles are no longer there."""


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
        balanced(rows, parts).write.partitionBy("day").parquet(str(scratch))
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


def balanced(rows: DataFrame, parts: list[str]) -> DataFrame:
    """Few and even files: adaptive execution merges small partitions of a day and splits large ones. A
    snapshot has a file a core, for those who read it go through it once, all at once.
    """
    if parts == [CURRENT]:
        return rows.repartition(rows.sparkSession.sparkContext.defaultParallelism)
    return rows.hint("rebalance", F.col("day"))


def written(lake: Lake, table: str, parts: list[str]) -> Written:
    files = {part: sorted(lake.candidate(table, part).glob("*.parquet")) for part in parts}
    rows = {p: sum(pq.read_metadata(f).num_rows for f in found) for p, found in files.items()}
    return Written(rows, sum(map(len, files.values())))
