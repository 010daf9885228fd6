"""Snapshots that the online API answers from: tiles still needed by some window, and session
states.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.aggregates import Activity, Aggregate
from feature_repo.behavior import HOPS_S, SESSION_AGGREGATES, WINDOWS
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import US, hops_of, needed_since
from spark_jobs.transforms.contributions import SESSION_KEYS, is_empty, session_merged


def with_last_session(user_tiles: DataFrame, session_tiles: DataFrame) -> DataFrame:
    """entity_tiles of shoppers, with last_session_id and last_session_us."""
    return user_tiles.join(last_sessions(session_tiles), "user_id", "left")


def entity_tiles(tiles: DataFrame, activity: Activity, as_of: int) -> DataFrame:
    """Rows of the activity's keys, tiles (JSON `[[hop_s, start_us, aggregate position, value], ...]`, in
    order, with values as feature_repo.aggregates has partials) and newest_event_us.
    """
    listed = F.array_sort(F.flatten(F.collect_list(tile_values(activity))))
    return (
        tiles.where(still_needed(as_of))
        .groupBy(*activity.keys)
        .agg(
            F.concat(F.lit("["), F.array_join(F.transform(listed, tile_json), ","), F.lit("]")).alias(
                "tiles"
            ),
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


def tile_values(activity: Activity) -> Column:
    """An array of structs of hop_s, start_us, position and value (JSON), one for each aggregate of which
    the tile has something that a window of its hop needs.
    """
    hop_s, start_us = F.col("hop_s"), F.unix_micros("start")
    values = (
        F.when(
            ~F.expr(is_empty(a)) & hop_s.isin(*hops_of(a.windows_of(WINDOWS))),
            F.struct(
                hop_s.alias("hop_s"),
                start_us.alias("start_us"),
                F.lit(i).alias("position"),
                partial_json(a).alias("value"),
            ),
        )
        for i, a in enumerate(activity.aggregates)
    )
    return F.array_compact(F.array(*values))


def tile_json(tile: Column) -> Column:
    parts = (tile[name].cast("string") for name in ("hop_s", "start_us", "position", "value"))
    return F.concat(F.lit("["), F.concat_ws(",", *parts), F.lit("]"))


def partial_json(aggregate: Aggregate) -> Column:
    column = F.col(aggregate.name)
    if aggregate.op == "last":
        value = F.to_json(F.array(column["value"]))
        time = column["at_us"].cast("string")
        return F.concat(F.lit("["), time, F.lit(","), F.substr(value, F.lit(2)))
    return F.to_json(column) if aggregate.op == "distinct" else column.cast("string")


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
            *(session_merged(a).alias(a.name) for a in SESSION_AGGREGATES),
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
