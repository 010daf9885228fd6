"""What each event contributes to the declared aggregates: the columns that everything else merges.

A *contribution* is a row of an activity's keys, `at_us` (bigint, microseconds UTC) and one column per
aggregate, null where there is nothing (counts and sums: 0). An event is one; so is a tile, taken to
stand at its start.
"""

from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame, WindowSpec
from pyspark.sql import functions as F

from feature_repo.aggregates import ADDED, Activity, Aggregate, Where
from feature_repo.behavior import SESSION_AGGREGATES, SessionAggregate
from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import NO_ITEM
from feature_repo.sketch import HASH_BITS, HASH_HEX_DIGITS, K
from feature_repo.windows import US

AT = "at_us"
SESSION_AGGREGATE_NAMES = [a.name for a in SESSION_AGGREGATES]
SESSION_KEYS = ["user_id", "session_id"]
STEP = "step"


def aggregate_names(activity: Activity) -> list[str]:
    return [a.name for a in activity.aggregates]


def partial_type(aggregate: Aggregate) -> str:
    """The Spark type of its column."""
    if aggregate.op == "last":
        return f"struct<at_us:bigint,value:{'string' if aggregate.is_text else 'bigint'}>"
    return "array<bigint>" if aggregate.op == "distinct" else "bigint"


def of_activity(events: DataFrame, activity: Activity) -> DataFrame:
    """The events that count for some entity of the activity, and for some aggregate."""
    counted = [F.col(key).isNotNull() for key in activity.keys]
    personal = [F.col("personal")] if activity.personal else []
    concerns = reduce(or_, (concerned(a) for a in activity.aggregates))
    return events.where(reduce(and_, (*personal, *counted, concerns)))


def event_contributions(events: DataFrame, activity: Activity) -> DataFrame:
    return of_activity(events, activity).select(
        *activity.keys,
        F.unix_micros("event_time").alias(AT),
        *(partial(a).alias(a.name) for a in activity.aggregates),
    )


def concerned(aggregate: Aggregate) -> Column:
    """Whether an event contributes: aggregates.Aggregate.partial is not None."""
    conditions = [F.col("event_type").isin(*aggregate.event_types), *map(holds, aggregate.where)]
    if aggregate.field is not None:
        conditions.append(F.col(aggregate.field).isNotNull())
    if aggregate.op == "sum":
        conditions.append(F.col(aggregate.field) != 0)
    return reduce(and_, conditions)


def holds(where: Where) -> Column:
    field = F.col(where.field)
    conditions = [field.isNotNull()]
    if where.among:
        conditions.append(field.isin(*where.among))
    if where.at_least is not None:
        conditions.append(field >= where.at_least)
    if where.at_most is not None:
        conditions.append(field <= where.at_most)
    return reduce(and_, conditions)


def partial(aggregate: Aggregate) -> Column:
    """aggregates.Aggregate.partial of columns."""
    if aggregate.op == "count":
        value = F.lit(1)
    elif aggregate.op == "last":
        value = F.struct(F.unix_micros("event_time").alias("at_us"), F.col(aggregate.field).alias("value"))
    elif aggregate.op == "distinct":
        value = F.array(hashed(F.col(aggregate.field)))
    else:
        value = F.col(aggregate.field)
    found = F.when(concerned(aggregate), value)
    if aggregate.op in ADDED:
        found = F.coalesce(found, F.lit(0))
    return found.cast(partial_type(aggregate))


def hashed(value: Column) -> Column:
    """sketch.hash_digits of a column, as a number."""
    digits = F.substring(F.md5(F.encode(value.cast("string"), "UTF-8")), 1, HASH_HEX_DIGITS)
    return F.conv(digits, 16, 10).cast("bigint")


