import csv
import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from feature_repo.events import DoorPolicy, LedgerEvent, admit, rfc3339, to_us
from spark_jobs.importers import ParsedRow, open_log
from spark_jobs.simulation import simulate

FILES = ("events.jsonl", "ground_truth.csv", "utterances.csv", "catalogue.csv")
USERS, DAYS, SEED = 400, 4, 11
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(USERS, DAYS, SEED, folder)
    return folder


@pytest.fixture(scope="module")
def rows(out: Path) -> list[ParsedRow]:
    found, rows = open_log(out / "events.jsonl")
    assert found.name == "native"
    return list(rows)


@pytest.fixture(scope="module")
def truth(out: Path) -> list[dict[str, str]]:
    return table(out, "ground_truth.csv")


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(out: Path) -> list[str]:
    return [hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES]


def test_the_same_seed_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spark_jobs.simulation import simulate;"
        "simulate(30, 2, 5, Path(sys.argv[1]))"
    )
    seen = []
    for hash_seed in ("1", "2"):
        out = tmp_path / hash_seed
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(out)], check=True, env=environment)
        seen.append(digests(out))
    assert seen[0] == seen[1]
    simulate(30, 2, 6, tmp_path / "other")
    other = digests(tmp_path / "other")
    assert all(a != b for a, b in zip(seen[0], other, strict=True))


def test_more_shoppers_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    def of_first_ten(users: int) -> list[str]:
        simulate(users, 2, 5, tmp_path / str(users))
        lines = (tmp_path / str(users) / "events.jsonl").read_text().splitlines()
        return [line for line in lines if '"user_id":"u00000' in line]

    assert of_first_ten(10) == of_first_ten(60) != []


def test_every_row_passes_the_door_in_order_of_arrival(rows: list[ParsedRow]) -> None:
    assert all(isinstance(row, ParsedRow) for row in rows)
    received = [row.received_at for row in rows]
    assert received == sorted(received)
    admitted = [admit(row.event, row.received_at, DoorPolicy()) for row in rows]
    assert all(isinstance(event, LedgerEvent) for event in admitted)


def test_a_few_events_come_late_twice_or_out_of_order(rows: list[ParsedRow]) -> None:
    times = [to_us(row.event.event_time) for row in rows]
    waits_s = [(row.received_at - at) / 1e6 for row, at in zip(rows, times, strict=True)]
    assert 0.002 < sum(wait > 60 for wait in waits_s) / len(rows) < 0.02
    assert max(waits_s) > 86_400
    assert any(wait < 0 for wait in waits_s)
    repeats = len(rows) - len({row.event.event_id for row in rows})
    assert 0.002 < repeats / len(rows) < 0.02
    by_id = defaultdict(list)
    for row in rows:
        by_id[row.event.event_id].append(row.event)
    assert all(event == same[0] for same in by_id.values() for event in same)
    assert 0.005 < sum(a > b for a, b in pairwise(times)) / len(rows) < 0.3


def test_truth_and_log_tell_the_same_visits(rows: list[ParsedRow], truth: list[dict[str, str]]) -> None:
    events = {row.event.event_id: row.event for row in rows}.values()
    sizes = Counter(event.session_id for event in events if event.session_id)
    bought = Counter(event.session_id for event in events if event.event_type == "purchase")
    told = {visit["session_id"]: visit for visit in truth}
    assert len(told) == len(truth)
    assert {visit["goal"] for visit in truth if visit["is_bot"] == "0"} == {
        "buy", "compare", "explore", "get_help", "after_purchase"
    }  # fmt: skip
    sent = [visit for visit in truth if visit["sends_session_id"] == "1"]
    assert 0 < len(sent) < len(truth)
    assert sizes == {visit["session_id"]: int(visit["events"]) for visit in sent}
    assert all(int(visit["purchases"]) == bought[visit["session_id"]] for visit in sent)
    first = min(events, key=lambda event: event.event_time)
    assert rfc3339(to_us(first.event_time)) == min(visit["first_event_time"] for visit in truth)


def test_a_shopper_is_in_one_visit_at_a_time(truth: list[dict[str, str]]) -> None:
    spans = defaultdict(list)
    for visit in truth:
        spans[visit["user_id"]].append((visit["first_event_time"], visit["last_event_time"]))
    assert all(a[1] < b[0] for visits in spans.values() for a, b in pairwise(sorted(visits)))
    assert sum(len(visits) > 1 for visits in spans.values()) > 100


