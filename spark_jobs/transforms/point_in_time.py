"""The declared windows at any instants of history, exactly, in one shuffle by entity.

*Where windows change*: an event adds to a window twice, its value when it happens, and minus its value when
the window's tail passes it (`Window.expiry`). So the value of every window at any time is a running sum of
such *steps*, and the steps' own times are the only times at which anything changes.

*At given rows*: each reads running sums at its own instant and at each window's tail, which is less work
where rows are fewer than events.

History need not be raw events. Before the first instant of interest, tiles do as well as events if
they are so fine that no window's tail ever falls inside one: `tile_stretches` says which.
"""

from itertools import islice
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window, WindowSpec
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
ASKED, ROW = "asked", "row"


class Stretch(NamedTuple):
    """Tiles of one hop from `start_us` (included) to `end_us` (not included)."""

    hop_s: int
    start_us: int
    end_us: int


def tile_stretches(first_us: int, declared: tuple[windows.Window, ...]) -> tuple[Stretch, ...]:
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
    for stretch in tile_stretches(first_us, activity.windows_of(WINDOWS)):
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
    leaves = (step(activity, expiry(F.col(AT), w), w) for w in activity.windows_of(WINDOWS))
    return history.select(*activity.keys, F.inline(F.array(enters, *leaves)))


def step(activity: Activity, at_us: Column, window: windows.Window | None) -> Column:
    def given(aggregate: Aggregate) -> Column:
        if window is None:
            return F.col(aggregate.name)
        taken_back = -F.col(aggregate.name) if aggregate.op in ADDED else F.lit(None)
        return taken_back.cast(partial_type(aggregate))

    return F.struct(
        at_us.alias(AT),
        position(window),
        *(given(a).alias(a.name) for a in activity.aggregates),
    )


def position(window: windows.Window | None) -> Column:
    return F.lit(None if window is None else WINDOWS.index(window)).cast("int").alias(WINDOW)


def expiry(at_us: Column, window: windows.Window) -> Column:
    """Window.expiry of a column."""
    return hop_start(at_us, window.hop_s) + F.lit((window.hop_s + window.length_s) * US)


def features_of(activity: Activity) -> list[tuple[Aggregate, windows.Window]]:
    return [(a, w) for a in activity.aggregates for w in a.windows_of(WINDOWS)]


def in_order(activity: Activity) -> WindowSpec:
    """An entity's steps in order of time. Where something is merged, hops are named too: they change nothing
    in the order, but show Spark that it has sorted by them already."""
    merged = (hop_number(w) for a, w in features_of(activity) if a.op not in ADDED)
    return Window.partitionBy(*activity.keys).orderBy(*islice(merged, 1), AT)


def values_now(activity: Activity) -> list[Column]:
    """Every windowed feature over rows of steps, at the instant of each row."""
    return [
        (added_now(activity, a, w) if a.op in ADDED else merged_now(activity, a, w)).alias(a.feature(w))
        for a, w in features_of(activity)
    ]


def added_now(activity: Activity, aggregate: Aggregate, window: windows.Window) -> Column:
    """The running sum; the default frame takes all rows of an instant."""
    concerned = F.col(WINDOW).isNull() | (F.col(WINDOW) == WINDOWS.index(window))
    part = F.when(concerned, F.col(aggregate.name))
    return F.coalesce(F.sum(part).over(in_order(activity)), F.lit(0)).cast("bigint")


def merged_now(activity: Activity, aggregate: Aggregate, window: windows.Window) -> Column:
    """What cannot be taken back is merged anew: the whole hops that the window covers before this one, and
    of this one what has happened.
    """
    number, hops = hop_number(window), window.length_s // window.hop_s
    this_hop = Window.partitionBy(*activity.keys, number).orderBy(AT)
    before = Window.partitionBy(*activity.keys).orderBy(number).rangeBetween(-hops, -1)
    parts = [merged_partials(aggregate, over) for over in (before, this_hop)]
    if aggregate.op == "distinct":
        none = F.array().cast(partial_type(aggregate))
        merged = union_of(F.array(*(F.coalesce(part, none) for part in parts)))
    else:
        merged = (F.least if aggregate.op == "min" else F.greatest)(*parts)
    return value_of(aggregate, merged)


def hop_number(window: windows.Window) -> Column:
    return F.call_function("div", F.col(AT), F.lit(window.hop_s * US))


