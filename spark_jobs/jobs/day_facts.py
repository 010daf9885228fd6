"""Clean events to facts of shoppers and of items by day: what profiles are summed from."""

from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.profiles import PRICE_DAYS
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import read_days, read_parts, require_published, write_days
from spark_jobs.lake import Lake
from spark_jobs.transforms.item_facts import item_facts, price_positions
from spark_jobs.transforms.user_facts import user_facts

USER, ITEM = "user_day_facts", "item_day_facts"


def run(spark: SparkSession, lake: Lake, days: list[str]) -> dict:
    """Write candidates of both tables for `days` from published clean events; metadata by table. Where
    the prices of a day stand is told by the items' facts of the days before it, too.
    """
    require_published(lake, "clean_events", days)
    first, last = min(days), max(days)
    events = read_days(spark, lake, "clean_events", first, last)
    events = events.withColumn("day", F.date_format("event_time", "yyyy-MM-dd"))
    made = {ITEM: write_days(item_facts(events), lake, ITEM, days).metadata()}
    positions = price_positions(items_before(spark, lake, days), spans_of(spark, days))
    made[USER] = write_days(user_facts(events, positions), lake, USER, days).metadata()
    return made


def items_before(spark: SparkSession, lake: Lake, days: list[str]) -> DataFrame:
    """The items' facts of the days, as they were just written, and of those before that prices need."""
    earliest = (date.fromisoformat(min(days)) - timedelta(PRICE_DAYS)).isoformat()
    published = [p for p in lake.parts(ITEM) if earliest <= p <= max(days) and p not in days]
    folders = [lake.candidate(ITEM, day) for day in days]
    return read_parts(spark, ITEM, [*folders, *(lake.partition(ITEM, part) for part in published)])


def spans_of(spark: SparkSession, days: list[str]) -> DataFrame:
    numbers = [((date.fromisoformat(day) - date(1970, 1, 1)).days,) for day in days]
    return spark.createDataFrame(numbers, "until int")


def main() -> None:
    options = day_parser(__doc__).parse_args()
    days = days_between(options.day, options.to)
    execute("day_facts", options, lambda spark, lake: run(spark, lake, days))


if __name__ == "__main__":
    main()
