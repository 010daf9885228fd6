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
from spark_jobs.jobs import text_embeddings
from spark_jobs.jobs.batch_rows import newest_of_instant, stamps_of, write_batch_rows
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import SCHEMAS, read_days, require_published
from spark_jobs.lake import Lake, day_of
from spark_jobs.transforms.texts import (
    content_hash,
    item_texts,
    mean_direction,
    query_texts,
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
    embedded = (
        spark.read.schema(SCHEMAS[text_embeddings.TABLE])
        .parquet(str(lake.table(text_embeddings.TABLE)))
        .where(F.col("encoder_revision") == revision)
    )
    vectors = embedded.select("content_hash", "embedding")
    stamps = stamps_of(spark, days, clock, live)
    recent = recent_texts(typed_texts(history), stamps, RECENT_QUERIES)
    described = {
        QUERY: query_texts(typed_texts(events), embedded.select("content_hash", "normalized")),
        ITEM: hashed(item_texts(events)),
    }
    made = {
        view: newest_of_instant(texts.join(stamps, "day"), KEYS[view]).join(vectors, "content_hash")
        for view, texts in described.items()
    }
    made[USER] = (
        hashed(recent)
        .join(vectors, "content_hash")
        .select("user_id", "day", "as_of", "embedding")
        .groupBy("user_id", "day", "as_of")
        .applyInArrow(mean_direction, "user_id string, day string, as_of timestamp, embedding array<float>")
    )
    return {
        view: write_batch_rows(
            rows.withColumn("encoder_revision", F.lit(revision)), lake, view, days, stamps, clock
        ).metadata()
        for view, rows in made.items()
    }


def hashed(texts: DataFrame) -> DataFrame:
    return texts.withColumn("content_hash", content_hash(F.col("text"))).drop("text")


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
