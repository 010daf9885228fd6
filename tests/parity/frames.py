"""Events as Spark rows, and Spark rows as Python values: what the parity tests share."""

from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.aggregates import Activity
from feature_repo.events import LedgerEvent
from spark_jobs.jobs.tables import LEDGER
from spark_jobs.ledger_files import Position, ledger_table
from spark_jobs.transforms.flags import with_amount


def ledger_frame(spark: SparkSession, events: Iterable[LedgerEvent]) -> DataFrame:
    rows = [(event, Position(0, seq, 1)) for seq, event in enumerate(events)]
    return spark.createDataFrame(ledger_table(rows), LEDGER)


def event_frame(spark: SparkSession, events: Iterable[LedgerEvent]) -> DataFrame:
    """Events with the columns that tiles and windows need."""
    return with_amount(ledger_frame(spark, events))


def instants(spark: SparkSession, rows: Iterable[tuple], activity: Activity) -> DataFrame:
    """Rows of the activity's keys and event_timestamp out of (*keys, microseconds)."""
    frame = spark.createDataFrame(
        list(rows), "".join(f"{key} string, " for key in activity.keys) + "us bigint"
    )
    return frame.select(*activity.keys, F.timestamp_micros("us").alias("event_timestamp"))


def values_by_instant(
    frame: DataFrame, keys: list[str], features: list[str]
) -> dict[tuple, dict[str, int | float]]:
    """{(*keys, event_timestamp in microseconds): {feature: value}} of a small frame."""
    rows = frame.select(*keys, F.unix_micros("event_timestamp").alias("us"), *features).collect()
    answers = {(*(row[k] for k in keys), row["us"]): {f: row[f] for f in features} for row in rows}
    assert len(answers) == len(rows), "two rows of one entity and instant"
    return answers
