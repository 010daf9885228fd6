"""How the work is cut: by the day of event time, UTC."""

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from online_api.settings import Settings

# Today's partition is included: a day is worked on while it is still being written.
days = dg.DailyPartitionsDefinition(
    start_date=Settings.from_environment().first_day.isoformat(), timezone="UTC", end_offset=1
)

# A backfill of a month is one run: Spark goes through all its days in one pass.
ONE_RUN = dg.BackfillPolicy.single_run()

# A day's activity looks back over the longest window.
LOOK_BACK_DAYS = 31
with_history = dg.TimeWindowPartitionMapping(start_offset=-LOOK_BACK_DAYS, end_offset=0)


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags by which Dagster runs these days, both included, in one run."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
