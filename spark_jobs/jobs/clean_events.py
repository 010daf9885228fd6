"""Ledger to clean events: session, bot and outlier columns, amount, consent; no row is dropped."""

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import SESSION_GAP_S
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import NoEvents, read_ledger, write_days
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.flags import (
    BotRules,
    OutlierRules,
    with_amount,
    with_bot_flags,
    with_outlier_flags,
)
from spark_jobs.transforms.sessions import with_sessions

TABLE = "clean_events"


def run(
    spark: SparkSession,
    lake: Lake,
    days: list[str],
    *,
    upto_epoch: int | None = None,
    bots: BotRules | None = None,
    outliers: OutlierRules | None = None,
) -> dict:
    """Write candidates of `clean_events` for `days`, from the ledger as of `upto_epoch`. Raises
    NoEvents if none of the days has any event.
    """
    require_events(lake, days)
    before = {day_of(day_bounds(day)[0] - 1) for day in days}
    events = with_sessions(read_ledger(spark, lake, sorted({*days, *before}), upto_epoch), SESSION_GAP_S)
    events = events.withColumn("day", F.date_format("event_time", "yyyy-MM-dd"))
    events = with_amount(events.where(F.col("day").isin(*days)))
    events = with_bot_flags(events, bots or BotRules())
    events = with_outlier_flags(events, outliers or OutlierRules())
    noticed = Observation()
    priceless = (F.col("event_type") == "purchase") & F.col("price").isNull()
    events = events.observe(
        noticed,
        F.count_if("is_bot").alias("bot_events"),
        F.count_if("is_outlier").alias("outlier_events"),
        F.count_if(~F.col("personal")).alias("aggregate_consent_events"),
        F.count_if(priceless).alias("purchases_without_price"),
    )
    written = write_days(events, lake, TABLE, days)
    return {**written.metadata(), **noticed.get}


def require_events(lake: Lake, days: list[str]) -> None:
    known = list(lake.ledger_days())
    if any(day in known for day in days):
        return
    having = ", ".join(known) if len(known) <= 10 else f"{len(known)} days, {known[0]} to {known[-1]}"
    raise NoEvents(
        f"no events on {' to '.join(sorted({min(days), max(days)}))}; days with events: "
        f"{having or 'none, import a log first'}"
    )


def main() -> None:
    options = day_parser(__doc__).parse_args()
    days = days_between(options.day, options.to)
    execute(TABLE, options, lambda spark, lake: run(spark, lake, days))


if __name__ == "__main__":
    main()
