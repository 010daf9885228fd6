import time

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.behavior.live import (
    MIN_SESSIONS,
    OVERALL,
    LiveFigures,
    broken_promises,
    live_figures,
    promises,
)
from models.runtime.release import read_manifest
from orchestration import releases
from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, publish_if_sound
from orchestration.live_report import figures_markdown, figures_table, trends
from orchestration.quality import prediction_suites
from orchestration.resources import Platform
from orchestration.scores import Landed, land_feedback, land_scores
from spark_jobs.day_files import day_files
from spark_jobs.jobs import outcomes as outcomes_job
from spark_jobs.lake import CURRENT, Lake

GROUP = "monitoring"
OWNERS = ["team:machine-learning"]
SEED = 7
PROMISES = "served_release_keeps_its_promises"
WHAT_TO_DO = (
    "shoppers or their data have changed: look at the trend and at the day's quality report, then run the "
    "job `training`; `intent release rollback` if it began with this release"
)
# What live quality is measured on: the newest days that have outcomes.
QUALITY_DAYS = 30


@dg.asset(
    group_name=GROUP,
    kinds={"redis", "parquet"},
    owners=OWNERS,
    description=(
        "Every score that was served, with its inputs, moved from Redis into the lake; each once, also when "
        "a landing is killed and run again."
    ),
    retry_policy=dg.RetryPolicy(max_retries=3, delay=5),
)
def score_log(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    return _landed(platform.lake, "score_log", land_scores(platform.ledger, platform.lake))


@dg.asset(
    group_name=GROUP,
    kinds={"redis", "parquet"},
    owners=OWNERS,
    description=(
        "Corrections of utterance intents posted to /v1/feedback, moved from Redis into the lake, where the "
        "next training of the utterance model reads them."
    ),
    retry_policy=dg.RetryPolicy(max_retries=3, delay=5),
)
def feedback(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    return _landed(platform.lake, "feedback", land_feedback(platform.ledger, platform.lake))


def _landed(lake: Lake, table: str, landed: Landed) -> dg.MaterializeResult:
    files = [file for day in landed.days for file in day_files(lake, table, day)]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": landed.rows,
            "had landed before": landed.repeats,
            "days touched": ", ".join(landed.days) or "none",
            "files of these days": len(files),
        }
    )


@dg.asset(
    deps=[score_log, clean_events],
    group_name=GROUP,
    kinds={"spark", "parquet"},
    owners=OWNERS,
    check_specs=contract_of("outcomes"),
    retry_policy=dg.RetryPolicy(max_retries=1, delay=5),
    description=(
        "Each score with what came after it, by the labels that training uses. A score whose horizon runs "
        "past the end of the log stays open, and its day is joined again as the log goes on."
    ),
)
def outcomes(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    lake = platform.lake
    joined = lake.read_state("outcomes")
    to_join = outcomes_job.days_to_join(lake, joined)
    if not to_join:
        context.log.info("the outcomes of every day are those of its newest scores and events")
        yield _nothing_to_join()
        yield dg.MaterializeResult(metadata={"days joined": "none: nothing has changed"})
        return
    days, horizons = sorted(to_join), releases.label_horizons(platform)
    with lake.exclusive("score_log"):
        measured = outcomes_job.run(platform.spark(), lake, days, horizons)
    suite = prediction_suites.outcomes(days[0], days[-1])
    yield from publish_if_sound(platform, {"outcomes": suite}, days, measured)
    lake.write_state("outcomes", {**joined, **to_join})


def _nothing_to_join() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key="outcomes",
        check_name="outcomes_meets_its_contract",
        passed=True,
        metadata={"rows": 0, "expectations": "nothing new to check"},
    )


@dg.asset(
    deps=[outcomes],
    group_name=GROUP,
    kinds={"numpy", "parquet"},
    owners=OWNERS,
    description=(
        "How good the served scores turned out to be: ROC-AUC, log-loss, Brier score and calibration error "
        "of each release and target, by day and overall, with 95 % intervals from resampling sessions."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            PROMISES,
            asset="live_quality",
            description=(
                "The release that is served ranks and is calibrated as its report promised, within noise."
            ),
        )
    ],
)
def live_quality(platform: dg.ResourceParam[Platform]):
    started, lake = time.perf_counter(), platform.lake
    figures = list(live_figures(read_outcomes(lake), SEED)) if lake.parts("outcomes") else []
    write_figures(lake, figures)
    served = releases.served(platform)
    yield promises_kept(platform, figures)
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(figures),
            "served": served.id if served else "none",
            "overall": dg.MetadataValue.md(figures_markdown(figures)),
            **{name: dg.MetadataValue.md(picture) for name, picture in trends(figures).items()},
            "seconds": round(time.perf_counter() - started, 1),
        }
    )


def promises_kept(platform: Platform, figures: list[LiveFigures]) -> dg.AssetCheckResult:
    served = releases.served(platform)
    overall = [f for f in figures if served and f.release == served.id and f.period == OVERALL]
    measured = [f for f in overall if f.log_loss is not None]
    if not measured:
        why = f"fewer than {MIN_SESSIONS} sessions served by it have known outcomes: nothing to say yet"
        broken = []
    else:
        promised = promises(read_manifest(platform.releases / served.id).metrics["behavior"])
        broken = [line for f in measured for line in broken_promises(f, promised[f.target])]
        why = "; ".join(broken) or f"{measured[0].known:,} scores with known outcomes are as promised"
    return dg.AssetCheckResult(
        asset_key="live_quality",
        check_name=PROMISES,
        passed=not broken,
        severity=dg.AssetCheckSeverity.WARN,
        description=why,
        metadata={
            "release": served.id if served else "none",
            **({"what to do": WHAT_TO_DO} if broken else {}),
        },
    )


def read_outcomes(lake: Lake) -> pd.DataFrame:
    """Of the newest QUALITY_DAYS days that have any."""
    files = [f for day in lake.parts("outcomes")[-QUALITY_DAYS:] for f in day_files(lake, "outcomes", day)]
    tables = [pq.read_table(f, columns=COLUMNS, partitioning=None) for f in files]
    return pa.concat_tables(tables).to_pandas()


COLUMNS = [
    *("user_id", "session_key", "as_of", "release", "live", "is_bot", "known"),
    *(c for target in outcomes_job.TARGETS for c in (target, f"{target}_probability")),
]


def write_figures(lake: Lake, figures: list[LiveFigures]) -> None:
    folder = lake.candidate("live_quality", CURRENT)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(figures_table(figures), folder / "figures.parquet")
    lake.publish("live_quality", CURRENT)