def window_values_at(rows: DataFrame, history: DataFrame, activity: Activity) -> DataFrame:
    """`rows` (entity, event_timestamp and any other columns) with a column per windowed feature.

    Events at a row's own instant count for it, later ones do not. `history` holds the
    contributions of all that can matter to the earliest row; where there is none, features are what
    "nothing happened" is.

    Each row reads the history at its own instant and at the tail of each window. A sum is what has been
    added up by the one, less what had been by the other. What cannot be taken back is merged over stretches
    of a window's length: a window is the end of one stretch and the beginning of the next, so that both are
    running merges, one against time (van Herk 1992; Gil and Werman 1993).
    """
    at_us = F.unix_micros(f"{ASKED}.event_timestamp")
    tails = (reading(tail(at_us, w) - 1, w) for w in activity.windows_of(WINDOWS))
    asked = rows.select(
        *activity.keys, F.struct(*rows.columns).alias(ASKED), F.monotonically_increasing_id().alias(ROW)
    )
    readings = asked.select("*", F.inline(F.array(reading(at_us, None), *tails)))
    # By number: adaptive execution would leave one partition a core, and cores would wait for the largest.
    partitions = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions"))
    both = with_single_hashes(history, activity).unionByName(readings, allowMissingColumns=True)
    running = both.repartition(partitions, *activity.keys).select(
        *activity.keys, ROW, ASKED, WINDOW, *(c.alias(name) for name, c in running_of(activity).items())
    )
    features = features_of(activity)
    return (
        running.where(F.col(ROW).isNotNull())
        .select(*activity.keys, ROW, ASKED, *(read(a, w).alias(a.feature(w)) for a, w in features))
        .groupBy(*activity.keys, ROW, ASKED)
        .agg(*(merged_partials(a, column=a.feature(w)).alias(a.feature(w)) for a, w in features))
        .select(f"{ASKED}.*", *(value_of(a, F.col(a.feature(w))).alias(a.feature(w)) for a, w in features))
    )


def reading(at_us: Column, window: windows.Window | None) -> Column:
    return F.struct(at_us.alias(AT), position(window))


def tail(at_us: Column, window: windows.Window) -> Column:
    """Window.tail of a column."""
    return hop_start(at_us - window.length_s * US, window.hop_s)


def with_single_hashes(history: DataFrame, activity: Activity) -> DataFrame:
    """A row for each hash of a sketch, the others without anything else: a set of numbers grows faster than
    one of sketches."""
    for distinct in (a.name for a in activity.aggregates if a.op == "distinct"):
        others = [c for c in aggregate_names(activity) if c != distinct]
        is_first = F.col("place").isNull() | (F.col("place") == 0)
        history = history.select(
            *activity.keys, AT, *others, F.posexplode_outer(distinct).alias("place", distinct)
        ).select(*activity.keys, AT, distinct, *(F.when(is_first, F.col(c)).alias(c) for c in others))
    return history


def running_of(activity: Activity) -> dict[str, Column]:
    """By name, what has been added up since the beginning, and merged since a stretch began, or is left of
    it, at each row of history and readings."""
    is_reading = F.col(ROW).isNotNull()
    merged = [(a, w) for a, w in features_of(activity) if a.op not in ADDED]
    in_order = Window.partitionBy(*activity.keys).orderBy(
        *(stretch_of(w) for _, w in merged[:1]), AT, is_reading
    )
    added = (a for a in activity.aggregates if a.op in ADDED)
    columns = {a.name: F.sum(a.name).over(until_row(in_order)) for a in added}
    for a, w in merged:
        stretch = Window.partitionBy(*activity.keys, stretch_of(w))
        for name, order in ((begun, (AT, is_reading)), (left, (F.desc(AT), ~is_reading))):
            over = until_row(stretch.orderBy(*order))
            hashes = a.op == "distinct"
            columns[name(a, w)] = F.collect_set(a.name).over(over) if hashes else merged_partials(a, over)
    return columns


def stretch_of(window: windows.Window) -> Column:
    """A reading of a tail stands just before the stretch that it reads what is left of."""
    at = F.col(AT) + F.when(F.col(WINDOW).isNotNull(), 1).otherwise(0)
    return F.call_function("div", at, F.lit(window.length_s * US))


def until_row(ordered: WindowSpec) -> WindowSpec:
    return ordered.rowsBetween(Window.unboundedPreceding, Window.currentRow)


def begun(aggregate: Aggregate, window: windows.Window) -> str:
    return f"{aggregate.feature(window)}_begun"


def left(aggregate: Aggregate, window: windows.Window) -> str:
    return f"{aggregate.feature(window)}_left"


def read(aggregate: Aggregate, window: windows.Window) -> Column:
    """What one reading is for a feature, to be merged with its row's others."""
    is_head, is_tail = F.col(WINDOW).isNull(), F.col(WINDOW) == WINDOWS.index(window)
    if aggregate.op in ADDED:
        return F.when(is_head, F.col(aggregate.name)).when(is_tail, -F.col(aggregate.name))
    return F.when(is_head, F.col(begun(aggregate, window))).when(is_tail, F.col(left(aggregate, window)))


def change_rows(history: DataFrame, activity: Activity, first_us: int, last_us: int) -> DataFrame:
    """Rows of entity, event_timestamp and every feature at each instant in [first_us, last_us) at
    which an event happens or leaves a window: between two such rows nothing changes.
    """
    following = F.lead(AT).over(in_order(activity))
    ends_instant = following.isNull() | (following > F.col(AT))
    return (
        steps(history, activity)
        .where(F.col(AT) < last_us)
        .select(*activity.keys, AT, ends_instant.alias("ends_instant"), *values_now(activity))
        .where(F.col("ends_instant") & (F.col(AT) >= first_us))
        .withColumn("event_timestamp", micros(AT))
        .select(*activity.keys, "event_timestamp", *feature_names(activity))
    )


def feature_names(activity: Activity) -> list[str]:
    return [a.feature(w) for a, w in features_of(activity)]
