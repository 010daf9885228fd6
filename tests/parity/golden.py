"""A stream around the edges of hops, days and epochs, and what every runtime answers to it.

The numbers below were worked out by hand from the definition of a window, not computed. A feature
that a question does not list is 0.
"""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from feature_repo.events import DoorPolicy, Event, LedgerEvent, Refusal, admit, to_us

ANN, MING = "ann", "阿明"


class Arrival(NamedTuple):
    """An event as sent, when it arrives, in which epoch of the log, and what the door answers."""

    epoch: int
    received_at: str
    answer: Literal["accepted", "duplicate", "too_late"]
    event: dict


class Question(NamedTuple):
    """`after` so many arrivals: the windowed features of a shopper (`user`) or an `item`."""

    after: int
    entity: Literal["user", "item"]
    entity_id: str
    as_of: str
    values: dict[str, int]


class SessionQuestion(NamedTuple):
    after: int
    user_id: str
    session_id: str
    as_of: str
    values: dict[str, int | float]


def us(moment: str) -> int:
    return to_us(datetime.fromisoformat(moment))


def event(event_id: str, user_id: str, event_type: str, event_time: str, **fields) -> dict:
    return {
        "event_id": event_id,
        "user_id": user_id,
        "event_type": event_type,
        "event_time": event_time,
        **fields,
    }


S1 = {"session_id": "s1"}
LAMP, MUG = {"item_id": "lamp"}, {"item_id": "mug"}
TWO_LAMPS = {**LAMP, "price": 2500, "quantity": 2}

CART = event("e4", ANN, "add_to_cart", "2024-03-10T22:59:59.999999Z", **S1, **TWO_LAMPS)
BUY_MUG = event("e7", ANN, "purchase", "2024-03-11T00:00:00Z", **S1, **MUG)

STREAM = [
    # the first day that 30d covers on 10 March, and no longer on the 11th
    Arrival(
        1,
        "2024-02-09T08:00:00Z",
        "accepted",
        event("e1", ANN, "view", "2024-02-09T08:00:00Z", **LAMP),
    ),
    # either side of the midnight where 7d has its tail on 11 March
    Arrival(
        1,
        "2024-03-03T23:59:59.999999Z",
        "accepted",
        event("e2", ANN, "view", "2024-03-03T23:59:59.999999Z", **LAMP),
    ),
    Arrival(
        1,
        "2024-03-04T00:00:00Z",
        "accepted",
        event("e3", ANN, "view", "2024-03-04T00:00:00Z", **MUG),
    ),
    # either side of the minute where 1h has its tail at midnight
    Arrival(1, "2024-03-10T22:59:59.999999Z", "accepted", CART),
    Arrival(
        1,
        "2024-03-10T23:00:00Z",
        "accepted",
        event("e5", ANN, "view", "2024-03-10T23:00:00Z", **S1, **LAMP),
    ),
    Arrival(
        2,
        "2024-03-10T23:49:59.500000Z",
        "accepted",
        event("e6", ANN, "purchase", "2024-03-10T23:49:59.500000Z", **S1, **TWO_LAMPS),
    ),
    # a purchase without a price, on the stroke of midnight; the same identity with another content
    Arrival(2, "2024-03-11T00:00:00Z", "accepted", BUY_MUG),
    Arrival(2, "2024-03-11T00:00:01Z", "duplicate", {**BUY_MUG, "event_type": "view", "price": 100}),
    # of the day before, arriving on this one
    Arrival(
        3,
        "2024-03-11T00:05:00Z",
        "accepted",
        event("e9", ANN, "view", "2024-03-10T23:50:00Z", **S1, **LAMP),
    ),
    # claims to be later than its arrival, and is taken at its arrival
    Arrival(
        3,
        "2024-03-11T00:10:00Z",
        "accepted",
        event("e10", ANN, "view", "2024-03-11T06:00:00Z", **S1, **LAMP),
    ),
    # counts for the mug and not for Ann
    Arrival(
        3,
        "2024-03-11T00:10:00.000001Z",
        "accepted",
        event("e11", ANN, "view", "2024-03-11T00:10:00.000001Z", **S1, **MUG, consent="aggregate"),
    ),
    # another shopper with an event id and a session id that Ann has used
    Arrival(
        3,
        "2024-03-11T00:10:00.500000Z",
        "accepted",
        event("e4", MING, "search", "2024-03-11T00:10:00Z", **S1, query="台灯"),
    ),
    # a repeat from two epochs ago, and an event older than the door's week
    Arrival(4, "2024-03-11T00:11:00Z", "duplicate", CART),
    Arrival(
        4,
        "2024-03-11T00:12:00Z",
        "too_late",
        event("e14", ANN, "view", "2024-03-01T00:00:00Z", **LAMP),
    ),
    Arrival(
        4,
        "2024-03-11T00:14:59.999999Z",
        "accepted",
        event("e15", MING, "message", "2024-03-11T00:14:59.999999Z", **S1, text="什么时候发货？"),
    ),
]


