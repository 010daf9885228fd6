"""Snapshots that the online API answers from: tiles still needed by some window, and session
states.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.behavior import AGGREGATES, HOPS_S, SESSION_AGGREGATES, WINDOWS
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import US, needed_since
from spark_jobs.transforms.contributions import SESSION_KEYS, merged


def user_tiles(tiles: DataFrame, session_tiles: DataFrame, as_of: int) -> DataFrame:
    """Rows of user_id, tiles (JSON `[[hop_s, start_us, aggregate position, value], ...]`, in
    order), newest_event_us, last_session_id, last_session_us.
    """
    return entity_tiles(tiles, "user_id", as_of).join(last_sessions(session_tiles), "user_id", "left")


def item_tiles(tiles: DataFrame, as_of: int) -> DataFrame:
    return entity_tiles(tiles, "item_id", as_of)


def entity_tiles(tiles: DataFrame, entity_column: str, as_of: int) -> DataFrame:
    return (
        tiles.where(still_needed(as_of))
        .groupBy(F.col("entity_id").alias(entity_column))
        .agg(
            F.to_json(F.array_sort(F.flatten(F.collect_list(tile_values())))).alias("tiles"),
            F.max("newest_event_us").alias("newest_event_us"),
        )
    )


def still_needed(as_of: int) -> Column:
    """Whether any window at `as_of` or later covers the tile."""
    start = F.unix_micros("start")
    needed = F.lit(False)
    for hop_s in HOPS_S:
        of_hop = F.col("hop_s") == hop_s
        needed = needed | (of_hop & (start >= needed_since(WINDOWS, hop_s, as_of)))
    return needed & (start <= as_of)


def tile_values() -> Column:
    """An array of [hop_s, start_us, position, value], one for each aggregate of the tile that is
    not 0.
    """
    hop_s, start_us = F.col("hop_s").cast("bigint"), F.unix_micros("start")
    values = (
        F.when(F.col(a.name) != 0, F.array(hop_s, start_us, F.lit(i).cast("bigint"), F.col(a.name)))
        for i, a in enumerate(AGGREGATES)
    )
    return F.array_compact(F.array(*values))


def last_sessions(session_tiles: DataFrame) -> DataFrame:
    """Each shopper's client session with the newest event."""
    newest = F.max(F.struct("session_last_event_us", "session_id"))
    return (
        session_tiles.groupBy("user_id")
        .agg(newest.alias("newest"))
        .select(
            "user_id",
            F.col("newest.session_id").alias("last_session_id"),
            F.col("newest.session_last_event_us").alias("last_session_us"),
        )
    )


def session_state(session_tiles: DataFrame, as_of: int, reach_s: int) -> DataFrame:
    """Rows of user_id, session_id, state (JSON object of SESSION_AGGREGATES by name), steps (JSON
    `[[at_us, event type, item], ...]`, the newest, in order), for the sessions with an event in the
    last `reach_s`; a session's state is of all its tiles.
    """
    names = [a.name for a in SESSION_AGGREGATES]
    is_recent = F.col("session_last_event_us") >= as_of - reach_s * US
    recent = session_tiles.where(is_recent).select(*SESSION_KEYS).distinct()
    return (
        session_tiles.join(recent, SESSION_KEYS, "left_semi")
        .groupBy(*SESSION_KEYS)
        .agg(
            *(merged(a).alias(a.name) for a in SESSION_AGGREGATES),
            F.flatten(F.collect_list("steps")).alias("steps"),
        )
        .select(
            *SESSION_KEYS,
            F.to_json(F.struct(*names)).alias("state"),
            F.to_json(F.transform(newest_steps(F.col("steps")), step_values)).alias("steps"),
        )
    )


def newest_steps(steps: Column) -> Column:
    """sequence.newest_steps of an array of steps."""
    newest_first = F.slice(F.sort_array(steps, asc=False), 1, STEP_LIMIT)
    return F.reverse(newest_first)


def step_values(step: Column) -> Column:
    return F.array(step["at_us"], step["event_type"].cast("bigint"), step["item"])
