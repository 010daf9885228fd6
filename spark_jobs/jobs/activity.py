"""Windowed and session features at every instant at which one of them changes."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import ACTIVITIES, WINDOWS
from spark_jobs.jobs.command import day_parser, days_between, execute, now_us
from spark_jobs.jobs.tables import (
    read_days,
    require_published,
    unpublished,
    write_days,
)
from spark_jobs.lake import TAIL, Lake, day_bounds, day_of
from spark_jobs.transforms.contributions import micros
from spark_jobs.transforms.point_in_time import change_rows, history_before, tile_stretches
from spark_jobs.transforms.session_history import session_rows


def run(spark: SparkSession, lake: Lake, days: list[str], *, created_at: int, tail: bool = False) -> dict:
    """Write candidates of the view of every activity and of session_activity for `days`, from their
    clean events and the tiles of the days before; metadata by table.

    With `tail`, also the part `tail` of the former: what still leaves the windows after the
    last of `days`, which has to be the newest day there is.
    """
    require_published(lake, "clean_events", days)
    (first_us, _), (_, end_us) = day_bounds(min(days)), day_bounds(max(days))
    events = read_days(spark, lake, "clean_events", min(days), max(days))
    parts = [*days, TAIL] if tail else days
    last_us = max(w.expiry(end_us - 1) for w in WINDOWS) + 1 if tail else end_us
    part = F.when(F.unix_micros("event_timestamp") >= end_us, TAIL).otherwise(
        F.date_format("event_timestamp", "yyyy-MM-dd")
    )
    made = {}
    for activity in ACTIVITIES:
        tiles = tiles_before(spark, lake, activity.day_tiles, first_us)
        history = history_before(events, tiles, activity, first_us)
        rows = change_rows(history, activity, first_us, last_us).withColumn("day", part)
        made[activity.view] = write_days(stamped(rows, created_at), lake, activity.view, parts).metadata()
    sessions = session_rows(events, session_tiles_before(spark, lake, first_us), first_us)
    made["session_activity"] = write_days(
        stamped(sessions.withColumn("day", part), created_at), lake, "session_activity", days
    ).metadata()
    missing = unpublished(lake, "user_day_tiles", day_of(reach(first_us)), day_of(first_us - 1))
    return {**made, "days_missing_before": missing}


def reach(first_us: int) -> int:
    """The earliest instant that any window at `first_us` covers."""
    return tile_stretches(first_us, WINDOWS)[-1].start_us


def tiles_before(spark: SparkSession, lake: Lake, table: str, first_us: int) -> DataFrame:
    return read_days(spark, lake, table, day_of(reach(first_us)), day_of(first_us - 1))


def session_tiles_before(spark: SparkSession, lake: Lake, first_us: int) -> DataFrame:
    """All of them: a client may keep a session id for as long as it likes."""
    return read_days(spark, lake, "session_day_tiles", "", day_of(first_us - 1))


def stamped(rows: DataFrame, created_at: int) -> DataFrame:
    return rows.withColumn("created_timestamp", micros(F.lit(created_at)))


def main() -> None:
    arguments = day_parser(__doc__)
    arguments.add_argument("--tail", action="store_true", help="the last day is the newest there is")
    options = arguments.parse_args()
    days = days_between(options.day, options.to)
    execute(
        "activity",
        options,
        lambda spark, lake: run(spark, lake, days, created_at=now_us(), tail=options.tail),
    )


if __name__ == "__main__":
    main()
