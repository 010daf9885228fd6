import time

import dagster as dg

from models.document import markdown
from orchestration import canary, verification_report
from orchestration.partitions import ONE_RUN, days
from orchestration.resources import Platform
from orchestration.verification import NOTHING, Verification, verify_day
from spark_jobs.day_files import day_files
from spark_jobs.jobs.command import now_us
from spark_jobs.jobs.score_inputs import NOT_LANDED

GROUP = "verification"
OWNERS = ["team:data-platform"]
EQUAL = "served_inputs_equal_the_lakes"
VISIBLE = "events_are_visible_when_acknowledged"
LANDED = "events_land_in_time"

# Visible means at the first read after the answer, and reads have to be answered while the page is open.
VISIBLE_READS, VISIBLE_P99_MS = 1, 1_000
# Three landings of `land_every_five_minutes`.
LANDED_P99_S = 900


@dg.asset(
    partitions_def=days,
    backfill_policy=ONE_RUN,
    deps=["score_log", "landed_events", "online_store"],
    group_name=GROUP,
    kinds={"spark", "parquet"},
    owners=OWNERS,
    description=(
        "The day's logged scores against the lake: Spark recomputes every input from Parquet, as known at "
        "the ledger position that the score carries. Mismatches by feature, what explains them, the trend."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            EQUAL,
            asset="score_verification",
            blocking=True,
            description="No score was given an input that the lake does not give; one is too many.",
        )
    ],
)
def score_verification(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    started, lake = time.perf_counter(), platform.lake
    verified = {}
    for day in sorted(context.partition_keys):
        made_of = score_files(platform, day)
        verified[day] = found = verify_day(platform, day)
        verification_report.publish(lake, day, found)
        known = verification_report.known_days(lake, day)
        context.add_asset_metadata(
            {
                "scores verified": found.scores,
                "scores with a mismatch": found.differing,
                "scores skipped": sum(found.skipped.values()),
                "features compared": found.features,
                "mismatches": found.mismatches,
                "details": dg.MetadataValue.md(markdown(verification_report.details(found))),
                "trend": dg.MetadataValue.md(markdown(verification_report.trend(known))),
            },
            partition_key=day,
        )
        if not found.skipped.get(NOT_LANDED):
            lake.write_state("score_verification", {**lake.read_state("score_verification"), day: made_of})
    yield inputs_equal(verified)
    yield dg.MaterializeResult(metadata={"seconds": round(time.perf_counter() - started, 1)})


def score_files(platform: Platform, day: str) -> list[str]:
    return [file.name for file in day_files(platform.lake, "score_log", day)]


def days_to_verify(platform: Platform, before: str) -> list[str]:
    """Days that are over and have scores not verified yet."""
    done = platform.lake.read_state("score_verification")
    parts = platform.lake.parts("score_log")
    return [day for day in parts if day < before and done.get(day) != score_files(platform, day)]


def inputs_equal(verified: dict[str, Verification]) -> dg.AssetCheckResult:
    """Passes only where something was verified, nothing differed and nothing waits."""
    scores = sum(found.scores for found in verified.values())
    differing = sum(found.differing for found in verified.values())
    waiting = sum(found.skipped.get(NOT_LANDED, 0) for found in verified.values())
    why = f"{scores:,} scores were given what the lake gives"
    if differing:
        named = {line for found in verified.values() for line in found.diagnosis}
        why = f"{differing:,} of {scores:,} scores differ; {'; '.join(sorted(named))}"
    elif not scores:
        why = f"{NOTHING} on {', '.join(verified)}: no score has landed, or none can be judged"
    elif waiting:
        why = f"{waiting:,} scores wait for their events to land; run it again after a landing"
    return dg.AssetCheckResult(
        asset_key="score_verification",
        check_name=EQUAL,
        passed=bool(scores) and not differing and not waiting,
        severity=dg.AssetCheckSeverity.ERROR if differing else dg.AssetCheckSeverity.WARN,
        description=why,
    )


class Canary(dg.Config):
    events: int = 60


@dg.asset(
    group_name=GROUP,
    kinds={"redis", "parquet"},
    owners=OWNERS,
    description=(
        "How soon an event counts: events of a canary shopper, posted to the API at INTENT_API_URL and read "
        "back by features and by score; and how soon those of earlier canaries were in the lake."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            VISIBLE,
            asset="freshness",
            blocking=True,
            description="The first read after the answer sees the event, also by score, within a second.",
        ),
        dg.AssetCheckSpec(
            LANDED,
            asset="freshness",
            blocking=True,
            description="Events are in the lake within a quarter of an hour: three landings.",
        ),
    ],
)
def freshness(config: Canary, platform: dg.ResourceParam[Platform]):
    arrived = canary.arrival(platform.lake, now_us())
    yield landed_in_time(arrived)
    sent_at = now_us()
    try:
        shopper, seen = canary.fly(
            platform.settings.own_api_url, platform.clock(), max(canary.MIN_EVENTS, config.events)
        )
    except canary.Unreachable as error:
        yield _check(VISIBLE, str(error), passed=False)
        raise dg.Failure(f"freshness is not known: {error}", allow_retries=False) from error
    canary.note_sent(platform.lake, shopper, sent_at)
    yield visible_at_once(seen)
    figures = {
        f"visible by {way}, ms": [s.ms for s in seen if s.way == way and s.ms is not None]
        for way in ("features", "score")
    }
    figures["in the lake, s"] = arrived.seconds
    yield dg.MaterializeResult(
        asset_key="freshness",
        metadata={
            "canary": shopper,
            "events": len(seen),
            "reads until visible, most": max(s.reads for s in seen),
            "runs that have not landed": len(arrived.waiting),
            **{
                f"{what}: {name}": number
                for what, values in figures.items()
                for name, number in canary.percentiles(values).items()
            },
        },
    )


def visible_at_once(seen: list[canary.Seen]) -> dg.AssetCheckResult:
    unseen = sum(s.ms is None for s in seen)
    late = sum(s.ms is not None and s.reads > VISIBLE_READS for s in seen)
    p99 = canary.percentiles([s.ms for s in seen if s.ms is not None]).get("p99", 0.0)
    problems = [
        f"{unseen} of {len(seen)} events were not seen within {canary.GIVE_UP_S:.0f} s" if unseen else "",
        f"{late} of {len(seen)} events were not seen at the first read" if late else "",
        f"p99 is {p99} ms, the limit is {VISIBLE_P99_MS}" if p99 > VISIBLE_P99_MS else "",
    ]
    said = "; ".join(filter(None, problems))
    return _check(VISIBLE, said or f"seen at the first read, p99 {p99} ms", passed=not said)


def landed_in_time(arrived: canary.Arrival) -> dg.AssetCheckResult:
    overdue = [s for s in arrived.waiting if s > LANDED_P99_S]
    p99 = canary.percentiles(arrived.seconds).get("p99")
    if overdue:
        said = f"a canary's events have not landed for {max(overdue):.0f} s: does `landing` run?"
        return _check(LANDED, said, passed=False)
    if p99 is None:
        return _check(LANDED, "no canary has landed since the last look", passed=True)
    said = f"p99 from posting to commit is {p99:.0f} s, the limit is {LANDED_P99_S}"
    return _check(LANDED, said, passed=p99 <= LANDED_P99_S)


def _check(name: str, description: str, passed: bool) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(asset_key="freshness", check_name=name, passed=passed, description=description)
