from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.events import (
    EARLIEST_EVENT,
    EVENT_TYPES,
    MAX_ID_CHARS,
    MAX_PRICE_MINOR,
    MAX_QUANTITY,
    MAX_TEXT_CHARS,
    SCENARIOS,
    DoorPolicy,
    Event,
    LedgerEvent,
    Refusal,
    admit,
    arrival_on_event_clock,
    from_us,
    rfc3339,
    to_us,
)
from feature_repo.windows import DAY_S, DAY_US, US

# A busy machine is no failure.
unhurried = settings(deadline=None)

NOW = 1_772_352_000 * US  # 2026-03-01T08:00:00Z
BASE = {
    "event_id": "e1",
    "user_id": "u1",
    "event_type": "view",
    "event_time": "2026-03-01T08:00:00Z",
}


def decode(**changes: object) -> Event:
    return msgspec.json.decode(msgspec.json.encode(BASE | changes), type=Event)


def enter(offset_us: int = 0, policy: DoorPolicy | None = None, **changes: object) -> LedgerEvent | Refusal:
    """What the door says of an event that claims NOW + offset and arrives at NOW."""
    event = decode(**changes)
    event.event_time = from_us(NOW + offset_us)
    return admit(event, NOW, policy or DoorPolicy())


# -- well-formed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASE)
def test_four_fields_are_required(name: str) -> None:
    fields = {k: v for k, v in BASE.items() if k != name}
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{name}`"):
        msgspec.json.decode(msgspec.json.encode(fields), type=Event)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        decode(colour="red")


@pytest.mark.parametrize("name", ["event_id", "user_id", "session_id", "item_id"])
def test_the_limits_of_an_id(name: str) -> None:
    for fine in ("x", "商" * MAX_ID_CHARS, "a b/c:{}*", "\u3000"):
        assert getattr(decode(**{name: fine}), name) == fine
    for bad in ("", "x" * (MAX_ID_CHARS + 1), "a\nb", "a\n", "\x00", "a\x1fb", "a\x7f", 7):
        with pytest.raises(msgspec.ValidationError, match=name):
            decode(**{name: bad})


@pytest.mark.parametrize(
    ("name", "fine", "bad"),
    [
        ("category", ["", "x" * MAX_ID_CHARS], ["x" * (MAX_ID_CHARS + 1), 1]),
        ("brand", ["", "x" * MAX_ID_CHARS], ["x" * (MAX_ID_CHARS + 1), 1]),
        ("query", ["", "问" * MAX_TEXT_CHARS], ["问" * (MAX_TEXT_CHARS + 1), 1]),
        ("text", ["", "👍" * MAX_TEXT_CHARS], ["👍" * (MAX_TEXT_CHARS + 1), ["x"]]),
        ("price", [0, 1, MAX_PRICE_MINOR], [-1, MAX_PRICE_MINOR + 1, 1.5, "1", True]),
        ("quantity", [1, MAX_QUANTITY], [0, -1, MAX_QUANTITY + 1, 1.5, "1"]),
        ("currency", ["USD", "CNY"], ["usd", "US", "USDT", "", 1]),
        ("event_type", EVENT_TYPES, ["cart", "VIEW", "", 1, None]),
        ("scenario", SCENARIOS, ["home", ""]),
        ("consent", ["personalize", "aggregate"], ["yes", "", True]),
        ("device", ["desktop", "mobile", "tablet", "other"], ["phone", "", 1]),
    ],
)
def test_the_limits_of_a_field(name: str, fine: list, bad: list) -> None:
    for value in fine:
        assert getattr(decode(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(msgspec.ValidationError, match=rf"\$\.{name}`"):
            decode(**{name: value})


