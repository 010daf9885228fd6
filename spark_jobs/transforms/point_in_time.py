"""The declared windows at any instants of history, exactly, in one shuffle by entity.

An event adds to a window twice: its value when it happens, and minus its value when the window's
tail passes it (`Window.expiry`). So the value of every window at any time is a running sum of such
*steps*, and the steps' own times are the only times at which anything changes.

History need not be raw events. Before the first instant of interest, tiles do as well as events if
they are so fine that no window's tail ever falls inside one: `tile_stretches` says which.
"""

from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feature_repo import windows
from feature_repo.aggregates import ADDED, Activity, Aggregate
from feature_repo.behavior import WINDOWS
from feature_repo.windows import DAY_S, US
from spark_jobs.transforms.contributions import (
    AT,
    aggregate_names,
    event_contributions,
    hop_start,
    merged_partials,
    micros,
    partial_type,
    union_of,
    value_of,
)

WINDOW = "window"


class Stretch(NamedTuple):
    """Tiles of one hop from `start_us` (included) to `end_us` (not included)."""

    hop_s: int
    start_us: int
    end_us: int


def tile_stretches(first_us: int, declared: tuple[windows.Window, ...] = WINDOWS) -> tuple[Stretch, ...]:
    """The tiles that stand for all events before `first_us`, the start of a UTC day; newest first.

    They reach as far as the windows do just before it, so that what leaves a window at `first_us` itself is
    seen to. Near `first_us` every window's tail may fall, so tiles there are of the shortest hop; further
    back only longer windows reach. Raises ValueError for hops that do not divide one another and
    the day.
    """
    hops = windows.hops_of(declared)
    coarser = (*hops[1:], DAY_S)
    for hop_s, next_s in zip(hops, coarser, strict=True):
        if next_s % hop_s:
            raise ValueError(f"a hop of {hop_s}s does not divide {next_s}s: windows need nested hops")
    stretches, end = [], first_us
    for hop_s, next_s in zip(hops, coarser, strict=True):
        reach = min(end, windows.needed_since(declared, hop_s, first_us - 1))
        start = windows.tile_start(reach, next_s)
        if start < end:
            stretches.append(Stretch(hop_s, start, end))
        end = start
    return tuple(stretches)


def tile_contributions(tiles: DataFrame, activity: Activity, first_us: int) -> DataFrame:
    """Contributions that stand for everything before `first_us`, out of the days' tiles."""
    start = F.unix_micros("start")
    wanted = F.lit(False)
    for stretch in tile_stretches(first_us):
        wanted = wanted | (
            (F.col("hop_s") == stretch.hop_s) & (start >= stretch.start_us) & (start < stretch.end_us)
        )
    return tiles.where(wanted).select(*activity.keys, start.alias(AT), *aggregate_names(activity))


def history_before(events: DataFrame, tiles: DataFrame, activity: Activity, first_us: int) -> DataFrame:
    """Contributions for windows at `first_us` or later: events from then on, tiles before it."""
    recent = events.where(F.unix_micros("event_time") >= first_us)
    return event_contributions(recent, activity).unionByName(tile_contributions(tiles, activity, first_us))


def steps(history: DataFrame, activity: Activity) -> DataFrame:
    """Rows of entity, at_us, window (its position; null: all) and what each aggregate gets then: what
    adds up is taken back when it leaves, the rest only enters.
    """
    enters = step(activity, F.col(AT), None)
    leaves = (step(activity, expiry(F.col(AT), w), i) for i, w in enumerate(WINDOWS))
    return history.select(*activity.keys, F.inline(F.array(enters, *leaves)))


def step(activity: Activity, at_us: Column, window: int | None) -> Column:
    def given(aggregate: Aggregate) -> Column:
        if window is None:
            return F.col(aggregate.name)
        taken_back = -F.col(aggregate.name) if aggregate.op in ADDED else F.lit(None)
        return taken_back.cast(partial_type(aggregate))

    return F.struct(
        at_us.alias(AT),
        F.lit(window).cast("int").alias(WINDOW),
        *(given(a).alias(a.name) for a in activity.aggregates),
    )


