"""Tiles: partial aggregates of one entity over one hop, or of one session over a day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.aggregates import Activity
from feature_repo.behavior import HOPS_S, SESSION_AGGREGATES
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import DAY_S
from spark_jobs.transforms.contributions import (
    AT,
    SESSION_KEYS,
    STEP,
    aggregate_names,
    event_contributions,
    hop_start,
    merged_partials,
    micros,
    session_contributions,
    session_merged,
)


def day_tiles(events: DataFrame, activity: Activity) -> DataFrame:
    """Rows of the activity's keys, hop_s, start, one column per aggregate, newest_event_us; of every
    hop.
    """
    per_hop = F.explode(F.array(*(F.lit(h) for h in HOPS_S))).alias("hop_s")
    return (
        event_contributions(events, activity)
        .select("*", per_hop)
        .withColumn("start_us", hop_start(F.col(AT), F.col("hop_s")))
        .groupBy(*activity.keys, "hop_s", "start_us")
        .agg(
            *(merged_partials(a).alias(a.name) for a in activity.aggregates),
            F.max(AT).alias("newest_event_us"),
        )
        .withColumn("start", micros("start_us"))
        .select(*activity.keys, "hop_s", "start", *aggregate_names(activity), "newest_event_us")
    )


def session_tiles(events: DataFrame) -> DataFrame:
    """Rows of user_id, session_id, start (of the UTC day), one bigint column per session
    aggregate, steps: the newest ones of the day, newest first.
    """
    return (
        session_contributions(events)
        .withColumn("start", micros(hop_start(F.col(AT), DAY_S)))
        .groupBy(*SESSION_KEYS, "start")
        .agg(
            *(session_merged(a).alias(a.name) for a in SESSION_AGGREGATES),
            F.max_by(STEP, STEP, STEP_LIMIT).alias("steps"),
        )
    )
