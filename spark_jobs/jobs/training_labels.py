"""Clean events to training rows with labels, for the days whose outcomes the log shows."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import NoEvents, read_days, require_published, write_days
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.labels import LOOK_AHEAD_S, Horizon, horizon_of_log, training_labels

TABLE = "training_labels"


def run(spark: SparkSession, lake: Lake, days: list[str], *, horizon: Horizon | None = None) -> dict:
    """Write candidates of `training_labels` for `days`, with the horizon that suits the whole log
    unless one is given. The day after the last one is read too, if it is published.
    """
    require_published(lake, "clean_events", days)
    first_us, log_end_us = log_bounds(lake)
    horizon = horizon or horizon_of_log(first_us, log_end_us)
    known_until_us = min(log_end_us, readable_until(lake, max(days)))
    after = day_of(day_bounds(max(days))[1])
    events = read_days(spark, lake, "clean_events", min(days), after)
    rows = training_labels(events, horizon, known_until_us)
    rows = rows.withColumn("day", F.date_format("event_timestamp", "yyyy-MM-dd"))
    written = write_days(rows, lake, TABLE, days)
    return {**written.metadata(), "horizon": horizon, "known_until_us": known_until_us}


def log_bounds(lake: Lake) -> tuple[int, int]:
    """First and last event time of the ledger."""
    commits = [c for c in lake.commits() if c.rows]
    if not commits:
        raise NoEvents("the ledger has no events yet: import a log first")
    return min(c.first_event_time for c in commits), max(c.last_event_time for c in commits)


def readable_until(lake: Lake, last: str) -> int:
    """How far clean events show the log: to the end of day `last`, or of the day after it."""
    end_us = day_bounds(last)[1]
    after = day_of(end_us)
    unreadable = after in lake.ledger_days() and after not in lake.parts("clean_events")
    return end_us - 1 if unreadable else end_us + LOOK_AHEAD_S * 1_000_000


def main() -> None:
    arguments = day_parser(__doc__)
    arguments.add_argument("--horizon", choices=("session", "day"), help="default: by the log's length")
    options = arguments.parse_args()
    days = days_between(options.day, options.to)
    execute(TABLE, options, lambda spark, lake: run(spark, lake, days, horizon=options.horizon))


if __name__ == "__main__":
    main()
