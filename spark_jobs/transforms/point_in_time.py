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
from feature_repo.behavior import AGGREGATES, WINDOWS
from feature_repo.windows import DAY_S, US
from spark_jobs.transforms.contributions import (
    AGGREGATE_NAMES,
    AT,
    event_contributions,
    hop_start,
    micros,
)

WINDOW = "window"


class Stretch(NamedTuple):
    """Tiles of one hop from `start_us` (included) to `end_us` (not included)."""

    hop_s: int
    start_us: int
    end_us: int


def tile_stretches(first_us: int, declared: tuple[windows.Window, ...] = WINDOWS) -> tuple[Stretch, ...]:
    """The tiles that stand for all events before `first_us`, the start of a UTC day; newest first.

    Near `first_us` every window's tail may fall, so tiles there are of the shortest hop; further
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
        reach = min(end, windows.needed_since(declared, hop_s, first_us))
        start = windows.tile_start(reach, next_s)
        if start < end:
            stretches.append(Stretch(hop_s, start, end))
        end = start
    return tuple(stretches)


def tile_contributions(tiles: DataFrame, entity_column: str, first_us: int) -> DataFrame:
    """Contributions that stand for everything before `first_us`, out of the days' tiles."""
    start = F.unix_micros("start")
    wanted = F.lit(False)
    for stretch in tile_stretches(first_us):
        wanted = wanted | (
            (F.col("hop_s") == stretch.hop_s) & (start >= stretch.start_us) & (start < stretch.end_us)
        )
    return tiles.where(wanted).select(
        F.col("entity_id").alias(entity_column), start.alias(AT), *AGGREGATE_NAMES
    )


def history_before(events: DataFrame, tiles: DataFrame, entity_column: str, first_us: int) -> DataFrame:
    """Contributions for windows at `first_us` or later: events from then on, tiles before it."""
    recent = events.where(F.unix_micros("event_time") >= first_us)
    return event_contributions(recent, entity_column).unionByName(
        tile_contributions(tiles, entity_column, first_us)
    )


def steps(history: DataFrame, entity_column: str) -> DataFrame:
    """Rows of entity, at_us, window (its position; null: all) and what is added to each aggregate
    then.
    """
    enters = step(F.col(AT), None, 1)
    leaves = (step(expiry(F.col(AT), w), i, -1) for i, w in enumerate(WINDOWS))
    return history.select(entity_column, F.inline(F.array(enters, *leaves)))


def step(at_us: Column, window: int | None, sign: int) -> Column:
    return F.struct(
        at_us.alias(AT),
        F.lit(window).cast("int").alias(WINDOW),
        *((F.col(name) * F.lit(sign)).cast("bigint").alias(name) for name in AGGREGATE_NAMES),
    )


def expiry(at_us: Column, window: windows.Window) -> Column:
    """Window.expiry of a column."""
    return hop_start(at_us, window.hop_s) + F.lit((window.hop_s + window.length_s) * US)


def running_values(entity_column: str) -> list[Column]:
    """Every windowed feature over rows of steps; the default frame takes all rows of an instant."""
    until_now = Window.partitionBy(entity_column).orderBy(AT)
    return [
        F.coalesce(F.sum(part_of(a.name, i)).over(until_now), F.lit(0)).cast("bigint").alias(a.feature(w))
        for a in AGGREGATES
        for i, w in enumerate(WINDOWS)
    ]


def part_of(aggregate: str, window: int) -> Column:
    concerned = F.col(WINDOW).isNull() | (F.col(WINDOW) == window)
    return F.when(concerned, F.col(aggregate))


def window_values_at(rows: DataFrame, history: DataFrame, entity_column: str) -> DataFrame:
    """`rows` (entity, event_timestamp and any other columns) with a column per windowed feature.

    Events at a row's own instant count for it, later ones do not. `history` holds the
    contributions of all that can matter to the earliest row; no contribution for an entity: zeros.
    """
    asked = rows.withColumn(AT, F.unix_micros("event_timestamp")).withColumn("asked", F.lit(True))
    return (
        steps(history, entity_column)
        .unionByName(asked, allowMissingColumns=True)
        .select(*rows.columns, "asked", *running_values(entity_column))
        .where("asked")
        .drop("asked")
    )


def change_rows(history: DataFrame, entity_column: str, first_us: int, last_us: int) -> DataFrame:
    """Rows of entity, event_timestamp and every feature at each instant in [first_us, last_us) at
    which an event happens or leaves a window: between two such rows nothing changes.
    """
    in_order = Window.partitionBy(entity_column).orderBy(AT)
    following = F.lead(AT).over(in_order)
    ends_instant = following.isNull() | (following > F.col(AT))
    return (
        steps(history, entity_column)
        .where(F.col(AT) < last_us)
        .select(
            entity_column,
            AT,
            ends_instant.alias("ends_instant"),
            *running_values(entity_column),
        )
        .where(F.col("ends_instant") & (F.col(AT) >= first_us))
        .withColumn("event_timestamp", micros(AT))
        .select(entity_column, "event_timestamp", *feature_names())
    )


def feature_names() -> list[str]:
    return [a.feature(w) for a in AGGREGATES for w in WINDOWS]
