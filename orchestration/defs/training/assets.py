import dagster as dg
import pandas as pd
from pyspark.sql import functions as F

from orchestration import feature_store
from orchestration.defs.activity.assets import TABLES as ACTIVITY
from orchestration.defs.events.assets import clean_events
from orchestration.gated import contract_of, publish_if_sound
from orchestration.quality import suites
from orchestration.resources import Platform
from spark_jobs.jobs import training_labels as labels_job
from spark_jobs.jobs.tables import read_days
from spark_jobs.lake import CURRENT, Lake
from spark_jobs.transforms.sampling import whole_sessions

# What a model is trained on: the newest days that have events.
TRAINING_DAYS = 30
KEYS = ("user_id", "session_id", "session_key", "event_timestamp")
LABELS = ("purchase", "add_to_cart", "leave")


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
    measured = labels_job.run(platform.spark(), platform.lake, run_days)
    yield from publish_if_sound(platform, {"training_labels": suites.training_labels()}, run_days, measured)


@dg.asset(
    deps=[training_labels, *ACTIVITY, "user_intent_embedding"],
    group_name="training",
    kinds={"feast", "spark"},
    owners=["team:machine-learning"],
    description=(
        "The labels with everything a model is given, as it was at that instant: Feast's historical "
        "retrieval of the service the API answers from. Whole sessions, at most INTENT_TRAINING_ROWS rows."
    ),
)
def training_rows(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    spark, lake = platform.spark(), platform.lake
    store = platform.feature_store()
    feature_store.apply_definitions(store, lake.root)
    days = labelled_days(lake)
    labels = read_days(spark, lake, "training_labels", days[0], days[-1])
    share = min(1.0, platform.settings.training_rows / max(1, labels.count()))
    entities = whole_sessions(labels, share).select(*KEYS, *LABELS)
    rows = feature_store.historical(store, entities)
    candidate = lake.candidate("training_rows", CURRENT)
    rows.coalesce(4).write.mode("overwrite").parquet(str(candidate))
    lake.publish("training_rows", CURRENT)
    written = spark.read.parquet(str(lake.partition("training_rows", CURRENT)))
    shares = written.agg(F.count("*").alias("rows"), *(F.avg(t).alias(t) for t in LABELS)).first()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": shares["rows"],
            "sampled": round(share, 4),
            **{f"share of {t}": round(shares[t] or 0.0, 4) for t in LABELS},
        }
    )


def labelled_days(lake: Lake) -> list[str]:
    days = [day for day in lake.ledger_days() if day in lake.parts("clean_events")]
    if not days:
        raise dg.Failure("no day has been materialized yet: run the days first", allow_retries=False)
    return days[-TRAINING_DAYS:]


def read_training_rows(platform: Platform) -> pd.DataFrame:
    """About INTENT_TRAINING_ROWS rows at most: they are trained on in memory."""
    rows = pd.read_parquet(platform.lake.partition("training_rows", CURRENT))
    return rows.assign(session_id=rows.pop("session_key"))
