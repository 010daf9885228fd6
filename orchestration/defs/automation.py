"""The jobs, and what starts them: landing on a schedule, the days whose events changed, service after."""

import dagster as dg

from orchestration.partitions import days, range_tags
from orchestration.resources import Platform
from orchestration.staleness import stale_days

landing = dg.define_asset_job(
    "landing",
    selection=dg.AssetSelection.groups("ledger"),
    description="The live log into the lake.",
)
daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.groups("events", "tiles", "activity", "text"),
    partitions_def=days,
    description="A day's events to features and vectors, each past its gate.",
)
serving = dg.define_asset_job(
    "serving",
    selection=dg.AssetSelection.groups("serving"),
    description="The newest of every feature into Redis.",
)
training = dg.define_asset_job(
    "training",
    selection=dg.AssetSelection.groups("training", "release"),
    description="Labels, training rows, models, and a release that is served if it passes its gates.",
)

land_every_five_minutes = dg.ScheduleDefinition(
    name="land_every_five_minutes",
    job=landing,
    cron_schedule="*/5 * * * *",
    description="Moves the live log into the lake.",
)
train_every_night = dg.ScheduleDefinition(
    name="train_every_night",
    job=training,
    cron_schedule="0 3 * * *",
    description="Builds a release from the newest days; it is served if it passes its gates.",
)


@dg.sensor(
    job=daily,
    minimum_interval_seconds=120,
    description="Runs the days that have events no table has seen, late ones for old days included.",
)
def days_with_new_events(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.RunRequest | dg.SkipReason:
    stale = stale_days(platform.lake)
    if not stale:
        return dg.SkipReason("every landed event is in its day's tables")
    newest_epoch = max(platform.lake.ledger_days().values())
    return dg.RunRequest(
        run_key=f"{stale[0]}:{stale[-1]}:{newest_epoch}", tags=range_tags(stale[0], stale[-1])
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[daily],
    request_job=serving,
    description="What the days produced goes into service.",
)
def days_materialized(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=context.dagster_run.run_id)
