"""RetailRocket, YooChoose, Taobao and OTTO: rows shaped as in the published files."""

import gzip
import json
from pathlib import Path

import pytest

from feature_repo.events import rfc3339, to_us
from spark_jobs.importers import BadRow, IgnoredRow, ParsedRow, open_log, recognise

OTTO = Path(__file__).parents[4] / "shared/data/otto/train.jsonl"

RETAILROCKET = "timestamp,visitorid,event,itemid,transactionid\n"
RETAILROCKET_ROWS = (
    "1433221332117,257597,view,355908,\n"
    "1433222276276,599528,addtocart,356475,\n"
    "1433222276277,121688,transaction,15335,11117\n"
)
CLICKS = (
    "1,2014-04-07T10:51:09.277Z,214536502,0\n"
    "1,2014-04-07T10:54:09.868Z,214536500,S\n"
    "2,2014-04-07T13:56:37.614Z,214662742,12\n"
    "2,2014-04-07T13:57:19.373Z,214662743,2089046432\n"
)
BUYS = "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n420374,2014-04-06T18:44:58.325Z,214537850,0,0\n"
TAOBAO = (
    "1,2268318,2520377,pv,1511544070\n"
    "1,2333346,2520771,cart,1511561733\n"
    "2,2576651,149192,fav,1511572885\n"
    "2,3830808,4181361,buy,1511593493\n"
)


def read(tmp_path: Path, text: str, format: str = "auto") -> list[ParsedRow | BadRow | IgnoredRow]:
    path = tmp_path / "log"
    path.write_text(text)
    return list(open_log(path, format)[1])


def shape(row: ParsedRow) -> tuple:
    event = row.event
    return row.line, event.user_id, event.event_type, event.item_id, rfc3339(to_us(event.event_time))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (RETAILROCKET, "retailrocket"),
        (CLICKS, "yoochoose"),
        (BUYS, "yoochoose"),
        (TAOBAO, "taobao"),
        ("broken\n" + TAOBAO, "taobao"),
        ('{"session":1,"events":[]}\n', "otto"),
    ],
    ids=["retailrocket", "clicks", "buys", "taobao", "taobao_first_broken", "otto"],
)
def test_they_are_recognised_from_content(tmp_path: Path, content: str, name: str) -> None:
    path = tmp_path / "named.otherwise"
    path.write_bytes(gzip.compress(content.encode()))
    assert recognise(path).format == name


def test_retailrocket(tmp_path: Path) -> None:
    rows = read(tmp_path, RETAILROCKET + RETAILROCKET_ROWS)
    assert [shape(row) for row in rows] == [
        (2, "257597", "view", "355908", "2015-06-02T05:02:12.117000Z"),
        (3, "599528", "add_to_cart", "356475", "2015-06-02T05:17:56.276000Z"),
        (4, "121688", "purchase", "15335", "2015-06-02T05:17:56.277000Z"),
    ]
    assert {row.event.price for row in rows} == {None}


def test_yoochoose_clicks_tell_the_context_apart(tmp_path: Path) -> None:
    rows = read(tmp_path, CLICKS)
    assert shape(rows[0]) == (1, "1", "view", "214536502", "2014-04-07T10:51:09.277000Z")
    context = [(row.event.category, row.event.brand, row.event.scenario) for row in rows]
    assert context == [
        (None, None, None),
        (None, None, "marketing"),
        ("12", None, None),
        (None, "2089046432", None),
    ]
    assert {row.event.session_id for row in rows} == {"1", "2"}


def test_yoochoose_buys_with_zero_have_no_price(tmp_path: Path) -> None:
    known, unknown = read(tmp_path, BUYS)
    assert shape(known) == (1, "420374", "purchase", "214537888", "2014-04-06T18:44:58.314000Z")
    assert (known.event.price, known.event.quantity) == (12462, 1)
    assert (unknown.event.price, unknown.event.quantity) == (None, None)