def table(text: str) -> dict[str, int]:
    """A table of aggregates by windows, as feature values; a dot is 0."""
    header, *rows = (line.split() for line in text.strip().splitlines())
    return {
        f"{name}_{window}": int(value)
        for name, *values in rows
        for window, value in zip(header, values, strict=True)
        if value != "."
    }


QUESTIONS = [
    Question(
        6,
        "user",
        ANN,
        "2024-03-10T23:59:59.999999Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    1    1    3    4
        viewed_item_count     .    .    1    .    .
        add_to_cart_count     .    1    1    1    1
        purchase_count        1    1    1    1    1
        purchase_amount    5000 5000 5000 5000 5000
        """),
    ),
    # one microsecond later every tail but that of 24h has moved, and the mug is bought
    Question(
        7,
        "user",
        ANN,
        "2024-03-11T00:00:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    1    1    2    3
        viewed_item_count     .    .    1    .    .
        add_to_cart_count     .    .    1    1    1
        purchase_count        1    2    2    2    2
        purchase_amount       . 5000 5000 5000 5000
        """),
    ),
    # the late view stands exactly on the tail of 10m until the minute is over, e5 on that of 1h
    Question(
        9,
        "user",
        ANN,
        "2024-03-11T00:00:59.999999Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            1    2    2    3    4
        viewed_item_count     .    .    1    .    .
        add_to_cart_count     .    .    1    1    1
        purchase_count        1    2    2    2    2
        purchase_amount       . 5000 5000 5000 5000
        """),
    ),
    Question(
        9,
        "user",
        ANN,
        "2024-03-11T00:01:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    1    2    3    4
        viewed_item_count     .    .    1    .    .
        add_to_cart_count     .    .    1    1    1
        purchase_count        1    2    2    2    2
        purchase_amount       . 5000 5000 5000 5000
        """),
    ),
    Question(
        15,
        "user",
        ANN,
        "2024-03-11T00:15:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            1    2    3    4    5
        viewed_item_count     .    .    1    .    .
        add_to_cart_count     .    .    1    1    1
        purchase_count        .    2    2    2    2
        purchase_amount       . 5000 5000 5000 5000
        """),
    ),
    # a day on: the quarter of an hour that 24h drops, with nothing happening
    Question(
        15,
        "user",
        ANN,
        "2024-03-12T00:14:59.999999Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    .    1    3    5
        viewed_item_count     .    .    1    .    .
        add_to_cart_count     .    .    .    1    1
        purchase_count        .    .    1    2    2
        purchase_amount       .    .    . 5000 5000
        """),
    ),
    Question(
        15,
        "user",
        ANN,
        "2024-03-12T00:15:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    .    .    3    5
        add_to_cart_count     .    .    .    1    1
        purchase_count        .    .    .    2    2
        purchase_amount       .    .    . 5000 5000
        """),
    ),
    # a month on: 30d drops 10 March, then 11 March
    Question(
        15,
        "user",
        ANN,
        "2024-04-09T23:59:59.999999Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    .    .    .    3
        add_to_cart_count     .    .    .    .    1
        purchase_count        .    .    .    .    2
        purchase_amount       .    .    .    . 5000
        """),
    ),
    Question(
        15,
        "user",
        ANN,
        "2024-04-10T00:00:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            .    .    .    .    1
        purchase_count        .    .    .    .    1
        """),
    ),
    Question(15, "user", ANN, "2024-04-11T00:00:00Z", {}),
    Question(
        15,
        "user",
        MING,
        "2024-03-11T00:15:00Z",
        table("""
                            10m   1h  24h   7d  30d
        search_count          1    1    1    1    1
        message_count         1    1    1    1    1
        """),
    ),
    Question(
        15,
        "user",
        MING,
        "2024-03-11T00:24:59.999999Z",
        table("""
                            10m   1h  24h   7d  30d
        search_count          .    1    1    1    1
        message_count         1    1    1    1    1
        """),
    ),
    Question(
        15,
        "user",
        MING,
        "2024-03-12T00:15:00Z",
        table("""
                            10m   1h  24h   7d  30d
        search_count          .    .    .    1    1
        message_count         .    .    .    1    1
        """),
    ),
    Question(15, "user", "stranger", "2024-03-11T00:15:00Z", {}),
    Question(
        15,
        "item",
        "lamp",
        "2024-03-11T00:15:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            1    2    3    3    4
        add_to_cart_count     .    .    1    1    1
        purchase_count        .    1    1    1    1
        purchase_amount       . 5000 5000 5000 5000
        """),
    ),
    Question(
        15,
        "item",
        "mug",
        "2024-03-11T00:15:00Z",
        table("""
                            10m   1h  24h   7d  30d
        view_count            1    1    1    2    2
        purchase_count        .    1    1    1    1
        """),
    ),
]

