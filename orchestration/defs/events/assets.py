import dagster as dg

from orchestration.defs.ledger.assets import landed_events
from orchestration.gated import contract_of, days_to_run, publish_if_sound
from orchestration.partitions import ONE_RUN, days
from orchestration.quality import suites
from orchestration.resources import Platform
from spark_jobs.jobs import clean_events as job


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=[landed_events],
    group_name="events",
    kinds={"spark", "parquet"},
    owners=["team:data-platform"],
    check_specs=contract_of("clean_events"),
    description=(
        "A day's events with what was found out about them: session, bot and outlier as columns. Nothing is "
        "removed here, so that every runtime counts the same events."
    ),
)
def clean_events(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    upto_epoch = max((c.epoch for c in platform.lake.commits()), default=0)
    newest = platform.lake.ledger_days()
    run_days, _ = days_to_run(context, platform)
    epochs = {day: newest[day] for day in run_days}
    measured = job.run(platform.spark(), platform.lake, run_days, upto_epoch=upto_epoch)
    suite = suites.clean_events(run_days[0], run_days[-1], platform.settings.currency)
    yield from publish_if_sound(platform, {"clean_events": suite}, run_days, measured, epochs)