def test_taobao(tmp_path: Path) -> None:
    rows = read(tmp_path, TAOBAO)
    assert shape(rows[0]) == (1, "1", "view", "2268318", "2017-11-24T17:21:10Z")
    assert [row.event.event_type for row in rows] == ["view", "add_to_cart", "wishlist", "purchase"]
    assert rows[3].event.category == "4181361"


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        (RETAILROCKET_ROWS, "soon,1,view,2,", "bad_event_time"),
        (RETAILROCKET_ROWS, "1433221332117,,view,2,", "missing_user_id"),
        (RETAILROCKET_ROWS, "1433221332117,1,stare,2,", "bad_event_type"),
        (RETAILROCKET_ROWS, "1433221332117,1,view,2", "columns"),
        (CLICKS, "1,2014-04-07 10:51:09,214536502,0", "bad_event_time"),
        (CLICKS, "1,2014-04-07T10:51:09.277Z,214536502,X", "bad_category"),
        (CLICKS, "1,2014-04-07T10:51:09.277Z,214536502,5,1", "columns"),
        (BUYS, "1,2014-04-07T10:51:09.277Z,214536502,-5,1", "bad_price"),
        (TAOBAO, "1,2,3,pv,-20000", "bad_event_time"),
        (TAOBAO, "1,2,3,look,1511544070", "bad_event_type"),
        (TAOBAO, "1,2,3,pv,99999999999999999", "bad_event_time"),
        (TAOBAO, ",2,3,pv,1511544070", "missing_user_id"),
    ],
)
def test_a_bad_row_is_told_and_its_neighbours_are_kept(
    tmp_path: Path, good: str, bad: str, code: str
) -> None:
    header = RETAILROCKET if good is RETAILROCKET_ROWS else ""
    rows = read(tmp_path, header + good + bad + "\n" + good)
    refused = [row for row in rows if isinstance(row, BadRow)]
    assert [(row.code, row.raw) for row in refused] == [(code, bad)]
    assert len(rows) == 2 * good.count("\n") + 1


def test_one_bad_event_of_an_otto_session_costs_none_of_the_others(tmp_path: Path) -> None:
    events = [
        {"aid": 1, "ts": 1659304800025, "type": "clicks"},
        {"aid": 2, "ts": 1659304904511, "type": "looks"},
        {"aid": 3, "ts": "soon", "type": "carts"},
        {"ts": 1659304904511, "type": "carts"},
        {"aid": 4, "ts": 1659304904512, "type": "carts"},
        {"aid": 5, "ts": 1659304904513, "type": "orders"},
    ]
    text = json.dumps({"session": 12, "events": events}) + '\n{"session":13,"events":[]}\n{"session":14}\n'
    rows = read(tmp_path, text)
    parsed = [row for row in rows if isinstance(row, ParsedRow)]
    assert [shape(row)[:4] for row in parsed] == [
        (1, "12", "view", "1"),
        (1, "12", "add_to_cart", "4"),
        (1, "12", "purchase", "5"),
    ]
    bad = [(row.line, row.code, row.event_time) for row in rows if isinstance(row, BadRow)]
    assert bad == [
        (1, "bad_event_type", 1659304904511000),
        (1, "bad_event_time", None),
        (1, "missing_item_id", 1659304904511000),
        (3, "missing_events", None),
    ]
    assert '"looks"' in rows[1].raw
    assert rows[6] == IgnoredRow(2, "session_without_events")


@pytest.mark.skipif(not OTTO.exists(), reason=f"the OTTO sample is not at {OTTO}")
def test_the_real_otto_sample_is_read_whole() -> None:
    rows = list(open_log(OTTO)[1])
    kinds = [row.event.event_type for row in rows]
    assert (kinds.count("view"), kinds.count("add_to_cart"), kinds.count("purchase")) == (800, 52, 10)
    assert len({row.event.event_id for row in rows}) == 862
    assert {row.line for row in rows} == set(range(1, 21))
