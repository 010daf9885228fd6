import math
import random

import numpy as np
import pytest
from pyspark.sql import functions as F

from feature_repo.profiles import ITEM_PROFILE, PERSONA_INPUTS, USER_PROFILE
from spark_jobs.jobs import clean_events, day_facts, profiles
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.personas import PersonaCentres
from tests.online_api.events import HOUR, MINUTE, stamped
from tests.spark_jobs.jobs import profile_oracle as oracle

DAYS = ["2024-03-01", "2024-03-02", "2024-03-03", "2024-03-20"]
LATER = day_bounds("2024-04-01")[0]
CATEGORIES = ("shoes.running.road", "shoes.running.trail", "电器.手机")
ITEMS = {f"item-{n}": (CATEGORIES[n % 3], f"brand-{n % 4}", 100 * 3**n) for n in range(9)}
KINDS = ("view", "view", "view", "view", "click", "add_to_cart", "purchase", "wishlist", "search", "message")


def shop_days(seed: int = 5) -> list:
    """Visits of nine shoppers on four days, one visit going on after midnight, items sometimes unnamed."""
    chance, events = random.Random(seed), []
    for day in DAYS:
        for user in chance.sample(range(9), 6):
            for visit in range(chance.randint(1, 2)):
                at = day_bounds(day)[0] + chance.randrange(24) * HOUR
                device = chance.choice(("mobile", "desktop", None))
                for _ in range(chance.randint(2, 9)):
                    at = min(at + chance.randrange(1, 5 * MINUTE), day_bounds(day)[1] - 1)
                    kind = chance.choice(KINDS)
                    fields = {"session_id": f"{day}-{visit}", "device": device, "user_id": f"u{user}"}
                    if kind in ("search", "message"):
                        fields["query"] = "shoes"
                    else:
                        item = chance.choice(sorted(ITEMS))
                        category, brand, price = ITEMS[item]
                        fields |= {"item_id": item, "category": category, "brand": brand, "price": price}
                    if kind == "purchase":
                        fields["quantity"] = chance.randint(1, 3)
                    if chance.random() < 0.1:
                        fields["consent"] = "aggregate"
                    events.append(stamped(f"e{len(events)}", kind, at, **fields))
    night = day_bounds(DAYS[1])[0]
    for n, at in enumerate((night - MINUTE, night + MINUTE)):
        events.append(stamped(f"m{n}", "purchase", at, user_id="u1", session_id="midnight", price=500))
    return events


EVENTS = shop_days()


@pytest.fixture(scope="module")
def lake(spark, fill_lake):
    lake = fill_lake(EVENTS)
    clean_events.run(spark, lake, DAYS)
    for day in DAYS:
        lake.publish("clean_events", day)
    day_facts.run(spark, lake, DAYS)
    for day in DAYS:
        for table in (day_facts.USER, day_facts.ITEM):
            lake.publish(table, day)
    return lake


def rows(spark, lake, view, days):
    """Candidates by (key, event time)."""
    key = "user_id" if view == profiles.USER else "item_id"
    table = spark.read.parquet(*(str(lake.candidate(view, day)) for day in days))
    found = table.withColumn("at", F.unix_micros("event_timestamp")).collect()
    return {(row[key], row["at"]): row.asDict() for row in found}


@pytest.fixture(scope="module")
def users(spark, lake):
    profiles.run_users(spark, lake, DAYS, LATER)
    return rows(spark, lake, profiles.USER, DAYS)


@pytest.fixture(scope="module")
def items(spark, lake):
    profiles.run_items(spark, lake, DAYS, LATER)
    return rows(spark, lake, profiles.ITEM, DAYS)


def numbers_of(row: dict, features) -> dict:
    return rounded({f.name: row[f.name] for f in features if not f.name.startswith("persona")})


def rounded(numbers: dict) -> dict:
    return {name: round(x, 12) if isinstance(x, float) else x for name, x in numbers.items()}


def test_a_shoppers_profile_is_what_counting_the_events_gives(users):
    expected = {(e.user_id, day_bounds(d)[1]) for d in DAYS for e in EVENTS if on(e, d) and e.personal}
    assert set(users) == expected
    for (user_id, at), row in users.items():
        counted = oracle.user_profile(EVENTS, user_id, at // oracle.DAY_US - 1)
        assert numbers_of(row, USER_PROFILE) == rounded(counted), (user_id, at)
    assert {r["price_band"] for r in users.values()} > {"low", "high"}
    assert any(r["frequency"] > 1 for r in users.values())


def test_an_items_profile_is_what_counting_the_events_gives(items):
    touched = {(e.item_id, day_bounds(d)[1]) for d in DAYS for e in EVENTS if on(e, d) and e.item_id}
    assert set(items) == touched
    for (item_id, at), row in items.items():
        counted = oracle.item_profile(EVENTS, item_id, at // oracle.DAY_US - 1)
        assert numbers_of(row, ITEM_PROFILE) == rounded(counted), (item_id, at)
    assert any(r["co_viewed_items"] for r in items.values())


def on(event, day: str) -> bool:
    first, end = day_bounds(day)
    return first <= event.event_time < end


def test_a_day_computed_alone_is_the_same_as_in_a_pass_over_all(spark, lake, users, items):
    """And so knows nothing of the days after it, which stand published beside it."""
    day, end = DAYS[1], day_bounds(DAYS[1])[1]
    profiles.run_users(spark, lake, [day], LATER)
    assert rows(spark, lake, profiles.USER, [day]) == {k: r for k, r in users.items() if k[1] == end}
    profiles.run_items(spark, lake, [day], LATER)
    assert rows(spark, lake, profiles.ITEM, [day]) == {k: r for k, r in items.items() if k[1] == end}


def test_a_day_served_live_holds_from_its_publication_with_all_that_is_known_then(spark, lake, users):
    """One row a shopper, in the part of the newest day, numbers of days in between included; and the
    nearest centre is the persona."""
    flat = [0.0] * len(PERSONA_INPUTS)
    centres = PersonaCentres(["here", "far"], flat, [1.0] * len(flat), [flat, [50.0] * len(flat)])
    profiles.run_users(spark, lake, DAYS[:2], LATER, live=set(DAYS), personas=centres)
    found = rows(spark, lake, profiles.USER, DAYS[:2])
    assert {at for _, at in found} == {LATER}
    newest = max(at for user_id, at in users if user_id == "u1")
    counts = [f.name for f in USER_PROFILE if f.name.startswith("lifetime") or f.name == "frequency"]
    assert [found["u1", LATER][c] for c in counts] == [users["u1", newest][c] for c in counts]
    assert {r["persona"] for r in found.values()} == {"here"}
    assert all(0 < r["persona_confidence"] < 1 for r in found.values())


def test_personas_are_fitted_to_every_shopper_as_of_the_newest_day(spark, lake, users):
    table = profiles.sample_of_persona_inputs(spark, lake, DAYS[-1], 1_000).toArrow()
    assert table["user_id"].to_pylist() == sorted({user_id for user_id, _ in users})
    newest = {user_id: row for (user_id, _), row in sorted(users.items())}
    orders = [round(math.log1p(newest[u]["frequency"]), 9) for u in table["user_id"].to_pylist()]
    assert [round(x, 9) for x in table["orders"].to_pylist()] == orders
    assert all(np.isfinite(table[i.name].to_numpy()).all() for i in PERSONA_INPUTS)
    few = profiles.sample_of_persona_inputs(spark, lake, DAYS[-1], 4).toArrow()
    assert len(few) < len(table)
