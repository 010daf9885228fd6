import dagster as dg

from orchestration.defs.events.assets import clean_events
from orchestration.gated import days_to_run, publish
from orchestration.partitions import ONE_RUN, days
from orchestration.resources import Platform
from spark_jobs.jobs import day_tiles as job

TABLES = {
    "user_day_tiles": "Partial aggregates of each shopper, by hop: what every window is summed from.",
    "item_day_tiles": "Partial aggregates of each item, by hop.",
    "session_day_tiles": "Partial aggregates of each client session.",
}


@dg.multi_asset(
    name="day_tiles",
    specs=[
        dg.AssetSpec(
            table,
            deps=[clean_events],
            group_name="tiles",
            kinds={"spark", "parquet"},
            owners=["team:data-platform"],
            description=description,
            partitions_def=days,
        )
        for table, description in TABLES.items()
    ],
    backfill_policy=ONE_RUN,
)
def day_tiles(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    run_days, epochs = days_to_run(context, platform)
    measured = job.run(platform.spark(), platform.lake, run_days)
    with platform.lake.exclusive("tiles"):
        for table in TABLES:
            yield publish(platform, table, run_days, measured, epochs)
