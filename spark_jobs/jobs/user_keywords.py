"""The words each shopper's recent queries and messages are about: a row per shopper and day on which
they typed something. What counts as rare is learnt from the log of the month before.
"""

from collections.abc import Callable, Set
from datetime import date, timedelta

from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import MAX_KEYWORDS, RECENT_QUERIES, VIEW_TTL_S
from feature_repo.windows import DAY_S
from spark_jobs.jobs.batch_rows import stamps_of, write_batch_rows
from spark_jobs.jobs.command import day_parser, days_between, execute, function_at
from spark_jobs.jobs.tables import read_days, require_published
from spark_jobs.lake import Lake, day_of
from spark_jobs.transforms.keywords import Segmenter, rarities, user_keywords, word_batches
from spark_jobs.transforms.texts import recent_texts, typed_texts

VIEW = "user_keywords"
HISTORY_DAYS = VIEW_TTL_S[VIEW] // DAY_S


def run(
    spark: SparkSession,
    lake: Lake,
    days: list[str],
    load: Callable[[], Segmenter],
    clock: int,
    live: Set[str] = frozenset(),
) -> dict:
    """Write candidates of `user_keywords` for `days`.

    `load` makes a segmenter on a worker; it is pickled, so its module must be importable there. `clock`,
    microseconds UTC, is the instant of publication; `live` are the days on which events were posted while
    features were being served.
    """
    require_published(lake, "clean_events", days)
    first, last = min(days), max(days)
    since = date.fromisoformat(first) - timedelta(HISTORY_DAYS)
    history = read_days(spark, lake, "clean_events", since.isoformat(), max(last, day_of(clock)))
    typed = typed_texts(history)
    texts = typed.select("text").distinct()
    words = texts.mapInArrow(word_batches(load), "text string, words array<string>")
    words = words.persist(StorageLevel.DISK_ONLY)
    stamps = stamps_of(spark, days, clock, live)
    shoppers = typed_texts(history.where(~F.col("is_bot")))
    rarity = rarities(shoppers, words, stamps.select("day"), HISTORY_DAYS)
    rows = user_keywords(recent_texts(typed, stamps, RECENT_QUERIES), words, rarity, MAX_KEYWORDS)
    written = write_batch_rows(rows, lake, VIEW, days, stamps, clock)
    measured = {**written.metadata(), "texts": words.count()}
    words.unpersist()
    return measured


def main() -> None:
    arguments = day_parser(__doc__)
    arguments.add_argument("--clock", required=True, type=int, help="now, microseconds since 1970")
    arguments.add_argument("--factory", default="models.text:load_segmenter")
    options = arguments.parse_args()
    days = days_between(options.day, options.to)
    load = function_at(options.factory)
    execute(VIEW, options, lambda spark, lake: run(spark, lake, days, load, options.clock))


if __name__ == "__main__":
    main()
