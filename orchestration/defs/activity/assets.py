from datetime import date, timedelta

import dagster as dg

from feature_repo.behavior import ACTIVITIES
from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, days_to_run, measure, publish_if_sound
from orchestration.partitions import ONE_RUN, days, with_history
from orchestration.quality import suites
from orchestration.resources import Platform
from orchestration.staleness import seen_through_tiles
from spark_jobs.jobs import activity as job
from spark_jobs.jobs.command import now_us
from spark_jobs.lake import TAIL, Lake

TABLES = {
    **{
        a.view: (a.day_tiles, f"Every window of each {a.noun}, a row at each instant one changes.")
        for a in ACTIVITIES
    },
    "session_activity": ("session_day_tiles", "Each client session so far, a row at each of its events."),
}


@dg.multi_asset(
    name="activity",
    specs=[
        dg.AssetSpec(
            table,
            deps=[clean_events, dg.AssetDep(tiles, partition_mapping=with_history)],
            group_name="activity",
            kinds={"spark", "feast"},
            owners=["team:data-platform"],
            description=f"{description} What Feast's historical retrieval reads.",
            partitions_def=days,
        )
        for table, (tiles, description) in TABLES.items()
    ],
    backfill_policy=ONE_RUN,
    check_specs=contract_of(*TABLES),
)
def activity(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    with_events, _ = days_to_run(context, platform)
    epochs = {day: seen_through_tiles(platform.lake, day) for day in with_events}
    run_days = with_quiet_days(platform.lake, with_events)
    reaches_newest = run_days[-1] == max(platform.lake.ledger_days())
    measured = measure(platform, job.run, run_days, created_at=now_us(), tail=reaches_newest)
    suite_of = {
        **{a.view: suites.activity(a) for a in ACTIVITIES},
        "session_activity": suites.session_activity(),
    }
    tails = {a.view: [TAIL] for a in ACTIVITIES} if reaches_newest else {}
    yield from publish_if_sound(platform, suite_of, run_days, measured, epochs, tails)


def with_quiet_days(lake: Lake, days_with_events: list[str]) -> list[str]:
    """Every day from the first to the last, and those since the last day published before them: on days
    without events windows still expire."""
    first, last = days_with_events[0], days_with_events[-1]
    before = [part for part in lake.parts("user_activity") if part < first]
    start = date.fromisoformat(before[-1]) + timedelta(1) if before else date.fromisoformat(first)
    count = (date.fromisoformat(last) - start).days + 1
    return [(start + timedelta(n)).isoformat() for n in range(count)]
