import pytest
from msgspec.structs import replace

from feature_repo.windows import US
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.flags import (
    BotRules,
    OutlierRules,
    with_amount,
    with_bot_flags,
    with_outlier_flags,
)
from tests.parity.frames import ledger_frame
from tests.parity.streams import random_events

MIDNIGHT, _ = day_bounds("2024-03-10")
VIEW = replace(random_events(1, 1, MIDNIGHT, MIDNIGHT + 1)[0], event_type="view", item_id="i")


def views(user_id: str, seconds: list[float], **fields) -> list:
    return [
        replace(
            VIEW,
            user_id=user_id,
            event_id=f"{user_id}-{n}",
            event_time=MIDNIGHT + int(s * US),
            **fields,
        )
        for n, s in enumerate(seconds)
    ]


def test_bots_are_named_with_a_reason(spark):
    rules = BotRules(max_events_a_minute=5, max_events_an_hour=20, regular_from_events=10)
    minute = views("burst", [60 + n for n in range(6)])
    allowed = views("shopper", [57, 58, 59, 60.5, 61, 62, 200, 700, 701, 5_000, 9_000, 9_100])
    hour = views("busy", [n * n * 2.5 for n in range(1, 38)])
    even = views("clock", [n * 300 + (n % 2) for n in range(10)])
    next_day = views("burst", [86_400 + 5])
    frame = with_bot_flags(ledger_frame(spark, [*minute, *allowed, *hour, *even, *next_day]), rules)
    rows = frame.select("user_id", "event_time", "is_bot", "bot_reason").collect()
    assert len(rows) == len(minute) + len(allowed) + len(hour) + len(even) + len(next_day)
    reasons = {}
    for row in rows:
        assert row.is_bot == (row.bot_reason is not None)
        reasons.setdefault(row.user_id, set()).add(row.bot_reason)
    assert reasons["burst"] == {"more than 5 events in a minute", None}
    assert reasons["shopper"] == {None}
    assert reasons["busy"] == {"more than 20 events in an hour"}
    assert reasons["clock"] == {"events at even intervals"}


def test_outliers_are_named_with_a_reason(spark):
    rules = OutlierRules(item_factor=10, category_factor=100, from_prices=5, max_quantity=50)
    usual = views("a", list(range(7)), item_id="lamp", category="light", price=1_000, quantity=1)
    cases = {
        "high": {"item_id": "lamp", "price": 10_001, "quantity": 1},
        "edge": {"item_id": "lamp", "price": 10_000, "quantity": 1},
        "low": {"item_id": "lamp", "price": 99, "quantity": 1},
        "free": {"item_id": "lamp", "price": 0, "quantity": 1},
        "unpriced": {"item_id": "lamp", "price": None, "quantity": 1},
        "rare item, far": {"item_id": "new", "price": 100_001, "quantity": 1},
        "rare item, near": {"item_id": "other", "price": 90_000, "quantity": 1},
        "heap": {"item_id": None, "price": 5, "quantity": 51, "category": None},
    }
    odd = [
        e for user, fields in cases.items() for e in views(user, [100], **({"category": "light"} | fields))
    ]
    frame = with_outlier_flags(ledger_frame(spark, [*usual, *odd]), rules)
    rows = frame.select("user_id", "is_outlier", "outlier_reason").collect()
    assert len(rows) == len(usual) + len(odd)
    found = {r.user_id: r.outlier_reason for r in rows}
    assert all(r.is_outlier == (r.outlier_reason is not None) for r in rows)
    item = "price 10 times off the item's median of the day"
    assert found == {
        "a": None,
        "high": item,
        "edge": None,
        "low": item,
        "free": None,
        "unpriced": None,
        "rare item, far": "price 100 times off the category's median of the day",
        "rare item, near": None,
        "heap": "quantity over 50",
    }


@pytest.mark.parametrize(
    ("price", "quantity", "consent", "expected"),
    [
        (250, 3, "personalize", (750, True)),
        (None, 3, "aggregate", (0, False)),
        (10**10, 10_000, "personalize", (10**14, True)),
    ],
)
def test_amount_is_in_minor_units(spark, price, quantity, consent, expected):
    event = replace(VIEW, price=price, quantity=quantity, consent=consent)
    row = with_amount(ledger_frame(spark, [event])).first()
    assert (row.amount, row.personal) == expected