@pytest.mark.parametrize("name", sorted(set(Event.__struct_fields__) - set(BASE)))
def test_an_optional_field_may_be_null(name: str) -> None:
    assert decode(**{name: None}) == decode()


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z"),
        ("2026-03-01t08:00:00z", "2026-03-01T08:00:00Z"),
        ("2026-03-01 08:00:00Z", "2026-03-01T08:00:00Z"),
        ("2026-03-01T08:00:00-00:00", "2026-03-01T08:00:00Z"),
        ("2026-03-01T08:00:00+08:00", "2026-03-01T00:00:00Z"),
        ("2026-03-01T00:30:00+05:45", "2026-02-28T18:45:00Z"),
        ("2024-02-29T23:59:59.999999-12:00", "2024-03-01T11:59:59.999999Z"),
        ("2026-03-01T08:00:00.5Z", "2026-03-01T08:00:00.500000Z"),
        ("2026-03-01T08:00:00.000001Z", "2026-03-01T08:00:00.000001Z"),
    ],
)
def test_times_of_any_offset_are_one_instant(text: str, utc: str) -> None:
    assert rfc3339(to_us(decode(event_time=text).event_time)) == utc


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:60Z",
        "2026-03-01T08:00:00",
        "2026-03-01",
        "2026-02-29T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T08:00:00+25:00",
        "1772352000",
        1_772_352_000,
        1_772_352_000.5,
        "",
        None,
    ],
)
def test_a_time_of_another_notation_or_of_no_second_is_refused(text: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.event_time`"):
        decode(event_time=text)


instants = st.integers(min_value=EARLIEST_EVENT, max_value=EARLIEST_EVENT + 200 * 366 * DAY_US)


@unhurried
@given(instants, st.integers(-14 * 60, 14 * 60))
def test_microseconds_survive_every_notation(instant: int, offset_min: int) -> None:
    assert to_us(from_us(instant)) == instant
    elsewhere = from_us(instant).astimezone(timezone(timedelta(minutes=offset_min)))
    assert to_us(elsewhere) == instant
    assert to_us(decode(event_time=elsewhere.isoformat()).event_time) == instant
    assert to_us(decode(event_time=rfc3339(instant)).event_time) == instant


def test_instants_before_the_epoch_are_exact_too() -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    assert to_us(moment) == -1
    assert from_us(-1) == moment


# -- the door -------------------------------------------------------------------------------------


def test_an_admitted_event_is_stamped_and_its_defaults_resolved() -> None:
    event = enter(-5 * US)
    assert event == LedgerEvent(
        event_id="e1",
        user_id="u1",
        event_type="view",
        event_time=NOW - 5 * US,
        claimed_time=NOW - 5 * US,
        received_at=NOW,
        session_id=None,
        item_id=None,
        category=None,
        brand=None,
        price=None,
        currency="USD",
        quantity=1,
        query=None,
        text=None,
        scenario=None,
        consent="personalize",
    )


def test_every_field_is_carried_over() -> None:
    given_fields = {
        "session_id": "s",
        "item_id": "i",
        "category": "c",
        "brand": "b",
        "price": 250,
        "currency": "USD",
        "quantity": 4,
        "query": "q",
        "text": "t",
        "scenario": "risk",
        "consent": "aggregate",
        "device": "mobile",
    }
    event = enter(**given_fields)
    assert {name: getattr(event, name) for name in given_fields} == given_fields
    assert event.amount == 1_000


@pytest.mark.parametrize(
    ("fields", "amount"),
    [({}, 0), ({"quantity": 3}, 0), ({"price": 7}, 7), ({"price": 0, "quantity": 3}, 0)],
)
def test_the_amount_is_price_times_quantity(fields: dict, amount: int) -> None:
    assert enter(**fields).amount == amount


@pytest.mark.parametrize("ahead_us", [1, 60 * US, DAY_US])
def test_a_claim_ahead_of_arrival_is_taken_at_arrival(ahead_us: int) -> None:
    event = enter(ahead_us)
    assert (event.event_time, event.claimed_time) == (NOW, NOW + ahead_us)


def test_a_claim_further_ahead_than_the_limit_is_refused() -> None:
    assert enter(DAY_US + 1).code == "too_far_ahead"
    hour = DoorPolicy(ahead_limit_s=3_600)
    assert isinstance(enter(3_600 * US, hour), LedgerEvent)
    refusal = enter(3_600 * US + 1, hour)
    assert (refusal.code, refusal.field) == ("too_far_ahead", "event_time")
    assert "3600 s" in refusal.message


def test_what_is_later_than_the_horizon_is_refused() -> None:
    assert enter(-7 * DAY_US).event_time == NOW - 7 * DAY_US
    refusal = enter(-7 * DAY_US - 1)
    assert (refusal.code, refusal.field) == ("too_late", "event_time")
    assert str(7 * DAY_S) in refusal.message


def test_an_import_is_never_too_late() -> None:
    policy = DoorPolicy(late_horizon_s=None)
    assert isinstance(enter(EARLIEST_EVENT - NOW, policy), LedgerEvent)
    assert enter(EARLIEST_EVENT - NOW - 1, policy).code == "out_of_range"


def test_seconds_mistaken_for_milliseconds_are_refused_as_out_of_range() -> None:
    assert enter(1_772_352 * US - NOW).code == "out_of_range"


def test_another_currency_than_the_shops_is_refused() -> None:
    refusal = enter(currency="EUR")
    assert (refusal.code, refusal.field) == ("currency", "currency")
    assert "EUR" in refusal.message
    assert "USD" in refusal.message
    assert enter(policy=DoorPolicy(currency="EUR"), currency="EUR").currency == "EUR"
    assert enter(policy=DoorPolicy(currency="CNY")).currency == "CNY"


@pytest.mark.parametrize("default", ["personalize", "aggregate"])
def test_consent_is_the_events_own_or_the_shops(default: str) -> None:
    policy = DoorPolicy(consent=default)
    assert enter(policy=policy).consent == default
    assert enter(policy=policy, consent="aggregate").personal is False
    assert enter(policy=policy, consent="personalize").personal is True


@unhurried
@given(st.integers(-10 * DAY_US, 10 * DAY_US))
def test_an_effective_time_is_never_after_arrival(offset_us: int) -> None:
    event = enter(offset_us)
    if isinstance(event, LedgerEvent):
        assert event.event_time == min(NOW + offset_us, NOW)
        assert -7 * DAY_US <= offset_us <= DAY_US
    else:
        assert not -7 * DAY_US <= offset_us <= DAY_US


def test_the_wire_order_of_a_ledger_event_is_fixed() -> None:
    event = enter(price=5, quantity=2)
    packed = msgspec.msgpack.encode(event)
    assert msgspec.msgpack.decode(packed, type=LedgerEvent) == event
    assert msgspec.msgpack.decode(packed) == [
        "e1", "u1", "view", NOW, NOW, NOW, None, None, None, None, 5, "USD", 2, None, None, None,
        "personalize", None,
    ]  # fmt: skip


# -- the event clock ------------------------------------------------------------------------------


def test_the_event_clock_begins_at_the_first_event_and_never_runs_back() -> None:
    assert arrival_on_event_clock(None, NOW, 60) == NOW
    assert arrival_on_event_clock(NOW, NOW + 5, 60) == NOW + 5
    assert arrival_on_event_clock(NOW, NOW - 5, 60) == NOW


def test_a_broken_row_cannot_carry_the_event_clock_away() -> None:
    assert arrival_on_event_clock(NOW, NOW + 60 * US, 60) == NOW + 60 * US
    refusal = arrival_on_event_clock(NOW, NOW + 60 * US + 1, 60)
    assert (refusal.code, refusal.field) == ("too_far_ahead", "event_time")