def merged_partials(
    aggregate: Aggregate, over: WindowSpec | None = None, column: str | None = None
) -> Column:
    """The aggregate over many contributions, of a group or of a window's frame; `column`: where they are, if
    not in the column of its name."""
    column = column or aggregate.name
    if aggregate.op == "distinct":
        sketches = F.collect_set(column)
        return union_of(sketches if over is None else sketches.over(over))
    merge = {"count": F.sum, "sum": F.sum, "min": F.min, "max": F.max, "last": F.max}[aggregate.op]
    merged = merge(column)
    return merged if over is None else merged.over(over)


def union_of(sketches: Column) -> Column:
    """sketch.merged of an array of arrays, null where that is empty."""
    smallest = F.slice(F.array_sort(F.array_distinct(F.flatten(sketches))), 1, K)
    return F.when(F.size(smallest) > 0, smallest)


def value_of(aggregate: Aggregate, merged: Column) -> Column:
    """aggregates.Aggregate.value_of of a column of merged partials."""
    if aggregate.op == "last":
        return merged["value"]
    if aggregate.op == "distinct":
        size = F.coalesce(F.size(merged), F.lit(0))
        kth = F.greatest(F.get(merged, K - 1), F.lit(1).cast("bigint"))
        estimate = F.call_function("div", F.lit((K - 1) << HASH_BITS), kth)
        return F.when(size < K, size.cast("bigint")).otherwise(estimate)
    return F.coalesce(merged, F.lit(0)) if aggregate.op in ADDED else merged


def is_empty(aggregate: Aggregate) -> str:
    """SQL that holds where a tile has nothing of the aggregate."""
    return f"{aggregate.name} = 0" if aggregate.op in ADDED else f"{aggregate.name} IS NULL"


def of_client_sessions(events: DataFrame) -> DataFrame:
    return events.where(F.col("personal") & F.col("session_id").isNotNull())


def session_contributions(events: DataFrame) -> DataFrame:
    """Rows of shopper, client session, `at_us`, one column per session aggregate (times: null if
    none) and `step`, a struct of the fields of sequence.Step.
    """
    return of_client_sessions(events).select(
        *SESSION_KEYS,
        F.unix_micros("event_time").alias(AT),
        *(session_aggregate_column(a).alias(a.name) for a in SESSION_AGGREGATES),
        step_column().alias(STEP),
    )


def step_column() -> Column:
    """sequence.step_of of columns."""
    positions = F.array(*(F.lit(event_type) for event_type in EVENT_TYPES))
    code = F.greatest(F.crc32(F.encode("item_id", "UTF-8")), F.lit(1))
    item = F.when(F.col("item_id").isNotNull(), code).otherwise(NO_ITEM)
    return F.struct(
        F.unix_micros("event_time").alias("at_us"),
        (F.array_position(positions, F.col("event_type")) - 1).cast("int").alias("event_type"),
        item.cast("bigint").alias("item"),
    )


def session_aggregate_column(aggregate: SessionAggregate) -> Column:
    value = {
        "count": F.lit(1),
        "sum": F.col("amount"),
        "min_time": F.unix_micros("event_time"),
        "max_time": F.unix_micros("event_time"),
    }[aggregate.op]
    absent = None if aggregate.op.endswith("_time") else 0
    types = aggregate.event_types
    matches = F.col("event_type").isin(*types) if types else F.lit(True)
    return F.when(matches, value).otherwise(absent).cast("bigint")


def session_merged(aggregate: SessionAggregate) -> Column:
    """The session aggregate over many contributions, as an aggregate function of its column."""
    merge = {"count": F.sum, "sum": F.sum, "min_time": F.min, "max_time": F.max}[aggregate.op]
    return merge(aggregate.name)


def micros(column: str | Column) -> Column:
    """Timestamp of a bigint of microseconds."""
    return F.timestamp_micros(column)


def hop_start(at_us: Column, hop_s: Column | int) -> Column:
    """windows.tile_start of columns."""
    hop_s = F.lit(hop_s) if isinstance(hop_s, int) else hop_s
    return at_us - F.pmod(at_us, hop_s.cast("bigint") * US)
