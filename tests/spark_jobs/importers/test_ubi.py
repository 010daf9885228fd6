import json
from pathlib import Path

import pytest

from feature_repo.events import rfc3339, to_us
from spark_jobs.importers import BadRow, IgnoredRow, ParsedRow, open_log

SAMPLE = Path(__file__).parents[4] / "shared/data/ubi/ubi_queries_events.ndjson"

QUERY = {
    "application": "shop",
    "query_id": "q1",
    "client_id": "c1",
    "user_query": "蓝牙耳机",
    "timestamp": "2025-01-24T07:31:30.699+0000",
}
SEARCH = {
    "action_name": "search",
    "query_id": "q1",
    "client_id": "c1",
    "session_id": "s1",
    "message_type": "QUERY",
    "message": "蓝牙耳机",
    "timestamp": "2025-01-24T07:31:30.771Z",
}
BOUGHT = {
    "action_name": "purchase",
    "query_id": "q1",
    "client_id": "c1",
    "timestamp": 1737703890799,
    "user_query": "蓝牙耳机",
    "event_attributes": {
        "session_id": "s1",
        "browser": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148",
        "object": {"object_id": "B01", "object_id_field": "asin", "object_detail": {"price": 22695}},
    },
}


def read(tmp_path: Path, *documents: dict) -> list[ParsedRow | BadRow | IgnoredRow]:
    path = tmp_path / "log.ndjson"
    path.write_text("".join(json.dumps(d, ensure_ascii=False) + "\n" for d in documents))
    found, rows = open_log(path)
    assert found.name == "ubi"
    return list(rows)


def test_three_notations_of_time_are_one_instant_each(tmp_path: Path) -> None:
    rows = read(tmp_path, QUERY, SEARCH, BOUGHT)
    times = [rfc3339(to_us(row.event.event_time)) for row in rows]
    assert times == [f"2025-01-24T07:31:30.{ms}000Z" for ms in ("699", "771", "799")]


def test_a_query_and_the_search_event_of_the_page_are_one_event(tmp_path: Path) -> None:
    query, search, other = read(tmp_path, QUERY, SEARCH, SEARCH | {"message": "耳机"})
    assert query.event.event_id == search.event.event_id != other.event.event_id
    assert (query.event.query, query.event.user_id, query.event.scenario) == ("蓝牙耳机", "c1", "search")
    assert (search.event.event_type, search.event.session_id, other.event.query) == ("search", "s1", "耳机")


def test_a_purchase(tmp_path: Path) -> None:
    event = read(tmp_path, BOUGHT)[0].event
    assert (event.event_type, event.item_id, event.price) == ("purchase", "B01", 22695)
    assert (event.session_id, event.device, event.scenario) == ("s1", "mobile", "search")
    assert event.query is None


def test_bulk_action_lines_are_no_rows_and_other_actions_are_counted(tmp_path: Path) -> None:
    index = {"index": {"_index": "ubi_events", "_id": "1"}}
    rows = read(tmp_path, index, QUERY, index, SEARCH | {"action_name": "brand_filter"})
    assert [row.line for row in rows] == [2, 4]
    assert rows[1] == IgnoredRow(4, "action_brand_filter")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"timestamp": "2025-01-24 07:31"}, "bad_event_time"),
        ({"timestamp": None}, "missing_event_time"),
        ({"client_id": ""}, "missing_user_id"),
        ({"action_name": 5}, "bad_event_type"),
        ({"event_attributes": {"object": {"object_detail": {"price": 12.5}}}}, "bad_price"),
        ({"event_attributes": {"object": {"object_id": "x" * 300}}}, "bad_item_id"),
    ],
    ids=["time", "no_time", "no_client", "action", "price", "item"],
)
def test_a_bad_document_is_told(tmp_path: Path, change: dict, code: str) -> None:
    _, bad, _ = read(tmp_path, QUERY, BOUGHT | change, SEARCH)
    assert (bad.line, bad.code) == (2, code)
    assert bad.event_time == (None if "timestamp" in change else 1737703890799000)


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the UBI sample is not at {SAMPLE}")
def test_the_real_sample_is_read_whole() -> None:
    rows = list(open_log(SAMPLE)[1])
    kinds = [row.event.event_type for row in rows if isinstance(row, ParsedRow)]
    assert len(rows) == 3_448 + 473
    assert not any(isinstance(row, BadRow) for row in rows)
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "search": 1_065,
        "click": 298,
        "add_to_cart": 234,
        "purchase": 6,
    }
    assert sum(isinstance(row, IgnoredRow) and row.reason == "action_impression" for row in rows) == 1_999
