"""Scores joined with what the shoppers went on to do, for the days whose answer may have changed.

A day is joined again while its labels can still change: when more of its scores land, when the events of
the day or its neighbours change, and when the log has gone on, until it reaches a label's horizon after
the day's last instant.
"""

import argparse
from collections.abc import Mapping
from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feature_repo.windows import US
from spark_jobs.jobs.command import execute, parser
from spark_jobs.jobs.tables import read_days, write_days
from spark_jobs.jobs.training_labels import log_bounds
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.labels import LOOK_AHEAD_S, Horizon, horizon_of_log
from spark_jobs.transforms.outcomes import score_outcomes

TABLE, SCORES = "outcomes", "score_log"
TARGETS = ("purchase", "add_to_cart", "leave")


def run(spark: SparkSession, lake: Lake, days: list[str], horizons: Mapping[str, Horizon]) -> dict:
    """Write candidates of `outcomes` for `days`, each of which has landed scores. `horizons`: how far the
    labels looked that a release was trained on; for others it is what suits the whole log."""
    first_us, last_us = log_bounds(lake)
    fallback = horizon_of_log(first_us, last_us)
    read = read_days(spark, lake, SCORES, min(days), max(days))
    scores = (
        read.withColumn("day", F.date_format("as_of", "yyyy-MM-dd"))
        .where(F.col("day").isin(*days))
        .withColumns({f"{target}_probability": F.col(target) for target in TARGETS})
        .withColumn("horizon", F.coalesce(_looked_up("release", horizons), F.lit(fallback)))
        .withColumn("known_until_us", _looked_up("day", {day: known_until(lake, day) for day in days}))
        .drop(*TARGETS)
    )
    before, after = day_of(day_bounds(min(days))[0] - 1), day_of(day_bounds(max(days))[1])
    rows = score_outcomes(scores, read_days(spark, lake, "clean_events", before, after))
    return write_days(rows, lake, TABLE, days).metadata()


def _looked_up(column: str, values: Mapping[str, object]):
    if not values:
        return F.lit(None)
    return F.create_map(*(F.lit(x) for pair in values.items() for x in pair))[F.col(column)]


def days_to_join(lake: Lake, state: Mapping[str, list]) -> dict[str, list]:
    """The days with scores whose outcomes are not those of the newest scores and events, and for each what
    they would be made of. `state`: what the days were made of when they were published."""
    days = {day: made_of(lake, day) for day in lake.parts(SCORES)}
    return {day: parts for day, parts in days.items() if state.get(day) != parts}


def made_of(lake: Lake, day: str) -> list:
    """Names the scores and events that a day's outcomes depend on; equal as long as they are the same."""
    start, end = day_bounds(day)
    around = (day_of(start - 1), day, day_of(end))
    scores = [file.name for file in sorted(lake.partition(SCORES, day).glob("*.parquet"))]
    return [scores, [lake.seen_epoch("clean_events", d) for d in around], known_until(lake, day)]


def known_until(lake: Lake, day: str) -> int:
    """How far clean events show the log at and after this day, at most as far as its labels look."""
    commits, newest = [c for c in lake.commits() if c.rows], lake.ledger_days()
    start, end = day_bounds(day)
    until = min(max((c.last_event_time for c in commits), default=start), end + LOOK_AHEAD_S * US)
    for d in (day, day_of(end)):
        seen = lake.seen_epoch("clean_events", d)
        if seen < newest.get(d, 0):  # what landed later is not in the clean events yet
            shown = (c.last_event_time for c in commits if c.epoch <= seen)
            until = min(until, max(shown, default=start - 1))
    return until


def main() -> None:
    arguments: argparse.ArgumentParser = parser(__doc__)
    arguments.add_argument("--day", required=True, type=date.fromisoformat, help="YYYY-MM-DD, UTC")
    options = arguments.parse_args()
    days = [options.day.isoformat()]
    execute(TABLE, options, lambda spark, lake: run(spark, lake, days, {}))


if __name__ == "__main__":
    main()
