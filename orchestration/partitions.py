"""How the work is cut: by the day of event time, UTC."""

from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from online_api.settings import Settings
from orchestration.staleness import LOOK_BACK_DAYS
from spark_jobs.lake import Lake


def days_of(settings: Settings) -> dg.DailyPartitionsDefinition:
    """From the lake's first day on; INTENT_FIRST_DAY while it is empty. Today's partition is included: a
    day is worked on while it is still being written. On the event clock today is the newest event's day.
    """
    known = [date.fromisoformat(day) for day in Lake(settings.lake).ledger_days()]
    first = min(known, default=settings.first_day)
    if settings.clock == "event" and known:
        end = (max(known) + timedelta(1)).isoformat()
        return dg.DailyPartitionsDefinition(first.isoformat(), end_date=end, timezone="UTC")
    return dg.DailyPartitionsDefinition(first.isoformat(), timezone="UTC", end_offset=1)


days = days_of(Settings.from_environment())

# A backfill of a month is one run: Spark goes through all its days in one pass.
ONE_RUN = dg.BackfillPolicy.single_run()

# A day's activity looks back over the longest window.
with_history = dg.TimeWindowPartitionMapping(
    start_offset=-LOOK_BACK_DAYS, end_offset=0, allow_nonexistent_upstream_partitions=True
)


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags by which Dagster runs these days, both included, in one run."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
