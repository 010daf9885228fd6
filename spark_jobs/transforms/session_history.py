"""The features of a client session after each of its events."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.behavior import SESSION_ACTIVITY, SESSION_AGGREGATES
from spark_jobs.transforms.contributions import (
    AT,
    SESSION_AGGREGATE_NAMES,
    SESSION_KEYS,
    merged,
    micros,
    session_contributions,
)


def session_rows(events: DataFrame, tiles: DataFrame, first_us: int) -> DataFrame:
    """Rows of user_id, session_id, event_timestamp and SESSION_ACTIVITY at each instant of
    `events`.

    `tiles` are the session tiles of the days before `first_us`, from which `events` begin.
    """
    recent = session_contributions(events.where(F.unix_micros("event_time") >= first_us))
    going_on = recent.select(*SESSION_KEYS).distinct()
    before = tiles.where(F.unix_micros("start") < first_us).select(
        *SESSION_KEYS, F.unix_micros("start").alias(AT), *SESSION_AGGREGATE_NAMES
    )
    in_order = Window.partitionBy(*SESSION_KEYS).orderBy(AT)
    following = F.lead(AT).over(in_order)
    return (
        recent.unionByName(before.join(going_on, SESSION_KEYS, "left_semi"))
        .select(
            *SESSION_KEYS,
            AT,
            (following.isNull() | (following > F.col(AT))).alias("ends_instant"),
            *(merged(a).over(in_order).alias(a.name) for a in SESSION_AGGREGATES),
        )
        .where(F.col("ends_instant") & (F.col(AT) >= first_us))
        .withColumn("event_timestamp", micros(AT))
        .withColumn("session_duration_s", duration_s())
        .select(*SESSION_KEYS, "event_timestamp", *(f.name for f in SESSION_ACTIVITY))
    )


def duration_s():
    length_us = F.col("session_last_event_us") - F.col("session_first_event_us")
    return length_us.cast("double") / F.lit(1_000_000.0)
