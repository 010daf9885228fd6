from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from orchestration.defs.activity.assets import TABLES as ACTIVITY
from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, measure, publish_if_sound
from orchestration.quality import training_suites
from orchestration.quality.training_suites import LABELS
from orchestration.resources import Platform
from spark_jobs.jobs import training_labels as labels_job
from spark_jobs.jobs.tables import read_days
from spark_jobs.lake import CURRENT, Lake
from spark_jobs.transforms.sampling import whole_sessions

if TYPE_CHECKING:
    from feast import FeatureStore

# What a model is trained on: the newest days that have events.
TRAINING_DAYS = 30
KEYS = ("user_id", "session_id", "session_key", "event_timestamp")


@dg.asset(
    deps=[clean_events],
    group_name="training",
    kinds={"spark", "parquet"},
    owners=["team:machine-learning"],
    check_specs=contract_of("training_labels"),
    description=(
        "What shoppers went on to do, at each instant of each session. Rows whose horizon runs past the "
        "end of the log are left out, not called negative."
    ),
)
def training_labels(platform: dg.ResourceParam[Platform]):
    run_days = labelled_days(platform.lake)
    measured = measure(platform, labels_job.run, run_days)
    suite = {"training_labels": training_suites.training_labels()}
    yield from publish_if_sound(platform, suite, run_days, measured)


@dg.asset(
    deps=[training_labels, *ACTIVITY, "user_profile", "user_intent_embedding"],
    group_name="training",
    kinds={"feast", "spark"},
    owners=["team:machine-learning"],
    check_specs=contract_of("training_rows"),
    description=(
        "The labels with everything a model is given, as it was at that instant: Feast's historical "
        "retrieval of the service the API answers from. Whole sessions, at most INTENT_TRAINING_ROWS rows."
    ),
)
def training_rows(platform: dg.ResourceParam[Platform]):
    from orchestration.feature_store import apply_definitions

    lake = platform.lake
    store = platform.feature_store()
    apply_definitions(store, lake.root)
    days = labelled_days(lake)
    measured = measure(platform, retrieve, store, days, platform.settings.training_rows)
    suite = {"training_rows": training_suites.training_rows(days[0], days[-1])}
    yield from publish_if_sound(platform, suite, [CURRENT], measured)


def retrieve(
    spark: SparkSession, lake: Lake, store: "FeatureStore", days: list[str], most_rows: int
) -> dict[str, float]:
    """Write the candidate of `training_rows`, of the labels of these days."""
    from orchestration.feature_store import historical

    labels = read_days(spark, lake, "training_labels", days[0], days[-1])
    share = min(1.0, most_rows / max(1, labels.count()))
    entities = whole_sessions(labels, share).select(*KEYS, *LABELS)
    candidate = str(lake.candidate("training_rows", CURRENT))
    historical(store, entities).coalesce(4).write.mode("overwrite").parquet(candidate)
    shares = spark.read.parquet(candidate).agg(*(F.avg(t).alias(t) for t in LABELS)).first()
    return {
        "sampled": round(share, 4),
        **{f"share of {t}": round(shares[t] or 0.0, 4) for t in LABELS},
    }


def labelled_days(lake: Lake) -> list[str]:
    days = [day for day in lake.ledger_days() if day in lake.parts("clean_events")]
    if not days:
        raise dg.Failure("no day has been materialized yet: run the days first", allow_retries=False)
    return days[-TRAINING_DAYS:]


def read_training_rows(platform: Platform) -> pd.DataFrame:
    """About INTENT_TRAINING_ROWS rows at most: they are trained on in memory."""
    rows = pd.read_parquet(platform.lake.partition("training_rows", CURRENT))
    return rows.assign(session_id=rows.pop("session_key"))


def label_horizon(platform: Platform) -> str:
    """How far the labels of the training rows look: `session` or `day`."""
    files = (
        f
        for day in labelled_days(platform.lake)
        for f in platform.lake.partition("training_labels", day).glob("*.parquet")
    )
    found = (pq.read_table(f, columns=["horizon"], partitioning=None)["horizon"] for f in files)
    return next((column[0].as_py() for column in found if len(column)), "session")
