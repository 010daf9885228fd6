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
from models.utterance.dataset import DATA, own_rows
from spark_jobs.importers import ParsedRow, open_log
from spark_jobs.simulation import simulate, users_for

FILES = (
    "events.jsonl",
    "ground_truth.csv",
    "utterances.csv",
    "stages.csv",
    "shoppers.csv",
    "promotions.csv",
    "catalogue.csv",
)
USERS, DAYS, SEED = 400, 4, 11
ROOT = Path(__file__).parents[3]
Table = list[dict[str, str]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(USERS, DAYS, SEED, folder, processes=1)
    return folder


@pytest.fixture(scope="module")
def rows(out: Path) -> list[ParsedRow]:
    found, rows = open_log(out / "events.jsonl")
    assert found.name == "native"
    return list(rows)


@pytest.fixture(scope="module")
def truth(out: Path) -> Table:
    return table(out, "ground_truth.csv")


def table(out: Path, name: str) -> Table:
    with (out / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(out: Path) -> list[str]:
    return [hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES]


def test_equal_arguments_give_equal_bytes_however_the_work_is_divided(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spark_jobs.simulation import simulate;"
        "simulate(60, 3, 5, Path(sys.argv[1]), processes=int(sys.argv[2]), batch_events=int(sys.argv[3]))"
    )
    for name, *sizes in (("one", "1", "100000"), ("two", "2", "500")):
        environment = {**os.environ, "PYTHONHASHSEED": sizes[0], "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, str(tmp_path / name), *sizes]
        subprocess.run(command, check=True, env=environment)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    simulate(60, 3, 6, tmp_path / "other")
    other = digests(tmp_path / "other")
    assert all(a != b for a, b in zip(digests(tmp_path / "one"), other, strict=True))


def test_more_shoppers_or_days_leave_what_was_there(tmp_path: Path) -> None:
    def visits(users: int, days: int) -> set[tuple[str, ...]]:
        simulate(users, days, 5, tmp_path)
        return {tuple(visit.values()) for visit in table(tmp_path, "ground_truth.csv")}

    few = visits(20, 2)
    assert few < visits(60, 2)
    assert few < visits(20, 5)


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


def test_truth_and_log_tell_the_same_visits(rows: list[ParsedRow], truth: Table) -> None:
    events = {row.event.event_id: row.event for row in rows}.values()
    sizes = Counter(event.session_id for event in events if event.session_id)
    bought = Counter(event.session_id for event in events if event.event_type == "purchase")
    visitors = defaultdict(set)
    for event in events:
        visitors[event.session_id].add(event.user_id)
    told = {visit["session_id"]: visit for visit in truth}
    assert len(told) == len(truth)
    assert {visit["goal"] for visit in truth if visit["is_bot"] == "0"} == {
        "buy", "compare", "explore", "get_help", "after_purchase"
    }  # fmt: skip
    sent = [visit for visit in truth if visit["sends_session_id"] == "1"]
    assert 0 < len(sent) < len(truth)
    assert sizes == {visit["session_id"]: int(visit["events"]) for visit in sent}
    assert all(int(visit["purchases"]) == bought[visit["session_id"]] for visit in sent)
    assert all({v["user_id"], v["user_id_at_end"]} == visitors[v["session_id"]] for v in sent)
    first = min(events, key=lambda event: event.event_time)
    assert rfc3339(to_us(first.event_time)) == min(visit["first_event_time"] for visit in truth)


def test_a_shopper_is_in_one_visit_at_a_time(truth: Table) -> None:
    spans = defaultdict(list)
    for visit in truth:
        spans[visit["shopper_id"]].append((visit["first_event_time"], visit["last_event_time"]))
    assert all(a[1] < b[0] for visits in spans.values() for a, b in pairwise(sorted(visits)))
    assert sum(len(visits) > 1 for visits in spans.values()) > 100


def test_visitors_are_known_unknown_or_sign_in_on_the_way(out: Path, truth: Table) -> None:
    sign_in = {s["shopper_id"]: s["sign_in"] for s in table(out, "shoppers.csv")}
    people = [visit for visit in truth if visit["is_bot"] == "0"]
    unknown = [visit for visit in people if visit["user_id"] != visit["shopper_id"]]
    assert 0.2 < len(unknown) / len(people) < 0.5
    assert {sign_in[visit["shopper_id"]] for visit in unknown} == {"late", "never"}
    changed = [visit for visit in people if visit["user_id"] != visit["user_id_at_end"]]
    assert 0.01 < len(changed) / len(people) < 0.08
    assert all(visit["user_id_at_end"] == visit["shopper_id"] for visit in changed)
    assert {sign_in[visit["shopper_id"]] for visit in changed} == {"late"}
    visits = Counter(visit["user_id"] for visit in unknown)
    assert 0.1 < sum(n > 1 for n in visits.values()) / len(visits) < 0.6
    owners = {(visit["user_id"], visit["shopper_id"]) for visit in unknown}
    assert len(owners) == len(visits)


def test_a_cart_raises_purchase_and_the_goal_shows(rows: list[ParsedRow], truth: Table) -> None:
    kinds = defaultdict(set)
    for row in rows:
        kinds[row.event.session_id].add(row.event.event_type)
    people = [v for v in truth if v["is_bot"] == "0" and v["sends_session_id"] == "1"]

    def share(of: str, visits: Table) -> float:
        return sum(of in kinds[v["session_id"]] for v in visits) / len(visits)

    def with_goal(*goals: str) -> Table:
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


def test_no_text_is_one_that_the_utterance_model_learns_from(out: Path) -> None:
    learnt = {row.text.lower() for row in own_rows()}
    learnt |= {row["text"].lower() for row in table(DATA, "test.csv")}
    assert learnt.isdisjoint(u["text"].lower() for u in table(out, "utterances.csv"))


def test_bots_come_in_three_kinds_and_buy_nothing(out: Path, rows: list[ParsedRow], truth: Table) -> None:
    kind_of = {s["shopper_id"]: s["kind"] for s in table(out, "shoppers.csv")}
    bots = [visit for visit in truth if visit["is_bot"] == "1"]
    assert {kind_of[v["shopper_id"]] for v in bots} == {"crawler", "burst_scraper", "price_poller"}
    assert all(visit["goal"] == "" and int(visit["events"]) >= 50 for visit in bots)
    names = {visit["user_id"]: kind_of[visit["shopper_id"]] for visit in bots}
    viewed = defaultdict(dict)
    for row in rows:
        if row.event.user_id in names:
            assert row.event.event_type == "view"
            viewed[row.event.user_id][to_us(row.event.event_time)] = row.event.item_id
    share = sum(map(len, viewed.values())) / len({row.event.event_id for row in rows})
    assert 0.03 < share < 0.25
    for name, pages in viewed.items():
        gaps_s = sorted((b - a) / 1e6 for a, b in pairwise(sorted(pages)))
        middle = gaps_s[len(gaps_s) // 2]
        if names[name] == "crawler":
            assert 0.3 < middle < 2.2
        elif names[name] == "burst_scraper":
            assert middle < 0.2 and gaps_s[-1] > 100
        else:
            assert len(set(pages.values())) <= 8 * sum(v["user_id"] == name for v in bots)


def test_evenings_are_busier_than_nights_and_on_the_phone(truth: Table) -> None:
    chinese = [v for v in truth if v["language"] == "zh" and v["is_bot"] == "0"]

    def at(*hours: int) -> Table:
        return [v for v in chinese if int(v["first_event_time"][11:13]) in hours]

    def mobile(visits: Table) -> float:
        named = [v["device"] for v in visits if v["device"]]
        return named.count("mobile") / len(named)

    evening = at(11, 12, 13)  # 19 to 21 h in Shanghai
    assert len(evening) > 3 * len(at(18, 19, 20))  # 2 to 4 h
    assert mobile(evening) > 1.15 * mobile(at(1, 2, 3, 4, 5, 6, 7, 8))  # 9 to 16 h
    assert {v["device"] for v in chinese} == {"mobile", "desktop", "tablet", "other", ""}
    assert 0.03 < sum(not v["device"] for v in chinese) / len(chinese) < 0.15


def test_the_catalogue_is_what_the_log_speaks_of(out: Path, rows: list[ParsedRow]) -> None:
    catalogue = {item["item_id"]: item for item in table(out, "catalogue.csv")}
    seen = [row.event for row in rows if row.event.item_id]
    for event in seen:
        item = catalogue[event.item_id]
        assert event.category in (item["category"], None)
        assert event.brand in (item["brand"], None)
    for column in ("category", "brand"):
        lost = [event.item_id for event in seen if getattr(event, column) is None]
        assert 0.02 < len(lost) / len(seen) < 0.1
        # Of some items no event tells, of most of them another one does.
        told = {event.item_id for event in seen if getattr(event, column)}
        assert 0 < len(set(lost) - told) < 60
        assert len(set(lost) & told) > 100
    assert all(item["title_zh"] and item["title_en"] for item in catalogue.values())


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    told = []
    summary = simulate(
        40, 2, 3, tmp_path, start=date(2026, 5, 30), progress=lambda done, of: told.append((done, of))
    )
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    visits = table(tmp_path, "ground_truth.csv")
    assert summary["events"] + summary["repeats"] == len(lines)
    assert summary["sessions"] == len(visits)
    assert summary["purchase_sessions"] == sum(int(v["purchases"]) > 0 for v in visits)
    assert (summary["first_day"], summary["last_day"]) == ("2026-05-30", "2026-05-31")
    assert min(v["first_event_time"] for v in visits).startswith("2026-05-30")
    shoppers = table(tmp_path, "shoppers.csv")
    assert summary["users"] == len(shoppers) == 40
    assert summary["bots"] == sum(s["kind"] != "person" for s in shoppers)
    assert told == [(1, 1)]


@pytest.mark.parametrize("days", [2, 20])
def test_a_wanted_number_of_events_picks_the_shoppers(tmp_path: Path, days: int) -> None:
    summary = simulate(users_for(20_000, days), days, 1, tmp_path)
    assert 16_000 < summary["events"] < 24_000


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"users": 0}, "users is 0: a simulation needs at least 1"),
        ({"days": 0}, "days is 0"),
        ({"users": -1}, "users is -1"),
        ({"processes": 0}, "processes is 0"),
        ({"days": 70_000}, "would leave the years 2000 to 2199"),
        ({"start": date(1999, 12, 31)}, "would leave the years 2000 to 2199"),
    ],
    ids=["no-users", "no-days", "negative", "no-processes", "too-long", "too-early"],
)
def test_a_run_that_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, object], reason: str) -> None:
    arguments = {"users": 10, "days": 1, "seed": 1, "out": tmp_path / "out", **wrong}
    with pytest.raises(ValueError, match=reason):
        simulate(**arguments)
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(done: int, of: int) -> None:
        raise Interrupted

    simulate(5, 1, 1, tmp_path)
    before = digests(tmp_path)
    with pytest.raises(Interrupted):
        simulate(5, 4, 2, tmp_path, progress=interrupt)
    assert digests(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
