"""What the API reads and writes. Times are RFC 3339 strings in UTC; money is in integer minor units."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from feature_repo.events import MAX_BATCH_EVENTS, MAX_TEXT_CHARS, Event, Id, Label, Scenario, Text

MAX_ENTITIES = 1_000
MAX_REFERENCES = 1_000
MAX_BODY_BYTES = 32 * 2**20

Status = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC")]
Value = int | float | str | bool | list[float | str] | None
EntityName = Literal["user_id", "session_id", "item_id", "category", "query"]
EntityValue = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
References = Annotated[list[str], Meta(max_length=MAX_REFERENCES)]


class EventBatch(msgspec.Struct, forbid_unknown_fields=True):
    events: Annotated[list[Event], Meta(max_length=MAX_BATCH_EVENTS)]


class UndecodedBatch(msgspec.Struct, forbid_unknown_fields=True):
    """The same before its events are looked at, so that a bad one does not spoil the rest."""

    events: list[msgspec.Raw]


class Rejected(msgspec.Struct):
    """`index` in the batch; `event_id` null where it could not be read."""

    index: int
    event_id: str | None
    code: str
    message: str


class EventsAnswer(msgspec.Struct):
    accepted: int
    duplicates: int
    rejected: list[Rejected]


class FeaturesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Either `feature_service` or `features`. Columns of `entities` are of one length; a `session_id` may
    be null or its column left out: then it is the shopper's current session, if there is one."""

    entities: dict[EntityName, Annotated[list[EntityValue | None], Meta(max_length=MAX_ENTITIES)]]
    feature_service: str | None = None
    features: References | None = None
    as_of: Instant | None = None


class FeatureColumn(msgspec.Struct):
    values: list[Value]
    statuses: list[Status]
    event_timestamps: list[str | None]


class FeaturesAnswer(msgspec.Struct):
    """`results` has a column per feature, each a value per entity. Where `as_of_exact` is false, something
    newer than `as_of` is known of that entity and its values are exact to a tile only."""

    features: list[str]
    results: list[FeatureColumn]
    as_of: str
    as_of_exact: list[bool]


class FeastRequest(msgspec.Struct):
    """What Feast's own feature server takes; what it ignores is ignored here."""

    entities: dict[str, Annotated[list[str | int | None], Meta(max_length=MAX_ENTITIES)]]
    feature_service: str | None = None
    features: References = []
    full_feature_names: bool = False


class FeastMetadata(msgspec.Struct):
    feature_names: list[str]


class FeastColumn(msgspec.Struct):
    values: list[Value]
    statuses: list[Status]
    event_timestamps: list[str]


class FeastAnswer(msgspec.Struct):
    metadata: FeastMetadata
    results: list[FeastColumn]


class ScoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`query` is what was typed, a search or a message. `explain` asks for reasons."""

    user_id: Id
    session_id: Id | None = None
    query: Text | None = None
    scenario: Scenario | None = None
    as_of: Instant | None = None
    explain: bool = False


class Behavior(msgspec.Struct):
    """Calibrated probabilities."""

    purchase: float
    add_to_cart: float
    leave: float


class Stage(msgspec.Struct):
    """Inferred by a declared rule, without labels."""

    name: str
    probabilities: dict[str, float]


class Intent(msgspec.Struct):
    intent: str
    confidence: float


class Utterance(msgspec.Struct):
    """What the text asks for: the likeliest intent, and the others in order."""

    intent: str
    confidence: float
    alternatives: list[Intent]


class Inputs(msgspec.Struct):
    """References of the model's inputs that had no value or too old a one, and were replaced by their
    defaults; the age of the shopper's newest event at `as_of`."""

    missing: list[str]
    stale: list[str]
    newest_event_age_ms: int | None


class ReasonAnswer(msgspec.Struct):
    """`effect`: how much higher the probability of `target` is than with a typical value here."""

    target: str
    feature: str
    value: Any
    effect: float


class ScoreAnswer(msgspec.Struct):
    score_id: str
    as_of: str
    as_of_exact: bool
    release: str
    behavior: Behavior
    stage: Stage
    utterance: Utterance | None
    features: Inputs
    degraded: bool
    reasons: list[ReasonAnswer]


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a typed text really asked for. `feedback_id` is the client's: sending one again is safe.
    `score_id`: the score whose answer this corrects. `source`: who says so."""

    feedback_id: Id
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
    intent: Label
    score_id: Id | None = None
    user_id: Id | None = None
    source: Literal["agent", "shopper"] = "agent"


class FeedbackAnswer(msgspec.Struct):
    accepted: int
    duplicates: int


class Health(msgspec.Struct):
    status: Literal["ok"]


class Readiness(msgspec.Struct):
    """`details` says, for each part that is not ready, what is wrong with it and how to mend it."""

    ready: bool
    redis: bool
    release: str | None
    encoder: bool
    details: dict[str, str]
