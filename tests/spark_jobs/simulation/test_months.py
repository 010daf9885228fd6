"""What shows only over weeks: stages, personas, promotions and shoppers who stop coming."""

import csv
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import NamedTuple

import msgspec
import pytest

from feature_repo.events import rfc3339
from spark_jobs.lake import day_bounds
from spark_jobs.simulation import DEFAULT_START, simulate

USERS, DAYS, SEED = 250, 35, 2
Table = list[dict[str, str]]


class Run(NamedTuple):
    events: list[dict]
    visits: Table
    stages: dict[str, str]
    shoppers: dict[str, dict[str, str]]
    promotions: Table
    prices: dict[str, int]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("simulated")
    simulate(USERS, DAYS, SEED, out, processes=1)

    def table(name: str) -> Table:
        with (out / name).open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    lines = (out / "events.jsonl").read_bytes().splitlines()
    events = {event["event_id"]: event for event in map(msgspec.json.decode, lines)}
    return Run(
        events=sorted(events.values(), key=lambda event: event["event_time"]),
        visits=[visit for visit in table("ground_truth.csv") if visit["is_bot"] == "0"],
        stages={row["event_id"]: row["stage"] for row in table("stages.csv")},
        shoppers={row["shopper_id"]: row for row in table("shoppers.csv")},
        promotions=table("promotions.csv"),
        prices={row["item_id"]: int(row["price_minor"]) for row in table("catalogue.csv")},
    )


def test_each_event_of_a_person_has_a_stage_and_none_of_a_bot(run: Run) -> None:
    people = {name for visit in run.visits for name in (visit["user_id"], visit["user_id_at_end"])}
    assert run.stages.keys() == {e["event_id"] for e in run.events if e["user_id"] in people}
    counts = Counter(run.stages.values())
    assert counts.keys() == {"explore", "compare", "decide", "get_help", "after_purchase"}
    assert min(counts.values()) > 0.03 * len(run.stages)


def test_the_event_type_alone_does_not_tell_the_stage(run: Run) -> None:
    by_type: dict[str, Counter[str]] = defaultdict(Counter)
    for event in run.events:
        if event["event_id"] in run.stages:
            by_type[event["event_type"]][run.stages[event["event_id"]]] += 1
    for event_type in ("view", "search", "click", "message", "wishlist"):
        counts = by_type[event_type]
        assert counts.most_common(1)[0][1] < 0.8 * counts.total(), event_type
    told = sum(counts.most_common(1)[0][1] for counts in by_type.values())
    assert told < 0.65 * len(run.stages)
    assert by_type["purchase"]["decide"] > 0.9 * by_type["purchase"].total()


def test_what_is_looked_at_shows_the_stage(run: Run) -> None:
    """The share of views that go back to an item already seen in the visit."""
    seen, again = defaultdict(set), defaultdict(list)
    for event in run.events:
        if event["event_type"] == "view" and event.get("session_id") and event["event_id"] in run.stages:
            items = seen[event["session_id"]]
            if items:
                again[run.stages[event["event_id"]]].append(event["item_id"] in items)
            items.add(event["item_id"])
    returned = {stage: sum(views) / len(views) for stage, views in again.items()}
    assert returned["decide"] > returned["compare"] > 1.5 * returned["explore"]


def test_the_goal_sways_the_stages_of_a_visit(run: Run) -> None:
    goal_of = {visit["session_id"]: visit["goal"] for visit in run.visits}
    stages: dict[str, Counter[str]] = defaultdict(Counter)
    for event in run.events:
        if event["event_id"] in run.stages and event.get("session_id"):
            stages[goal_of[event["session_id"]]][run.stages[event["event_id"]]] += 1
    served = {"buy": "decide", "compare": "compare", "explore": "explore"}
    for goal, stage in {**served, "get_help": "get_help", "after_purchase": "after_purchase"}.items():
        assert stages[goal].most_common(1)[0][0] == stage
        assert stages[goal][stage] < 0.97 * stages[goal].total()


