"""The event and the door: fields, limits, validation, stamping.

Everything enters the ledger through `admit`, the API's events and a log's rows alike. It is the only
thing that ever refuses an event; what is found out later (a bot, an outlier, a session) is a column.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from feature_repo.windows import DAY_S, US

EventType = Literal[
    "view",
    "search",
    "click",
    "add_to_cart",
    "remove_from_cart",
    "wishlist",
    "checkout",
    "purchase",
    "message",
]
Scenario = Literal["search", "recommendation", "service", "marketing", "risk"]
Consent = Literal["personalize", "aggregate"]
Device = Literal["desktop", "mobile", "tablet", "other"]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
SCENARIOS: tuple[str, ...] = get_args(Scenario)
DEVICES: tuple[str, ...] = get_args(Device)

MAX_BATCH_EVENTS = 1_000
MAX_ID_CHARS = 256
MAX_TEXT_CHARS = 4_000
MAX_PRICE_MINOR = 10**10
MAX_QUANTITY = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_EVENT = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * US
LATEST_EVENT = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * US

# Identifiers become parts of keys, so control characters are refused in them. The look-ahead is there
# because `$` also matches before a newline in Python, which it does not where the OpenAPI schema is read.
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
Label = Annotated[str, Meta(max_length=MAX_ID_CHARS)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]


class Event(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True, gc=False):
    """What a client sends. `price` is in integer minor units of `currency`, for one piece."""

    event_id: Id
    user_id: Id
    event_type: EventType
    event_time: Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC")]
    session_id: Id | None = None
    item_id: Id | None = None
    category: Label | None = None
    brand: Label | None = None
    price: Annotated[int, Meta(ge=0, le=MAX_PRICE_MINOR)] | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)] | None = None
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)] | None = None
    query: Text | None = None
    text: Text | None = None
    scenario: Scenario | None = None
    consent: Consent | None = None
    device: Device | None = None


class LedgerEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An accepted event as the ledger keeps it: stamped, defaults resolved, times in microseconds.

    `claimed_time` is what the client said; `event_time` is the effective time every runtime uses.
    The order of the fields is the wire order of the Redis log: append, never reorder.
    """

    event_id: str
    user_id: str
    event_type: str
    event_time: int
    claimed_time: int
    received_at: int
    session_id: str | None
    item_id: str | None
    category: str | None
    brand: str | None
    price: int | None
    currency: str
    quantity: int
    query: str | None
    text: str | None
    scenario: str | None
    consent: str
    device: str | None = None

    @property
    def amount(self) -> int:
        """Price times quantity, minor units; a price that is absent counts as 0."""
        return (self.price or 0) * self.quantity

    @property
    def personal(self) -> bool:
        """Whether the event may count for its shopper; every event counts for its item."""
        return self.consent == "personalize"


class DoorPolicy(msgspec.Struct, frozen=True):
    """What the shop decides about admission. `late_horizon_s` None: never too late (imports)."""

    currency: str = "USD"
    consent: Consent = "personalize"
    late_horizon_s: int | None = 7 * DAY_S
    ahead_limit_s: int = DAY_S


class Refusal(msgspec.Struct, frozen=True):
    """Why an event was not accepted: a stable `code`, the `field` if one is at fault, and a sentence."""

    code: str
    message: str
    field: str | None = None


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch, exactly (no float passes through)."""
    delta = moment - EPOCH
    return (delta.days * DAY_S + delta.seconds) * US + delta.microseconds


def from_us(instant: int) -> datetime:
    seconds, micros = divmod(instant, US)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def rfc3339(instant: int) -> str:
    text = from_us(instant).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text.removesuffix(".000000") + "Z"


def admit(event: Event, received_at: int, policy: DoorPolicy) -> LedgerEvent | Refusal:
    """Stamp a well-formed event with its arrival, or say why it is refused.

    An event that claims to be in the future is taken at its arrival, unless it claims to be more than
    `ahead_limit_s` ahead: such a clock is broken, and its events would all fall on one instant.
    """
    claimed = to_us(event.event_time)
    if not EARLIEST_EVENT <= claimed < LATEST_EVENT or received_at >= LATEST_EVENT:
        return Refusal("out_of_range", "event_time is not from 2000 to 2199: check its unit", "event_time")
    if claimed - received_at > policy.ahead_limit_s * US:
        return Refusal(
            "too_far_ahead",
            f"event_time is more than {policy.ahead_limit_s} s ahead of its arrival: check the clock",
            "event_time",
        )
    if policy.late_horizon_s is not None and received_at - claimed > policy.late_horizon_s * US:
        return Refusal(
            "too_late",
            f"event_time is more than {policy.late_horizon_s} s before its arrival: import it instead",
            "event_time",
        )
    if event.currency is not None and event.currency != policy.currency:
        return Refusal(
            "currency",
            f"currency is {event.currency}, this shop counts in {policy.currency} (INTENT_CURRENCY)",
            "currency",
        )
    return LedgerEvent(
        event_id=event.event_id,
        user_id=event.user_id,
        event_type=event.event_type,
        event_time=min(claimed, received_at),
        claimed_time=claimed,
        received_at=received_at,
        session_id=event.session_id,
        item_id=event.item_id,
        category=event.category,
        brand=event.brand,
        price=event.price,
        currency=policy.currency,
        quantity=1 if event.quantity is None else event.quantity,
        query=event.query,
        text=event.text,
        scenario=event.scenario,
        consent=event.consent or policy.consent,
        device=event.device,
    )


def arrival_on_event_clock(clock: int | None, claimed: int, max_jump_s: int) -> int | Refusal:
    """The arrival of an event when time is the newest event accepted: `clock`, or what moves it.

    `clock` is None before the first event. A claim more than `max_jump_s` ahead is refused, so that one
    broken row cannot carry the clock years away.
    """
    if clock is None:
        return claimed
    if claimed - clock > max_jump_s * US:
        return Refusal(
            "too_far_ahead",
            f"event_time is more than {max_jump_s} s ahead of the event clock (INTENT_CLOCK_MAX_JUMP)",
            "event_time",
        )
    return max(clock, claimed)
