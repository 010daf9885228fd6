"""Tiles: partial aggregates of one entity over one hop, or of one session over a day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.aggregates import Activity
from feature_repo.behavior import SESSION_AGGREGATES, WINDOWS
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import DAY_S, US, Window, hops_of
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


def day_tiles(events: DataFrame, activity: Activity, newest_us: int) -> DataFrame:
    """Rows of the activity's keys, hop_s, start, one column per aggregate, newest_event_us; of every hop as
    far back as `kept_since` says. `newest_us` is the ledger's newest event time.
    """
    declared = activity.windows_of(WINDOWS)
    starts = {hop_s: hop_start(F.col(AT), hop_s) for hop_s in hops_of(declared)}
    kept = (
        F.when(start >= F.expr(kept_since(declared, hop_s, AT, newest_us)), F.struct(F.lit(hop_s), start))
        for hop_s, start in starts.items()
    )
    return (
        event_contributions(events, activity)
        .select("*", F.inline(F.array_compact(F.array(*kept))).alias("hop_s", "start_us"))
        .groupBy(*activity.keys, "hop_s", "start_us")
        .agg(
            *(merged_partials(a).alias(a.name) for a in activity.aggregates),
            F.max(AT).alias("newest_event_us"),
        )
        .withColumn("start", micros("start_us"))
        .select(*activity.keys, "hop_s", "start", *aggregate_names(activity), "newest_event_us")
    )


def kept_since(declared: tuple[Window, ...], hop_s: int, at_us: str, newest_us: int) -> str:
    """SQL for the first start of the tiles that are kept of a hop, on the UTC day of `at_us` (SQL too), for
    windows as `declared`.

    Windows are read at the newest event or later, and at days' ends: none reaches further back. It is a
    start of the next longer hop, so that where one kind of tiles ends the other begins.
    """
    longer_us = min((s for s in hops_of(declared) if s > hop_s), default=DAY_S) * US
    length_us = max(w.length_s for w in declared if w.hop_s == hop_s) * US
    day_us = DAY_S * US
    read_at = f"least({at_us} - pmod({at_us}, {day_us}L) + {day_us - 1}L, {newest_us}L)"
    return f"({read_at} - {length_us}L) div {longer_us}L * {longer_us}L"


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
