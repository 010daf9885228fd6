"""The columns of each table, and the columns they are computed from, as Dagster shows them.

What is declared elsewhere is taken from there; only columns that no feature declares are described here.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import dagster as dg

from feature_repo.aggregates import Activity, Aggregate
from feature_repo.behavior import ACTIVITIES, SESSION_AGGREGATES, WINDOWS, sentence
from feature_repo.definitions.tables import CREATED, ENTITIES, TIMESTAMP, VIEW_BY_NAME
from spark_jobs.jobs.tables import LEDGER as LEDGER_DDL
from spark_jobs.jobs.tables import SCHEMAS

Sources = tuple[tuple[str, str], ...]

LEDGER = "landed_events"
CLEAN = "clean_events"

DESCRIPTIONS = {
    **ENTITIES,
    TIMESTAMP: "the row holds from this instant on",
    CREATED: "when the row was computed; of two rows of one instant the later one counts",
    "event_id": "the client's name for the event, unique per shopper",
    "event_type": "view, search, click, add_to_cart, purchase and others",
    "event_time": "effective time: the earlier of claimed and received",
    "claimed_time": "when the client says that it happened",
    "received_at": "when it arrived",
    "category": "as the event said it",
    "brand": "as the event said it",
    "price": "of one piece, as the event said it, minor units",
    "currency": "the shop's, ISO 4217",
    "quantity": "pieces; 1 where the event named none",
    "text": "what was written",
    "scenario": "search, recommendation, service, marketing or risk",
    "consent": "personalize, or aggregate: counts for the item, never for its shopper",
    "device": "desktop, mobile, tablet or other",
    "shard": "part of the event log",
    "seq": "position in the shard, or row of the imported log",
    "epoch": "stretch of the log that the event landed with",
    "session_key": "the client's session, else one cut at 30 minutes without an event",
    "is_bot": "the shopper's day is a machine's; nothing is removed for it",
    "bot_reason": "the rules that say so",
    "is_outlier": "the price or the quantity is far from usual",
    "outlier_reason": "the rules that say so",
    "amount": "price times quantity, minor units; 0 without a price",
    "personal": "the event may count for its shopper",
    "category_path": "the category in the tree, levels parted by /; filled where the event named none",
    "category_source": "event, catalogue or item_history",
    "brand_name": "the brand in one spelling; filled where the event named none",
    "brand_source": "event, catalogue or item_history",
    "unit_price": "of one piece, minor units, after correction of swapped units",
    "price_source": "event, unit_corrected or item_history",
    "hop_s": "length of the tile, seconds",
    "start": "first instant of the tile or day",
    "newest_event_us": "event time of the newest event, microseconds",
    "encoder_revision": "the encoder that made the vector; never mix two",
    "embedding": "unit vector",
    "content_hash": "SHA-256 of the text",
    "purchase": "whether a purchase followed",
    "add_to_cart": "whether something was put into the cart afterwards",
    "leave": "whether nothing more followed in the session",
    "horizon": "how far the label looks ahead",
    "score_id": "the answer that was served",
    "as_of": "the instant the score was made for",
    "release": "the release that made it",
    "median_price": "median price of the item's events of the day, minor units",
    "priced_events": "events of the item that name a price",
    "day": "the day, UTC",
    "metric": "what was counted on that day",
    "value": "how often, or which share",
    "steps": "the session's newest events in order: instant, type, item",
    "first_event_us": "event time of the first event, microseconds",
    "last_purchase_us": "event time of the last purchase, microseconds",
    "visits": "sessions with an event on the day",
    "orders": "sessions with a purchase on the day",
    "first_visit": "session of the day's first event",
    "last_visit": "session of the day's last event",
    "first_bought": "whether the first session had a purchase",
    "last_bought": "whether the last session had a purchase",
    "hours": "events by hour of the day, UTC",
    "interests": "weighted interest by category, brand and device",
    "price_weight": "weight of the prices looked at that can be compared",
    "price_points": "sum of their positions within their categories",
    "visitors": "shoppers with an event of the item",
    "carters": "shoppers who put it into the cart",
    "buyers": "shoppers who bought it",
    "buyer_sketch": "its buyers, mergeable over days",
    "price_minor": "typical price, minor units",
    "co_views": "items viewed in the same sessions, and in how many",
    "normalized": "the text in the form that is encoded",
    "definitions_hash": "the feature definitions that the score was made with",
    "as_of_exact": "whether the features were exact to the event",
    "live": "whether it was asked of now, not of an instant that the request named",
    "degraded": "whether inputs were missing or stale",
    "stage": "the stage answered as most likely",
    "stage_probabilities": "each stage and its probability",
    "intent": "what was asked for",
    "intent_confidence": "its probability",
    "purchase_probability": "as served",
    "add_to_cart_probability": "as served",
    "leave_probability": "as served",
    "known": "whether the log reaches far enough to know what followed",
    "feedback_id": "the client's name for the correction",
    "source": "who corrected: agent or shopper",
    **{
        a.name: f"{sentence(a)} of the tile or day"
        for activity in reversed(ACTIVITIES)
        for a in activity.aggregates
    },
    **{
        a.name: f"{a.op} of the session's {'/'.join(a.event_types) or 'all'} events"
        for a in SESSION_AGGREGATES
    },
}


# How old an asset may be on the wall's clock before Dagster says so: warned of, and failed.
FRESH = {
    "ledger": (timedelta(minutes=15), timedelta(hours=1)),
    "monitoring": (timedelta(hours=3), timedelta(hours=24)),
    "training": (timedelta(hours=36), timedelta(days=4)),
    "release": (timedelta(hours=36), timedelta(days=4)),
}
DAILY = (timedelta(hours=26), timedelta(hours=50))


def explained(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with its table's columns, and how fresh it has to be."""
    warn, fail = FRESH.get(spec.group_name or "", DAILY)
    schema = column_schema(spec.key.to_user_string())
    return spec.replace_attributes(
        metadata={**spec.metadata, **({"dagster/column_schema": schema} if schema else {})},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn),
    )


