import dagster as dg

from feature_repo.behavior import ACTIVITIES
from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, days_to_run, measure, publish_if_sound
from orchestration.partitions import ONE_RUN, days
from orchestration.quality.tile_suites import day_tiles as day_tiles_suite
from orchestration.quality.tile_suites import session_day_tiles
from orchestration.resources import Platform
from spark_jobs.jobs import day_tiles as job

TABLES = {
    **{
        activity.day_tiles: f"Partial aggregates of each {activity.noun} by hop, which windows are made of."
        for activity in ACTIVITIES
    },
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
    check_specs=contract_of(*TABLES),
)
def day_tiles(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    run_days, epochs = days_to_run(context, platform)
    measured = measure(platform, job.run, run_days)
    first, last, newest_us = run_days[0], run_days[-1], platform.lake.newest_event_time()
    suite_of = {
        **{a.day_tiles: day_tiles_suite(a, first, last, newest_us) for a in ACTIVITIES},
        "session_day_tiles": session_day_tiles(first, last),
    }
    with platform.lake.exclusive("tiles"):
        yield from publish_if_sound(platform, suite_of, run_days, measured, epochs)