SESSION_QUESTIONS = [
    SessionQuestion(
        6,
        ANN,
        "s1",
        "2024-03-10T23:59:59.999999Z",
        {
            "session_event_count": 3,
            "session_view_count": 1,
            "session_add_to_cart_count": 1,
            "session_purchase_count": 1,
            "session_cart_amount": 5000,
            "session_duration_s": 2999.500001,
            "session_distinct_item_count": 1,
            "session_top_item_view_count": 1,
            "session_item_run_length": 3,
            "session_last_pause_s": 2999.5,
            "session_recent_pause_s": 2_999_500_001 / 2_000_000,
        },
    ),
    SessionQuestion(
        7,
        ANN,
        "s1",
        "2024-03-11T00:00:00Z",
        {
            "session_event_count": 4,
            "session_view_count": 1,
            "session_add_to_cart_count": 1,
            "session_purchase_count": 2,
            "session_cart_amount": 5000,
            "session_duration_s": 3600.000001,
            "session_distinct_item_count": 2,
            "session_top_item_view_count": 1,
            "session_item_run_length": 1,
            "session_last_pause_s": 600.5,
            "session_recent_pause_s": 3_600_000_001 / 3_000_000,
        },
    ),
    # the late view adds to the counts and not to the duration
    SessionQuestion(
        9,
        ANN,
        "s1",
        "2024-03-11T00:05:00Z",
        {
            "session_event_count": 5,
            "session_view_count": 2,
            "session_add_to_cart_count": 1,
            "session_purchase_count": 2,
            "session_cart_amount": 5000,
            "session_duration_s": 3600.000001,
            "session_distinct_item_count": 2,
            "session_repeat_view_count": 1,
            "session_top_item_view_count": 2,
            "session_item_run_length": 1,
            "session_last_pause_s": 600.0,
            "session_recent_pause_s": 3_600_000_001 / 4_000_000,
        },
    ),
    SessionQuestion(
        15,
        ANN,
        "s1",
        "2024-03-11T00:15:00Z",
        {
            "session_event_count": 6,
            "session_view_count": 3,
            "session_add_to_cart_count": 1,
            "session_purchase_count": 2,
            "session_cart_amount": 5000,
            "session_duration_s": 4200.000001,
            "session_distinct_item_count": 2,
            "session_repeat_view_count": 2,
            "session_top_item_view_count": 3,
            "session_item_run_length": 1,
            "session_last_pause_s": 600.0,
            "session_recent_pause_s": 4_200_000_001 / 5_000_000,
        },
    ),
    SessionQuestion(
        15,
        MING,
        "s1",
        "2024-03-11T00:15:00Z",
        {
            "session_event_count": 2,
            "session_search_count": 1,
            "session_message_count": 1,
            "session_duration_s": 299.999999,
            "session_unanswered_search_count": 1,
            "session_last_pause_s": 299.999999,
            "session_recent_pause_s": 299.999999,
        },
    ),
    SessionQuestion(15, ANN, "s2", "2024-03-11T00:15:00Z", {}),
]


def through_the_door(arrivals: list[Arrival]) -> list[tuple[str, LedgerEvent | None]]:
    """What the door says to each arrival in turn, and the event as stamped if it was accepted."""
    seen, answers = set(), []
    for arrival in arrivals:
        stamped = admit(msgspec.convert(arrival.event, Event), us(arrival.received_at), DoorPolicy())
        if isinstance(stamped, Refusal):
            answers.append((stamped.code, None))
        elif (stamped.user_id, stamped.event_id) in seen:
            answers.append(("duplicate", None))
        else:
            seen.add((stamped.user_id, stamped.event_id))
            answers.append(("accepted", stamped))
    return answers


def accepted(after: int) -> list[LedgerEvent]:
    """The accepted ones of the first `after` arrivals."""
    return [stamped for _, stamped in through_the_door(STREAM[:after]) if stamped]
