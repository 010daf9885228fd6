import dagster as dg

from orchestration.landing import land
from orchestration.resources import Platform


@dg.asset(
    group_name="ledger",
    kinds={"redis", "parquet"},
    owners=["team:data-platform"],
    description=(
        "Accepted events, moved from the live log in Redis into the lake. Closes the open epoch on every "
        "shard, commits it as whole files, and only then trims the log; may be killed anywhere and run again."
    ),
    retry_policy=dg.RetryPolicy(max_retries=3, delay=5),
)
def landed_events(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    landing = land(platform.ledger, platform.lake)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": landing.rows,
            "epoch": landing.epoch,
            "files": landing.files,
            "days touched": ", ".join(landing.days) or "none",
            "days in the lake": len(platform.lake.ledger_days()),
        }
    )
