"""What each event adds to the declared aggregates: the columns that everything else sums.

A *contribution* is a row of entity, `at_us` (bigint, microseconds UTC) and one bigint column per
aggregate. An event is one; so is a tile, taken to stand at its start.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.behavior import AGGREGATES, SESSION_AGGREGATES, SessionAggregate
from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import NO_ITEM
from feature_repo.windows import US, Aggregate

AT = "at_us"
AGGREGATE_NAMES = [a.name for a in AGGREGATES]
SESSION_AGGREGATE_NAMES = [a.name for a in SESSION_AGGREGATES]
SESSION_KEYS = ["user_id", "session_id"]
STEP = "step"


def of_entity(events: DataFrame, entity_column: str) -> DataFrame:
    """The events that count for an entity: all that name the item, only personal ones for a
    shopper.
    """
    counted = F.col("personal") if entity_column == "user_id" else F.col(entity_column).isNotNull()
    return events.where(counted)


def of_client_sessions(events: DataFrame) -> DataFrame:
    return events.where(F.col("personal") & F.col("session_id").isNotNull())


def event_contributions(events: DataFrame, entity_column: str) -> DataFrame:
    return of_entity(events, entity_column).select(
        entity_column,
        F.unix_micros("event_time").alias(AT),
        *(aggregate_column(a).alias(a.name) for a in AGGREGATES),
    )


def aggregate_column(aggregate: Aggregate) -> Column:
    value = F.lit(1) if aggregate.value == "one" else F.col("amount")
    matches = F.col("event_type").isin(*aggregate.event_types)
    return F.when(matches, value).otherwise(0).cast("bigint")


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


def merged(aggregate: SessionAggregate) -> Column:
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