def column_schema(table: str) -> dg.TableSchema | None:
    """Names, types, units and meanings; None for what is not a table of the lake."""
    ddl = LEDGER_DDL if table == LEDGER else SCHEMAS.get(table)
    if ddl is None:
        return None
    view = VIEW_BY_NAME.get(table)
    declared = {column.name: column for column in view.columns} if view else {}
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                kind,
                declared[name].description if name in declared else DESCRIPTIONS.get(name),
                tags={"unit": declared[name].unit} if name in declared else {},
            )
            for name, kind in _names_and_types(ddl)
        ]
    )


def _names_and_types(schema: str) -> Iterator[tuple[str, str]]:
    """From a DDL string; commas within brackets belong to a type."""
    depth, start = 0, 0
    for position, character in enumerate(f"{schema},"):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            name, _, kind = schema[start:position].strip().partition(" ")
            yield name, kind
            start = position + 1


def column_lineage(table: str) -> dg.TableColumnLineage | None:
    """Which columns of which tables each column is computed from, where that is worth telling."""
    sources = _SOURCES.get(table)
    if sources is None:
        return None
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(upstream), name) for upstream, name in of]
            for column, of in sources.items()
        }
    )


def _from(table: str, *columns: str) -> Sources:
    return tuple((table, column) for column in columns)


def _day_tiles(activity: Activity) -> dict[str, Sources]:
    return {
        **{key: _from(CLEAN, key) for key in activity.keys},
        "start": _from(CLEAN, "event_time"),
        "newest_event_us": _from(CLEAN, "event_time"),
        **{a.name: _from(CLEAN, "event_time", "event_type", *_fields(a)) for a in activity.aggregates},
    }


def _fields(aggregate: Aggregate) -> list[str]:
    named = [aggregate.field, *(where.field for where in aggregate.where)]
    parts = {"amount": ("price", "quantity")}
    return list(dict.fromkeys(part for f in named if f for part in parts.get(f, (f,))))


