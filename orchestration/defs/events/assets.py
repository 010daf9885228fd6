import dagster as dg

from models.document import markdown
from orchestration.defs.ledger.assets import landed_events
from orchestration.gated import contract_of, days_to_run, measure, publish_if_sound, stop_if_unsound
from orchestration.partitions import ONE_RUN, days
from orchestration.quality import day_report, ledger_suites, suites
from orchestration.resources import Platform
from spark_jobs.jobs import clean_events as job
from spark_jobs.jobs import quality_days as quality_job
from spark_jobs.jobs.tables import read_ledger

# What the assets of other groups depend on.
clean_events = dg.AssetKey("clean_events")
item_attributes = dg.AssetKey("item_attributes")
LEDGER_CHECK = "ledger_meets_its_contract"

DESCRIPTIONS = {
    clean_events: (
        "A day's events with what was found out about them, as columns: session, bot, outlier, and category, "
        "brand and price as filled and normalised, each with its source. Nothing is removed here, so that "
        "every runtime counts the same events."
    ),
    item_attributes: (
        "What a day's events say of each item: newest category and brand, median price. The days before are "
        "where clean_events fills from."
    ),
}


@dg.multi_asset(
    name="clean_events",
    specs=[
        dg.AssetSpec(
            key,
            deps=[landed_events],
            group_name="events",
            kinds={"spark", "parquet"},
            owners=["team:data-platform"],
            description=description,
            partitions_def=days,
        )
        for key, description in DESCRIPTIONS.items()
    ],
    backfill_policy=ONE_RUN,
    check_specs=[
        dg.AssetCheckSpec(
            LEDGER_CHECK,
            asset=clean_events,
            blocking=True,
            description="What clean_events is made from came in through the door, and only once",
        ),
        *contract_of("clean_events", "item_attributes"),
    ],
)
def cleaned(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    lake, settings = platform.lake, platform.settings
    upto_epoch = max((c.epoch for c in lake.commits()), default=0)
    newest = lake.ledger_days()
    run_days, _ = days_to_run(context, platform)
    epochs = {day: newest[day] for day in run_days}
    first, last = run_days[0], run_days[-1]
    spark = platform.spark()
    landed = read_ledger(spark, lake, run_days, upto_epoch)
    yield from stop_if_unsound(landed, ledger_suites.ledger(first, last), "clean_events", LEDGER_CHECK)
    shop = job.ShopFiles(settings.catalogue, settings.categories)
    measured = measure(platform, job.run, run_days, upto_epoch=upto_epoch, shop=shop)
    ledger = job.ledger_count(spark, lake, run_days, upto_epoch)
    suite_of = {
        "clean_events": suites.clean_events(first, last, settings.currency, ledger),
        "item_attributes": suites.item_attributes(first, last),
    }
    yield from publish_if_sound(platform, suite_of, run_days, measured, epochs)


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=[clean_events],
    group_name="events",
    kinds={"spark", "parquet"},
    owners=["team:data-platform"],
    check_specs=[
        dg.AssetCheckSpec("metrics_follow_their_trend", asset="quality_report", description=day_report.RULE)
    ],
    description=(
        "What cleaning found on each day, and how it develops: filled and from where, corrected, flagged and "
        "why, late, refused at the door. Table `quality_days` keeps the numbers."
    ),
)
def quality_report(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    lake = platform.lake
    run_days, epochs = days_to_run(context, platform)
    made, undated = quality_job.run(platform.spark(), lake, run_days)
    for day in run_days:
        lake.publish(quality_job.TABLE, day, epochs[day])
    first, last = run_days[0], run_days[-1]
    known = quality_job.read(lake, [*day_report.days_before(first, day_report.TREND_DAYS), *run_days])
    newest = max(lake.ledger_days())
    found = [jump for day in run_days for jump in day_report.jumps(known, day, is_over=day < newest)]
    yield dg.AssetCheckResult(
        asset_key="quality_report",
        check_name="metrics_follow_their_trend",
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(map(str, found)) or f"{first} to {last} are as the days before them",
        metadata={"jumps": dg.MetadataValue.md(markdown(day_report.jump_table(found)))} if found else {},
    )
    trend = dg.MetadataValue.md(markdown(day_report.trend_section(known, last)))
    for day, metrics in made.items():
        shares = {f"{name}, %": value for name, value in day_report.percentages(metrics).items()}
        numbers = {name: float(value) for name, value in (metrics | shares).items() if value is not None}
        table = markdown(day_report.day_section(day, metrics, undated))
        context.add_asset_metadata(
            {"the day": dg.MetadataValue.md(table), "trend": trend, **numbers}, partition_key=day
        )
    yield dg.MaterializeResult(asset_key="quality_report", metadata={"days": f"{first} to {last}"})
