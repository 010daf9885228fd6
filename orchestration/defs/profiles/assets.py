import dagster as dg

from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, days_to_run, measure, publish_if_sound
from orchestration.partitions import ONE_RUN, days, with_history
from orchestration.personas import centres_of, is_due, persona_table, read_personas, refit
from orchestration.quality import profile_suites
from orchestration.resources import Platform
from orchestration.staleness import seen_through_facts
from spark_jobs.jobs import day_facts as facts_job
from spark_jobs.jobs import profiles as job

GROUP = "profiles"
FACTS = {
    facts_job.USER: "What each shopper did on the day, in numbers that add up over days.",
    facts_job.ITEM: "What was done with each item on the day, bots aside, in numbers that add up over days.",
}
VIEWS = (job.USER, job.ITEM)


@dg.multi_asset(
    name="day_facts",
    specs=[
        dg.AssetSpec(
            table,
            deps=[clean_events],
            group_name=GROUP,
            kinds={"spark", "parquet"},
            owners=["team:data-platform"],
            description=f"{description} Profiles are summed from it; raw events are not read again.",
            partitions_def=days,
        )
        for table, description in FACTS.items()
    ],
    backfill_policy=ONE_RUN,
    check_specs=contract_of(*FACTS),
)
def day_facts(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    run_days, epochs = days_to_run(context, platform)
    measured = measure(platform, facts_job.run, run_days)
    first, last = run_days[0], run_days[-1]
    suite_of = {
        facts_job.USER: profile_suites.user_day_facts(first, last),
        facts_job.ITEM: profile_suites.item_day_facts(first, last),
    }
    yield from publish_if_sound(platform, suite_of, run_days, measured, epochs)


@dg.asset(
    deps=[facts_job.USER],
    group_name=GROUP,
    kinds={"spark", "scikitlearn"},
    owners=["team:machine-learning"],
    description=(
        "Groups of like-minded shoppers, bots aside: k-means over standardised profile numbers, named by "
        "what sets each group apart. Fitted when there are none, and again after a week of newer days; a "
        "refit keeps the names. Between fits a shopper is placed by the same centres every day."
    ),
)
def personas(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    newest = platform.lake.parts(facts_job.USER)[-1]
    fitted = read_personas(platform.lake)
    due = is_due(fitted, newest)
    if due:
        fitted = refit(platform, newest, fitted) or fitted
    if fitted is None:
        return dg.MaterializeResult(metadata={"personas": "none: too few shoppers to group them yet"})
    when = "now" if due else "before"
    return dg.MaterializeResult(
        metadata={
            "personas": persona_table(fitted),
            "version": fitted.version,
            "fitted": f"{when}, on {fitted.shoppers} shoppers until {fitted.fitted_until}",
            "silhouette by number of groups": fitted.silhouettes,
        }
    )


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=[dg.AssetDep(facts_job.USER, partition_mapping=with_history), personas],
    group_name=GROUP,
    kinds={"spark", "feast"},
    owners=["team:data-platform"],
    check_specs=contract_of(job.USER),
    description=(
        "Who each shopper is: recency, frequency and money, lifetime counts, preferences, price band, hours, "
        "device, persona. A row per shopper and day with events; docs/profiles.md defines every number."
    ),
)
def user_profile(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    lake = platform.lake
    run_days, _ = days_to_run(context, platform)
    epochs = {day: seen_through_facts(lake, day) for day in run_days}
    clock, live = platform.publication_instant(), lake.live_days()
    centres = centres_of(read_personas(lake))
    measured = measure(platform, job.run_users, run_days, clock, live, centres)
    yield from publish_if_sound(
        platform, {job.USER: profile_suites.user_profile()}, run_days, measured, epochs
    )


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=[dg.AssetDep(facts_job.ITEM, partition_mapping=with_history)],
    group_name=GROUP,
    kinds={"spark", "feast"},
    owners=["team:data-platform"],
    check_specs=contract_of(job.ITEM),
    description=(
        "What each item is to shoppers: popularity, conversion, price position, what is viewed with it. A "
        "row per item and day with events; docs/profiles.md defines every number."
    ),
)
def item_profile(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    lake = platform.lake
    run_days, _ = days_to_run(context, platform)
    epochs = {day: seen_through_facts(lake, day) for day in run_days}
    clock, live = platform.publication_instant(), lake.live_days()
    measured = measure(platform, job.run_items, run_days, clock, live)
    yield from publish_if_sound(
        platform, {job.ITEM: profile_suites.item_profile()}, run_days, measured, epochs
    )