def expiry(at_us: Column, window: windows.Window) -> Column:
    """Window.expiry of a column."""
    return hop_start(at_us, window.hop_s) + F.lit((window.hop_s + window.length_s) * US)


def values_now(activity: Activity) -> list[Column]:
    """Every windowed feature over rows of steps, at the instant of each row."""
    return [
        (added_now(activity, a, i) if a.op in ADDED else merged_now(activity, a, w)).alias(a.feature(w))
        for a in activity.aggregates
        for i, w in enumerate(WINDOWS)
        if w in a.windows_of(WINDOWS)
    ]


def added_now(activity: Activity, aggregate: Aggregate, window: int) -> Column:
    """The running sum; the default frame takes all rows of an instant."""
    until_now = Window.partitionBy(*activity.keys).orderBy(AT)
    concerned = F.col(WINDOW).isNull() | (F.col(WINDOW) == window)
    part = F.when(concerned, F.col(aggregate.name))
    return F.coalesce(F.sum(part).over(until_now), F.lit(0)).cast("bigint")


def merged_now(activity: Activity, aggregate: Aggregate, window: windows.Window) -> Column:
    """What cannot be taken back is merged anew: the whole hops that the window covers before this one, and
    of this one what has happened.
    """
    hop = hop_start(F.col(AT), window.hop_s) / F.lit(window.hop_s * US)
    number = hop.cast("bigint")
    this_hop = Window.partitionBy(*activity.keys, number).orderBy(AT)
    hops = window.length_s // window.hop_s
    before = Window.partitionBy(*activity.keys).orderBy(number).rangeBetween(-hops, -1)
    parts = [merged_partials(aggregate, over) for over in (before, this_hop)]
    if aggregate.op == "distinct":
        none = F.array().cast(partial_type(aggregate))
        merged = union_of(F.array(*(F.coalesce(part, none) for part in parts)))
    else:
        merged = (F.least if aggregate.op == "min" else F.greatest)(*parts)
    return value_of(aggregate, merged)


def window_values_at(rows: DataFrame, history: DataFrame, activity: Activity) -> DataFrame:
    """`rows` (entity, event_timestamp and any other columns) with a column per windowed feature.

    Events at a row's own instant count for it, later ones do not. `history` holds the
    contributions of all that can matter to the earliest row; where there is none, features are what
    "nothing happened" is.
    """
    asked = rows.withColumn(AT, F.unix_micros("event_timestamp")).withColumn("asked", F.lit(True))
    return (
        steps(history, activity)
        .unionByName(asked, allowMissingColumns=True)
        .select(*rows.columns, "asked", *values_now(activity))
        .where("asked")
        .drop("asked")
    )


def change_rows(history: DataFrame, activity: Activity, first_us: int, last_us: int) -> DataFrame:
    """Rows of entity, event_timestamp and every feature at each instant in [first_us, last_us) at
    which an event happens or leaves a window: between two such rows nothing changes.
    """
    in_order = Window.partitionBy(*activity.keys).orderBy(AT)
    following = F.lead(AT).over(in_order)
    ends_instant = following.isNull() | (following > F.col(AT))
    return (
        steps(history, activity)
        .where(F.col(AT) < last_us)
        .select(
            *activity.keys,
            AT,
            ends_instant.alias("ends_instant"),
            *values_now(activity),
        )
        .where(F.col("ends_instant") & (F.col(AT) >= first_us))
        .withColumn("event_timestamp", micros(AT))
        .select(*activity.keys, "event_timestamp", *feature_names(activity))
    )


def feature_names(activity: Activity) -> list[str]:
    return [a.feature(w) for a in activity.aggregates for w in a.windows_of(WINDOWS)]
