"""A vector for what each shopper has lately been after, and one for each query and each item.

`user_intent_embedding`: the mean direction of the shopper's last queries and messages, a row per
shopper and day on which they typed something. A day that is still being written is stamped with
the clock of the run, and rows of earlier runs of that day stay: they are what was served until
then.
"""

from collections.abc import Set
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import RECENT_QUERIES, VIEW_TTL_S
from feature_repo.events import from_us
from spark_jobs.jobs import text_embeddings
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import SCHEMAS, read_days, require_published, write_days
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.texts import (
    content_hash,
    day_column,
    item_texts,
    mean_direction,
    recent_texts,
    typed_texts,
)

USER, QUERY, ITEM = "user_intent_embedding", "query_embedding", "item_embedding"
KEYS = {QUERY: "query", ITEM: "item_id"}


def run(
    spark: SparkSession,
    lake: Lake,
    days: list[str],
    revision: str,
    clock: int,
    live: Set[str] = frozenset(),
) -> dict:
    """Write candidates of the three views for `days`; metadata by view.

    `clock`, microseconds UTC, is the instant of publication; `live` are the days on which events were
    posted while features were being served.
    """
    require_published(lake, text_embeddings.TABLE, days)
    first, last = min(days), max(days)
    since = date.fromisoformat(first) - timedelta(seconds=VIEW_TTL_S[USER])
    history = read_days(spark, lake, "clean_events", since.isoformat(), max(last, day_of(clock)))
    events = read_days(spark, lake, "clean_events", first, last)
    vectors = (
        spark.read.parquet(str(lake.table(text_embeddings.TABLE)))
        .where(F.col("encoder_revision") == revision)
        .select("content_hash", "embedding")
    )
    stamps = F.broadcast(
        spark.createDataFrame(
            [(day, from_us(as_of(day, clock, live))) for day in days], "day string, as_of timestamp"
        )
    )
    recent = recent_texts(typed_texts(history), stamps, RECENT_QUERIES)
    typed = typed_texts(events).select(day_column(), F.col("text").alias("query"), "text")
    described = {QUERY: typed.distinct(), ITEM: item_texts(events)}
    made = {
        view: with_vectors(newest_day_only(texts.join(stamps, "day"), KEYS[view]), vectors)
        for view, texts in described.items()
    }
    made[USER] = (
        with_vectors(recent, vectors)
        .select("user_id", "day", "as_of", "embedding")
        .groupBy("user_id", "day", "as_of")
        .applyInArrow(mean_direction, "user_id string, day string, as_of timestamp, embedding array<float>")
    )
    return {
        view: write_days(
            with_earlier_runs(spark, lake, view, stamped(rows, revision, clock), stamps), lake, view, days
        ).metadata()
        for view, rows in made.items()
    }


def as_of(day: str, clock: int, live: Set[str]) -> int:
    """When a day's rows begin to hold: at its end, or at their publication if they were not there
    before while the day was being served: a day that goes on, or one with events posted live."""
    start, end = day_bounds(day)
    return clock if start <= clock < end or day in live else end


def newest_day_only(texts: DataFrame, key: str) -> DataFrame:
    """Days served live share one instant: of their texts for a key the newest day's is the one."""
    newest = (F.max_by("text", "day").alias("text"), F.max("day").alias("day"))
    return texts.groupBy(key, "as_of").agg(*newest)


def with_vectors(texts: DataFrame, vectors: DataFrame) -> DataFrame:
    hashed = texts.withColumn("content_hash", content_hash(F.col("text")))
    return hashed.join(vectors, "content_hash")


def stamped(rows: DataFrame, revision: str, clock: int) -> DataFrame:
    return (
        rows.withColumn("event_timestamp", F.col("as_of"))
        .withColumn("created_timestamp", F.lit(from_us(clock)))
        .withColumn("encoder_revision", F.lit(revision))
    )


def with_earlier_runs(
    spark: SparkSession, lake: Lake, view: str, rows: DataFrame, stamps: DataFrame
) -> DataFrame:
    """The rows, and those that runs of the same days published with an earlier stamp."""
    columns = [*spark.createDataFrame([], SCHEMAS[view]).columns, "day"]
    rows = rows.select(*columns)
    if not lake.parts(view):
        return rows
    published = spark.read.schema(f"{SCHEMAS[view]}, day string").parquet(str(lake.table(view)))
    earlier = published.join(stamps, "day").where(F.col("event_timestamp") < F.col("as_of"))
    return rows.unionByName(earlier.select(*columns))


def main() -> None:
    arguments = day_parser(__doc__)
    arguments.add_argument("--revision", required=True, help="encoder revision of the vectors")
    arguments.add_argument("--clock", required=True, type=int, help="now, microseconds since 1970")
    options = arguments.parse_args()
    days = days_between(options.day, options.to)
    execute(
        "intent_embeddings",
        options,
        lambda spark, lake: run(spark, lake, days, options.revision, options.clock),
    )


if __name__ == "__main__":
    main()
