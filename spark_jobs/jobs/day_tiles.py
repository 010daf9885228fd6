"""Clean events to tiles: of every activity for each hop, of client sessions by day."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import ACTIVITIES
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import read_days, require_published, write_days
from spark_jobs.lake import Lake
from spark_jobs.transforms.tiles import day_tiles, session_tiles

TABLES = (*(activity.day_tiles for activity in ACTIVITIES), "session_day_tiles")


def run(spark: SparkSession, lake: Lake, days: list[str]) -> dict:
    """Write candidates of these tables for `days` from published clean events; metadata by
    table.
    """
    require_published(lake, "clean_events", days)
    events = read_days(spark, lake, "clean_events", min(days), max(days))
    newest_us = lake.newest_event_time()
    made = {
        **{activity.day_tiles: day_tiles(events, activity, newest_us) for activity in ACTIVITIES},
        "session_day_tiles": session_tiles(events),
    }
    return {table: write_days(by_day(tiles), lake, table, days).metadata() for table, tiles in made.items()}


def by_day(tiles: DataFrame) -> DataFrame:
    return tiles.withColumn("day", F.date_format("start", "yyyy-MM-dd"))


def main() -> None:
    options = day_parser(__doc__).parse_args()
    days = days_between(options.day, options.to)
    execute("day_tiles", options, lambda spark, lake: run(spark, lake, days))


if __name__ == "__main__":
    main()
