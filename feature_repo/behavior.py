"""The declared behaviour features and other model inputs, as data. Nothing else defines a feature.

Spark (`spark_jobs`), Redis (`online_api`), Feast (`feature_repo/definitions`) and the oracle in
`tests/oracle` all read these declarations; adding an aggregate is a line here.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from feature_repo.aggregates import Activity, Aggregate, Where
from feature_repo.events import EVENT_TYPES
from feature_repo.feature import Feature
from feature_repo.profiles import ITEM_PROFILE, PROFILE_TTL_DAYS, USER_PROFILE, USER_PROFILE_INPUTS
from feature_repo.sequence import RECENT_PAUSES, SEQUENCE_STATISTICS, STEP_LIMIT, sequence_values
from feature_repo.windows import Window, hops_of

PROJECT = "intent"
SERVICE = "intent_v1"

WINDOWS = (
    Window("10m", 600, 60),
    Window("1h", 3_600, 60),
    Window("24h", 86_400, 900),
    Window("7d", 7 * 86_400, 86_400),
    Window("30d", 30 * 86_400, 86_400),
)
HOPS_S = hops_of(WINDOWS)

_EVENTS = (
    *(Aggregate(f"{event_type}_count", "count", (event_type,)) for event_type in EVENT_TYPES),
    Aggregate("purchase_amount", "sum", ("purchase",), "amount", "minor units"),
)
_DAY = ("24h",)
_DAY_AND_MONTH = ("24h", "30d")
_BASKET = ("view", "add_to_cart", "purchase")

# Who is counted, and what of them. A new aggregate is a line in one of these lists.
USER = Activity(
    "user",
    ("user_id",),
    (
        *_EVENTS,
        Aggregate("viewed_item_count", "distinct", ("view",), "item_id", "items", windows=_DAY),
        Aggregate("view_price_min", "min", ("view",), "price", "minor units", windows=_DAY),
        Aggregate("view_price_max", "max", ("view",), "price", "minor units", windows=_DAY),
        Aggregate("last_category", "last", ("view", "add_to_cart"), "category", "category", windows=_DAY),
    ),
    "shopper",
)
ITEM = Activity("item", ("item_id",), _EVENTS, "item")
USER_CATEGORY = Activity(
    "user_category",
    ("user_id", "category"),
    tuple(Aggregate(f"{t}_count", "count", (t,), windows=_DAY_AND_MONTH) for t in _BASKET),
    "shopper in a category",
)
ACTIVITIES = (USER, ITEM, USER_CATEGORY)


class SessionAggregate(msgspec.Struct, frozen=True):
    """A number kept per (shopper, client session) over the whole session: no window.

    `min_time` and `max_time` are over event times in microseconds; empty `event_types` means all.
    """

    name: str
    op: Literal["count", "sum", "min_time", "max_time"]
    event_types: tuple[str, ...] = ()

    def matches(self, event_type: str) -> bool:
        return not self.event_types or event_type in self.event_types


SESSION_AGGREGATES = (
    SessionAggregate("session_event_count", "count"),
    *(
        SessionAggregate(f"session_{event_type}_count", "count", (event_type,))
        for event_type in ("view", "search", "click", "add_to_cart", "remove_from_cart")
    ),
    SessionAggregate("session_purchase_count", "count", ("purchase",)),
    SessionAggregate("session_message_count", "count", ("message",)),
    SessionAggregate("session_cart_amount", "sum", ("add_to_cart",)),
    SessionAggregate("session_first_event_us", "min_time"),
    SessionAggregate("session_last_event_us", "max_time"),
)

SESSION_GAP_S = 1_800
EMBEDDING_DIM = 384
RECENT_QUERIES = 10


def windowed(activity: Activity) -> tuple[Feature, ...]:
    """The features of its view: each aggregate over each of its windows. Raises ValueError for a window
    that is not declared."""
    known = {window.name for window in WINDOWS}
    for aggregate in activity.aggregates:
        if unknown := set(aggregate.windows) - known:
            raise ValueError(f"aggregate {aggregate.name}: no window {unknown}; there are {sorted(known)}")
    return tuple(
        Feature(
            activity.view,
            aggregate.feature(window),
            "string" if aggregate.is_text else "int64",
            aggregate.unit,
            aggregate.default,
            "windowed",
            f"{sentence(aggregate)} of the {activity.noun} over {window.name}",
        )
        for aggregate in activity.aggregates
        for window in aggregate.windows_of(WINDOWS)
    )


def sentence(aggregate: Aggregate) -> str:
    what = aggregate.op if aggregate.field is None else f"{aggregate.op} {aggregate.field}"
    types = "all" if aggregate.event_types == EVENT_TYPES else "/".join(aggregate.event_types)
    where = "".join(f" with {w.field}{_range(w)}" for w in aggregate.where)
    return f"{what} of {types} events{where}"


def _range(where: Where) -> str:
    among = f" {' or '.join(map(str, where.among))}" if where.among else ""
    least = "" if where.at_least is None else f" at least {where.at_least}"
    return among + least + ("" if where.at_most is None else f" at most {where.at_most}")


USER_ACTIVITY = windowed(USER)
ITEM_ACTIVITY = windowed(ITEM)
USER_CATEGORY_ACTIVITY = windowed(USER_CATEGORY)
SESSION_ACTIVITY = (
    *(
        Feature(
            "session_activity",
            a.name,
            "int64",
            "minor units" if a.op == "sum" else "events",
            0,
            "session",
            f"{a.op} of {'/'.join(a.event_types) or 'all'} events of the session so far",
        )
        for a in SESSION_AGGREGATES
        if a.op in ("count", "sum")
    ),
    Feature(
        "session_activity",
        "session_duration_s",
        "float64",
        "seconds",
        0.0,
        "session",
        "from the session's first event to its newest",
    ),
    *(
        Feature("session_activity", s.name, s.dtype, s.unit, s.default, "session", s.description)
        for s in SEQUENCE_STATISTICS
    ),
)
USER_INTENT_EMBEDDING = (
    Feature(
        "user_intent_embedding",
        "embedding",
        "vector",
        "unit vector",
        None,
        "batch",
        f"mean direction of the shopper's last {RECENT_QUERIES} queries and messages, by the encoder",
    ),
)

MAX_KEYWORDS = 8
USER_KEYWORDS = (
    Feature(
        "user_keywords",
        "keywords",
        "strings",
        "words",
        None,
        "batch",
        f"up to {MAX_KEYWORDS} content words of the shopper's last {RECENT_QUERIES} queries and messages, "
        "those that are recent and rare among shoppers first",
    ),
)

# The whole input of the served model, in the order the service answers and a release pins. A windowed
# feature without a number for "nothing happened" is no input of a model; it is served by its own name.
_COUNTED = tuple(f for f in USER_ACTIVITY if f.default is not None)
SERVICE_FEATURES = (*_COUNTED, *SESSION_ACTIVITY, *USER_PROFILE_INPUTS, *USER_INTENT_EMBEDDING)
_FURTHER = (
    *(f for f in (*USER_ACTIVITY, *USER_PROFILE) if f not in SERVICE_FEATURES),
    *USER_KEYWORDS,
    *USER_CATEGORY_ACTIVITY,
    *ITEM_ACTIVITY,
    *ITEM_PROFILE,
)
FEATURES = (*SERVICE_FEATURES, *_FURTHER)

# How long a stored value may be used as if it were current; None: it is computed at request time.
VIEW_TTL_S: dict[str, int | None] = {
    "user_activity": None,
    "item_activity": None,
    "user_category_activity": None,
    "session_activity": 86_400,
    "user_profile": PROFILE_TTL_DAYS * 86_400,
    "item_profile": PROFILE_TTL_DAYS * 86_400,
    "user_intent_embedding": 30 * 86_400,
    "user_keywords": 30 * 86_400,
    "query_embedding": None,
    "item_embedding": None,
}


def session_values(state: dict[str, int], steps: Iterable[tuple[int, int, int]] = ()) -> list[int | float]:
    """The values of SESSION_ACTIVITY from a session's merged aggregates (absent ones: none seen) and its
    newest steps, in order."""
    counts = [state.get(a.name, 0) for a in SESSION_AGGREGATES if a.op in ("count", "sum")]
    first, last = state.get("session_first_event_us"), state.get("session_last_event_us")
    duration_s = 0.0 if first is None or last is None else (last - first) / 1_000_000
    return [*counts, duration_s, *sequence_values(steps)]


def definitions_hash() -> str:
    """Twelve hex digits that change when any declared feature changes: releases and live keys carry it."""
    declared = (
        (WINDOWS, ACTIVITIES, SESSION_AGGREGATES, FEATURES, VIEW_TTL_S),
        (SESSION_GAP_S, EMBEDDING_DIM, RECENT_QUERIES, STEP_LIMIT, RECENT_PAUSES),
    )
    return hashlib.sha256(msgspec.json.encode(declared)).hexdigest()[:12]


DEFINITIONS_HASH = definitions_hash()
