"""Tiles: partial aggregates of one entity over one hop, or of one session over a day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.behavior import AGGREGATES, HOPS_S, SESSION_AGGREGATES
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import DAY_S
from spark_jobs.transforms.contributions import (
    AT,
    SESSION_KEYS,
    STEP,
    event_contributions,
    hop_start,
    merged,
    micros,
    session_contributions,
)


def day_tiles(events: DataFrame, entity_column: str) -> DataFrame:
    """Rows of entity_id, hop_s, start, one bigint column per aggregate, newest_event_us; of every
    hop.
    """
    per_hop = F.explode(F.array(*(F.lit(h) for h in HOPS_S))).alias("hop_s")
    contributions = event_contributions(events, entity_column)
    return (
        contributions.select("*", per_hop)
        .withColumn("start_us", hop_start(F.col(AT), F.col("hop_s")))
        .groupBy(F.col(entity_column).alias("entity_id"), "hop_s", "start_us")
        .agg(
            *(F.sum(a.name).alias(a.name) for a in AGGREGATES),
            F.max(AT).alias("newest_event_us"),
        )
        .withColumn("start", micros("start_us"))
        .select("entity_id", "hop_s", "start", *(a.name for a in AGGREGATES), "newest_event_us")
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
            *(merged(a).alias(a.name) for a in SESSION_AGGREGATES),
            F.max_by(STEP, STEP, STEP_LIMIT).alias("steps"),
        )
    )
