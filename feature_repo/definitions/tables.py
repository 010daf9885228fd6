"""The feature tables, as data: keys, columns, units and age limits of every Feast view.

Nothing of Feast is imported here, so that whoever only needs a name or a type can have it.
"""

import msgspec

from feature_repo.aggregates import Activity
from feature_repo.behavior import (
    ACTIVITIES,
    EMBEDDING_DIM,
    SESSION_ACTIVITY,
    USER,
    USER_INTENT_EMBEDDING,
    USER_KEYWORDS,
    VIEW_TTL_S,
    windowed,
)
from feature_repo.feature import Dtype, Feature
from feature_repo.profiles import ITEM_PROFILE, USER_PROFILE

TIMESTAMP = "event_timestamp"
CREATED = "created_timestamp"
OWNER = "shopper-intent"

ENTITIES = {
    "user_id": "a shopper, by the shop's own identifier",
    "item_id": "an item of the catalogue",
    "category": "a category as the shop's events name it",
    "session_id": "a visit as the client names it; unique only together with its shopper",
    "query": "a search or message, normalised",
}


class Column(msgspec.Struct, frozen=True):
    name: str
    dtype: Dtype
    unit: str
    description: str


class View(msgspec.Struct, frozen=True):
    """One feature view over the lake table of the same name.

    `ttl_s` None: no age limit. `lookback_s` None: materialization reads the whole table, else the
    rows of that many seconds before its instant, among which is all that is worth serving.
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    description: str
    lookback_s: int | None = None

    @property
    def ttl_s(self) -> int | None:
        return VIEW_TTL_S.get(self.name)


def _declared(features: tuple[Feature, ...]) -> tuple[Column, ...]:
    return tuple(Column(f.name, f.dtype, f.unit, f.description) for f in features)


_ENCODER_REVISION = Column(
    "encoder_revision", "string", "revision", "the encoder that made the vector; never mix two"
)
_COVERED_EPOCH = Column(
    "covered_epoch", "int64", "epoch", "the newest epoch of the live log that the row covers"
)
_DEFINITIONS_HASH = Column(
    "definitions_hash", "string", "hash", "the feature definitions the row was computed by"
)
_TILES = Column("tiles", "string", "JSON", "[[hop_s, start_us, aggregate, value], ...] still needed")
_LAST_SESSION = (
    Column("last_session_id", "string", "id", "session of the newest event that names one"),
    Column("last_session_us", "int64", "microseconds", "event time of that event"),
)
_NEWEST_EVENT = Column("newest_event_us", "int64", "microseconds", "event time of the newest event")


def _vector(description: str) -> Column:
    return Column("embedding", "vector", f"unit vector of {EMBEDDING_DIM}", description)


# After the longest window and its hop a row of zeros is the newest there is: it need not be served.
_WINDOWED_LOOKBACK_S = 32 * 86_400
_PROFILE_LOOKBACK_S = 91 * 86_400


def _activity(activity: Activity) -> View:
    return View(
        activity.view,
        activity.keys,
        _declared(windowed(activity)),
        f"What is known of each {activity.noun} by window: a row at every instant a value changes. "
        "Online, a snapshot as of its materialization.",
        _WINDOWED_LOOKBACK_S,
    )


def _tiles(activity: Activity) -> View:
    return View(
        activity.tiles,
        activity.keys,
        (
            _TILES,
            _NEWEST_EVENT,
            *(_LAST_SESSION if activity == USER else ()),
            _COVERED_EPOCH,
            _DEFINITIONS_HASH,
        ),
        f"Serving state: tiles of each {activity.noun}, from which the API puts windows together.",
    )


VIEWS = (
    *(_activity(activity) for activity in ACTIVITIES),
    View(
        "session_activity",
        ("user_id", "session_id"),
        _declared(SESSION_ACTIVITY),
        "What a shopper did in a visit up to and including each of its events.",
        2 * 86_400,
    ),
    View(
        "user_profile",
        ("user_id",),
        _declared(USER_PROFILE),
        "Who a shopper is: a row per shopper and day with events, numbers as of the row's time. "
        "What each number and persona means is in docs/profiles.md.",
        _PROFILE_LOOKBACK_S,
    ),
    View(
        "item_profile",
        ("item_id",),
        _declared(ITEM_PROFILE),
        "What an item is to shoppers: a row per item and day with events, numbers as of the row's time; "
        "bots' events do not count. What each number means is in docs/profiles.md.",
        _PROFILE_LOOKBACK_S,
    ),
    View(
        "user_intent_embedding",
        ("user_id",),
        (*_declared(USER_INTENT_EMBEDDING), _ENCODER_REVISION),
        "Where a shopper's recent words point.",
        31 * 86_400,
    ),
    View(
        "user_keywords",
        ("user_id",),
        _declared(USER_KEYWORDS),
        "What a shopper's recent words are about.",
        31 * 86_400,
    ),
    View(
        "query_embedding",
        ("query",),
        (_vector("the query, by the encoder"), _ENCODER_REVISION),
        "Queries and messages as vectors.",
    ),
    View(
        "item_embedding",
        ("item_id",),
        (_vector("the item's category and brand, by the encoder"), _ENCODER_REVISION),
        "Items as vectors.",
    ),
    *(_tiles(activity) for activity in ACTIVITIES),
    View(
        "session_state",
        ("user_id", "session_id"),
        (
            Column("state", "string", "JSON", "name to value of the session's aggregates"),
            Column("steps", "string", "JSON", "[[at_us, event type, item], ...], the newest, in order"),
            _COVERED_EPOCH,
            _DEFINITIONS_HASH,
        ),
        "Serving state: the aggregates and newest steps of a visit, which the API adds live events to.",
    ),
)
VIEW_BY_NAME = {view.name: view for view in VIEWS}
