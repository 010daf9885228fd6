"""The jobs, and what starts them: landing on a schedule, the days whose events changed, service after."""

import dagster as dg

from orchestration.defs.verification.assets import days_to_verify
from orchestration.partitions import days, range_tags
from orchestration.resources import Platform
from orchestration.staleness import stale_days
from spark_jobs.lake import day_of

# What lands beside events; the contract of scores is checked where they are used, with Spark.
LANDED = dg.AssetSelection.assets("score_log", "feedback").without_checks()

landing = dg.define_asset_job(
    "landing",
    selection=dg.AssetSelection.groups("ledger") | LANDED,
    description="Events, scores and corrections into the lake.",
)
daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.groups("events", "tiles", "activity", "profiles", "text"),
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
    selection=dg.AssetSelection.groups("training", "release") | dg.AssetSelection.assets("feedback"),
    description=(
        "Labels, training rows, models, and a release that is served if it passes its gates and is better "
        "than what is served."
    ),
)
monitoring = dg.define_asset_job(
    "monitoring",
    selection=dg.AssetSelection.groups("monitoring"),
    description="Outcomes join the scores that were served, and each release is held against its report.",
)

verification = dg.define_asset_job(
    "verification",
    selection=dg.AssetSelection.assets("score_verification"),
    partitions_def=days,
    description="A day's scores, their inputs recomputed from the lake.",
)
canary = dg.define_asset_job(
    "canary",
    selection=dg.AssetSelection.assets("freshness"),
    description="How soon posted events are seen and in the lake.",
)

land_every_five_minutes = dg.ScheduleDefinition(
    name="land_every_five_minutes",
    job=landing,
    cron_schedule="*/5 * * * *",
    description="Moves events, scores and corrections into the lake.",
)
train_every_night = dg.ScheduleDefinition(
    name="train_every_night",
    job=training,
    cron_schedule="0 3 * * *",
    description="Trains a challenger on the newest days; it is served if better than what is served.",
)
monitor_every_hour = dg.ScheduleDefinition(
    name="monitor_every_hour",
    job=monitoring,
    cron_schedule="25 * * * *",
    description="Joins the outcomes that have become known and measures what was served.",
)
canary_every_hour = dg.ScheduleDefinition(
    name="canary_every_hour",
    job=canary,
    cron_schedule="40 * * * *",
    description="Posts the canary's events to the API and measures when they are seen.",
)


@dg.schedule(
    job=verification,
    cron_schedule="10 1 * * *",
    description="Verifies the scores of the days that are over and have some not verified yet.",
)
def verify_every_day(
    context: dg.ScheduleEvaluationContext, platform: dg.ResourceParam[Platform]
) -> list[dg.RunRequest] | dg.SkipReason:
    due = days_to_verify(platform, day_of(platform.clock()))
    if not due:
        return dg.SkipReason("every landed score of the days that are over is verified")
    return [dg.RunRequest(partition_key=day) for day in due]


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