def _activity(activity: Activity) -> dict[str, Sources]:
    tiles = activity.day_tiles
    return {
        **{key: _from(tiles, key) for key in activity.keys},
        TIMESTAMP: (*_from(CLEAN, "event_time"), *_from(tiles, "start")),
        **{
            a.feature(w): _from(tiles, "start", a.name)
            for a in activity.aggregates
            for w in a.windows_of(WINDOWS)
        },
    }


def _tiles(activity: Activity) -> dict[str, Sources]:
    tiles = activity.day_tiles
    return {
        **{key: _from(tiles, key) for key in activity.keys},
        "tiles": _from(tiles, "hop_s", "start", *(a.name for a in activity.aggregates)),
        "newest_event_us": _from(tiles, "newest_event_us"),
    }


def _vectors(key: str, *columns: str) -> dict[str, Sources]:
    return {
        key: _from(CLEAN, *columns[:1]),
        "embedding": (*_from("text_embeddings", "embedding"), *_from(CLEAN, *columns)),
        "encoder_revision": _from("text_embeddings", "encoder_revision"),
    }


_CARRIED = (
    "event_id", "user_id", "event_type", "event_time", "claimed_time", "received_at", "session_id", "item_id",
    "category", "brand", "price", "currency", "quantity", "query", "text", "scenario", "consent", "device",
    "shard", "seq", "epoch",
)  # fmt: skip

_SOURCES: Mapping[str, Mapping[str, Sources]] = {
    CLEAN: {
        **{column: _from(LEDGER, column) for column in _CARRIED},
        "session_key": _from(LEDGER, "user_id", "session_id", "event_time", "consent"),
        "is_bot": _from(LEDGER, "user_id", "event_time"),
        "bot_reason": _from(LEDGER, "user_id", "event_time"),
        "is_outlier": _from(LEDGER, "item_id", "category", "price", "quantity"),
        "outlier_reason": _from(LEDGER, "item_id", "category", "price", "quantity"),
        "amount": _from(LEDGER, "price", "quantity"),
        "personal": _from(LEDGER, "consent"),
        "category_path": (*_from(LEDGER, "category"), *_from("item_attributes", "category")),
        "brand_name": (*_from(LEDGER, "brand"), *_from("item_attributes", "brand")),
        "unit_price": (*_from(LEDGER, "price"), *_from("item_attributes", "median_price")),
    },
    "item_attributes": {
        "item_id": _from(LEDGER, "item_id"),
        "category": _from(LEDGER, "category", "event_time"),
        "brand": _from(LEDGER, "brand", "event_time"),
        "median_price": _from(LEDGER, "price"),
    },
    **{activity.day_tiles: _day_tiles(activity) for activity in ACTIVITIES},
    "session_day_tiles": {
        "user_id": _from(CLEAN, "user_id"),
        "session_id": _from(CLEAN, "session_id"),
        **{a.name: _from(CLEAN, "event_time", "event_type") for a in SESSION_AGGREGATES},
    },
    **{activity.view: _activity(activity) for activity in ACTIVITIES},
    **{activity.tiles: _tiles(activity) for activity in ACTIVITIES},
    "session_state": {
        "user_id": _from("session_day_tiles", "user_id"),
        "session_id": _from("session_day_tiles", "session_id"),
        "state": _from("session_day_tiles", *(a.name for a in SESSION_AGGREGATES)),
    },
    "text_embeddings": {
        "text": _from(CLEAN, "query", "text", "category", "brand"),
        "embedding": _from(CLEAN, "query", "text", "category", "brand"),
    },
    "user_intent_embedding": _vectors("user_id", "user_id", "query", "text", "event_time"),
    "query_embedding": _vectors("query", "query", "text"),
    "item_embedding": _vectors("item_id", "item_id", "category", "brand"),
    "user_keywords": {
        "user_id": _from(CLEAN, "user_id"),
        "keywords": _from(CLEAN, "query", "text", "event_time"),
    },
    "training_labels": {
        label: _from(CLEAN, "session_key", "event_type", "event_time")
        for label in ("purchase", "add_to_cart", "leave")
    },
}