def test_a_cart_raises_purchase_and_the_goal_shows(
    rows: list[ParsedRow], truth: list[dict[str, str]]
) -> None:
    kinds = defaultdict(set)
    for row in rows:
        kinds[row.event.session_id].add(row.event.event_type)
    people = [v for v in truth if v["is_bot"] == "0" and v["sends_session_id"] == "1"]

    def share(of: str, visits: list[dict[str, str]]) -> float:
        return sum(of in kinds[v["session_id"]] for v in visits) / len(visits)

    def with_goal(*goals: str) -> list[dict[str, str]]:
        return [v for v in people if v["goal"] in goals]

    assert 0.05 < share("purchase", people) < 0.15
    carts = [v for v in people if "add_to_cart" in kinds[v["session_id"]]]
    assert 0.2 < share("purchase", carts) < 0.7
    assert share("purchase", carts) > 3 * share("purchase", people)
    assert share("purchase", with_goal("buy")) > 3 * share("purchase", with_goal("compare")) > 0
    asking = share("message", with_goal("get_help", "after_purchase"))
    assert asking > 3 * share("message", with_goal("buy", "compare", "explore"))


def test_both_languages_are_typed_and_known(out: Path, rows: list[ParsedRow]) -> None:
    typed = {row.event.event_id: row.event.query or row.event.text for row in rows}
    utterances = table(out, "utterances.csv")
    assert {u["event_id"]: u["text"] for u in utterances} == {k: v for k, v in typed.items() if v}
    counts = Counter((u["intent"], u["language"]) for u in utterances)
    assert len(counts) == 18
    for u in utterances:
        assert "{" not in u["text"]
    chinese = [u["language"] for u in utterances if any("一" <= c <= "鿿" for c in u["text"])]
    assert 0.4 < len(chinese) / len(utterances) < 0.75


def test_bots_are_quick_and_buy_nothing(rows: list[ParsedRow], truth: list[dict[str, str]]) -> None:
    bots = [visit for visit in truth if visit["is_bot"] == "1"]
    assert bots
    names = {visit["user_id"] for visit in bots}
    assert {row.event.event_type for row in rows if row.event.user_id in names} == {"view"}
    assert all(visit["goal"] == "" and int(visit["events"]) >= 50 for visit in bots)


def test_evenings_are_busier_than_nights(truth: list[dict[str, str]]) -> None:
    chinese = [v for v in truth if v["language"] == "zh" and v["is_bot"] == "0"]
    by_hour = Counter(int(visit["first_event_time"][11:13]) for visit in chinese)
    evening = sum(by_hour[hour] for hour in (11, 12, 13))  # 19 to 21 h in Shanghai
    night = sum(by_hour[hour] for hour in (18, 19, 20))  # 2 to 4 h
    assert evening > 3 * night


def test_the_catalogue_is_what_the_log_speaks_of(out: Path, rows: list[ParsedRow]) -> None:
    catalogue = {item["item_id"]: item for item in table(out, "catalogue.csv")}
    seen = [row.event for row in rows if row.event.item_id]
    for event in seen:
        item = catalogue[event.item_id]
        assert (event.category, event.brand) == (item["category"], item["brand"])
        assert event.price in (int(item["price_minor"]), 100 * int(item["price_minor"]))
    assert all(item["title_zh"] and item["title_en"] for item in catalogue.values())


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    summary = simulate(40, 2, 3, tmp_path, start=date(2026, 5, 30))
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    visits = table(tmp_path, "ground_truth.csv")
    assert summary["events"] + summary["repeats"] == len(lines)
    assert summary["sessions"] == len(visits)
    assert summary["purchase_sessions"] == sum(int(v["purchases"]) > 0 for v in visits)
    assert (summary["first_day"], summary["last_day"]) == ("2026-05-30", "2026-05-31")
    assert min(v["first_event_time"] for v in visits).startswith("2026-05-30")


@pytest.mark.parametrize(("users", "days"), [(0, 3), (10, 0), (-1, 1)])
def test_a_run_of_nothing_is_refused(tmp_path: Path, users: int, days: int) -> None:
    with pytest.raises(ValueError, match="needs at least 1"):
        simulate(users, days, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    simulate(5, 1, 1, tmp_path)
    before = digests(tmp_path)
    with pytest.raises(OverflowError):
        simulate(5, 4, 2, tmp_path, start=date(9999, 12, 30))
    assert digests(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
