import random
from itertools import accumulate

import pytest
from msgspec.structs import replace

from feature_repo.windows import US
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.flags import (
    BotRules,
    OutlierRules,
    category_prices,
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
            claimed_time=MIDNIGHT + int(s * US),
            **fields,
        )
        for n, s in enumerate(seconds)
    ]


def test_bots_are_named_with_a_reason(spark):
    rules = BotRules(max_events_a_minute=5, max_events_an_hour=20, regular_from_events=10, regular_share=0.9)
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


def test_a_machine_is_even_in_each_of_its_visits_and_a_person_in_none(spark):
    crawler = views("crawler", [n * 1.5 for n in range(20)] + [40_000 + n * 7 for n in range(20)])
    at_once = views("at once", [60 * (n // 20) for n in range(40)])
    rng = random.Random(4)
    clicking = views("clicking", list(accumulate(rng.lognormvariate(3, 0.8) for _ in range(60))))
    poller = views("poller", [visit * 300 + n * 1.2 for visit in range(5) for n in range(8)])
    events = [*crawler, *at_once, *clicking, *poller]
    frame = with_bot_flags(ledger_frame(spark, events), BotRules())
    even = "events at even intervals"
    reasons = {(r.user_id, r.bot_reason) for r in frame.select("user_id", "bot_reason").collect()}
    assert reasons == {("crawler", even), ("at once", None), ("clicking", None), ("poller", even)}


def test_pages_taken_faster_than_anybody_reads_are_a_machine_s_and_a_full_cart_is_not(spark):
    scraper = views("scraper", [0.1 * n * (1 + n % 2) for n in range(21)])
    slower = views("slower", [0.52 * n * (1 + n % 3 / 99) for n in range(0, 22)])
    cart = views("cart", [0.001 * n * n for n in range(40)], event_type="purchase")
    frame = with_bot_flags(ledger_frame(spark, [*scraper, *slower, *cart]), BotRules())
    reasons = {(r.user_id, r.bot_reason) for r in frame.select("user_id", "bot_reason").collect()}
    assert reasons == {("scraper", "more than 20 pages in 10 seconds"), ("slower", None), ("cart", None)}


def test_outliers_are_named_with_a_reason(spark):
    rules = OutlierRules(item_factor=10, category_factor=100, from_prices=5, max_quantity=50)
    # name: price, what is typical of the item, where the price comes from, quantity, category
    cases = {
        "high": (10_001, 1_000, "event", 1, "light"),
        "edge": (10_000, 1_000, "event", 1, "light"),
        "low": (99, 1_000, "event", 1, "light"),
        "free": (0, 1_000, "event", 1, "light"),
        "unpriced": (None, 1_000, "item_history", 1, "light"),
        "wrong unit": (100_000, 1_000, "unit_corrected", 1, "light"),
        "rare item, far": (100_001, None, "event", 1, "light"),
        "rare item, near": (90_000, None, "event", 1, "light"),
        "rare category": (10**9, None, "event", 1, "toys"),
        "heap": (5, None, "event", 51, None),
    }
    day = "2024-03-10"
    schema = "name string, price bigint, typical_price bigint, price_source string, quantity int, "
    schema += "category_path string, day string"
    events = spark.createDataFrame([(name, *case, day) for name, case in cases.items()], schema)
    items = [("light", day, 900, 3), ("light", day, 1_000, 4), ("toys", day, 10, 4), (None, day, 7, 9)]
    items = spark.createDataFrame(items, "item_path string, day string, day_price bigint, day_prices bigint")
    rows = with_outlier_flags(events, category_prices(items, rules), rules).collect()
    assert len(rows) == len(cases)
    assert all(r.is_outlier == (r.outlier_reason is not None) for r in rows)
    item = "price 10 times off what is typical of the item"
    assert {r.name: r.outlier_reason for r in rows if r.is_outlier} == {
        "high": item,
        "low": item,
        "wrong unit": "price in the wrong unit, corrected in unit_price",
        "rare item, far": "price 100 times off the category's median of the day",
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