def test_prices_are_the_catalogues_less_what_a_promotion_takes_off(run: Run) -> None:
    reduced = 0
    for event in run.events:
        if "item_id" not in event or "category" not in event:
            continue
        full = run.prices[event["item_id"]]
        off = [
            int(p["discount_percent"])
            for p in run.promotions
            if event["category"].startswith(p["category"])
            # A visit keeps the prices of the day it began on.
            and p["starts_at"] <= event["event_time"] < hours_after(p["ends_at"])
        ]
        allowed = {full, *(full * (100 - percent) // 100 for percent in off)}
        assert event["price"] in allowed | {100 * price for price in allowed}
        reduced += event["price"] < full
    assert reduced > 1_000


def hours_after(instant: str) -> str:
    day, _, time = instant.partition("T")
    assert time == "00:00:00Z"
    return f"{day}T06:00:00Z"


def test_a_promotion_brings_more_visits_and_more_purchases(run: Run) -> None:
    start, whole_shop = DEFAULT_START, [p for p in run.promotions if not p["category"]]
    assert whole_shop
    days = [start + timedelta(n) for n in range(DAYS)]
    on = {day for day in days if any(holds(p, day) for p in whole_shop)}
    visits = Counter(visit["first_event_time"][:10] for visit in run.visits)
    bought = Counter(v["first_event_time"][:10] for v in run.visits if int(v["purchases"]))

    def mean(counts: Counter[str], among: set[date]) -> float:
        return sum(counts[day.isoformat()] for day in among) / len(among)

    off = set(days) - on
    assert mean(visits, on) > 1.1 * mean(visits, off)
    assert mean(bought, on) / mean(visits, on) > 1.1 * mean(bought, off) / mean(visits, off)


def holds(promotion: dict[str, str], day: date) -> bool:
    instant = rfc3339(day_bounds(day.isoformat())[0])
    return promotion["starts_at"] <= instant < promotion["ends_at"]


def test_personas_differ_as_their_names_say(run: Run) -> None:
    persona_of = {name: shopper["persona"] for name, shopper in run.shoppers.items()}
    visits: dict[str, Table] = defaultdict(list)
    for visit in run.visits:
        visits[persona_of[visit["shopper_id"]]].append(visit)
    assert len(visits) == 5

    def conversion(persona: str) -> float:
        return sum(int(v["purchases"]) > 0 for v in visits[persona]) / len(visits[persona])

    def goal(persona: str, goal: str) -> float:
        return sum(v["goal"] == goal for v in visits[persona]) / len(visits[persona])

    assert conversion("quick_buyer") > 1.3 * conversion("researcher") > 0
    assert conversion("quick_buyer") > 1.8 * conversion("browser") > 0
    assert goal("researcher", "compare") > 1.5 * goal("browser", "compare")
    assert goal("browser", "explore") > 1.5 * goal("quick_buyer", "explore")
    shopper_of = {visit["user_id_at_end"]: visit["shopper_id"] for visit in run.visits}
    usual = usual_prices(run)
    prices, brands = defaultdict(list), defaultdict(Counter)
    for event in run.events:
        shopper = shopper_of.get(event["user_id"])
        if event["event_type"] == "view" and shopper and event.get("brand") and event.get("category"):
            persona = persona_of[shopper]
            prices[persona].append(event["price"] / usual[event["category"]])
            brands[persona, shopper, event["category"]][event["brand"]] += 1

    def loyalty(persona: str) -> float:
        counts = [c for (p, *_), c in brands.items() if p == persona and c.total() >= 10]
        return sum(c.most_common(1)[0][1] / c.total() for c in counts) / len(counts)

    dear = {persona: sum(seen) / len(seen) for persona, seen in prices.items()}
    assert dear["bargain_hunter"] < 0.85 * min(dear["browser"], dear["brand_loyal"])
    assert loyalty("brand_loyal") > 1.15 * loyalty("browser")


def usual_prices(run: Run) -> dict[str, float]:
    """What a view costs on average, by category."""
    by_category = defaultdict(list)
    for event in run.events:
        if event["event_type"] == "view" and event.get("category"):
            by_category[event["category"]].append(event["price"])
    return {category: sum(prices) / len(prices) for category, prices in by_category.items()}


def test_some_shoppers_lapse_and_some_join(run: Run) -> None:
    people = [s for s in run.shoppers.values() if s["kind"] == "person"]
    half, last_week = (DEFAULT_START + timedelta(n) for n in (DAYS // 2, DAYS - 7))
    lapsed = {s["shopper_id"] for s in people if s["lapsing_since"] and s["lapsing_since"] < str(half)}
    assert 0.05 < len(lapsed) / len(people) < 0.35
    faithful = {s["shopper_id"] for s in people if not s["lapsing_since"]}
    assert len(faithful) > 0.5 * len(people)

    def of_early_visits_kept(shoppers: set[str]) -> float:
        per_day = Counter()
        for visit in run.visits:
            if visit["shopper_id"] in shoppers:
                per_day[visit["first_event_time"][:10]] += 1
        early = sum(n for day, n in per_day.items() if day < str(DEFAULT_START + timedelta(7)))
        return sum(n for day, n in per_day.items() if day >= str(last_week)) / early

    assert of_early_visits_kept(lapsed) < 0.3 * of_early_visits_kept(faithful)
    joined = [s for s in people if s["joins_on"] and s["joins_on"] > str(DEFAULT_START + timedelta(3))]
    assert joined
    assert all(s["first_visit_on"] >= s["joins_on"] for s in joined if s["first_visit_on"])


def test_the_shoppers_totals_are_their_visits(run: Run) -> None:
    visits, purchases = Counter(), Counter()
    for visit in run.visits:
        visits[visit["shopper_id"]] += 1
        purchases[visit["shopper_id"]] += int(visit["purchases"])
    people = [s for s in run.shoppers.values() if s["kind"] == "person"]
    assert all(int(s["visits"]) == visits[s["shopper_id"]] for s in people)
    assert all(int(s["purchases"]) == purchases[s["shopper_id"]] for s in people)
    assert all((int(s["amount_minor"]) > 0) == (int(s["purchases"]) > 0) for s in people)
