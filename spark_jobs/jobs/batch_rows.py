"""Rows of batch views: from which instant they hold, and which of a day's runs they come from.

A row of an imported day holds from the day's end. A row of a day that is still being written, or on which
events were posted while features were served, holds from its publication: nobody was answered with it
before. Rows that earlier runs of such a day published stay, for they are what was served until then.
"""

from collections.abc import Set

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.events import from_us
from spark_jobs.jobs.tables import SCHEMAS, Written, write_days
from spark_jobs.lake import Lake, day_bounds


def as_of(day: str, clock: int, live: Set[str]) -> int:
    """When a day's rows begin to hold, microseconds UTC.

    `clock` is the instant of publication; `live` are the days on which events were posted while features
    were being served.
    """
    start, end = day_bounds(day)
    return clock if start <= clock < end or day in live else end


def stamps_of(spark: SparkSession, days: list[str], clock: int, live: Set[str]) -> DataFrame:
    """A row per day: day, as_of. Small: to be broadcast."""
    rows = [(day, from_us(as_of(day, clock, live))) for day in days]
    return F.broadcast(spark.createDataFrame(rows, "day string, as_of timestamp"))


def newest_of_instant(rows: DataFrame, key: str) -> DataFrame:
    """Days served live share one instant: of their rows for a key the newest day's is the one.

    `rows` has the columns `key`, day and as_of beside its own.
    """
    others = [column for column in rows.columns if column not in (key, "as_of")]
    newest = F.max_by(F.struct(*others), "day").alias("newest")
    return rows.groupBy(key, "as_of").agg(newest).select(key, "as_of", "newest.*")


def write_batch_rows(
    rows: DataFrame, lake: Lake, view: str, days: list[str], stamps: DataFrame, clock: int
) -> Written:
    """Write candidates of `view` for `days`: the rows, stamped, and those that runs of the same days
    published with an earlier stamp. `rows` has day and as_of beside the view's key and features.
    """
    stamped = rows.withColumn("event_timestamp", F.col("as_of")).withColumn(
        "created_timestamp", F.lit(from_us(clock))
    )
    return write_days(_with_earlier_runs(stamped, lake, view, stamps), lake, view, days)


def _with_earlier_runs(rows: DataFrame, lake: Lake, view: str, stamps: DataFrame) -> DataFrame:
    spark, schema = rows.sparkSession, f"{SCHEMAS[view]}, day string"
    rows = rows.select(*spark.createDataFrame([], schema).columns)
    if not lake.parts(view):
        return rows
    published = spark.read.schema(schema).parquet(str(lake.table(view)))
    earlier = published.join(stamps, "day").where(F.col("event_timestamp") < F.col("as_of"))
    return rows.unionByName(earlier.select(*rows.columns))
