import gzip
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from feature_repo.events import Event
from spark_jobs.importers import BadRow, ParsedRow, open_log

EVENT = Event(
    event_id="e1",
    user_id="用户一",
    event_type="search",
    event_time=datetime(2026, 3, 1, 8, 0, 0, 123456, UTC),
    session_id="s1",
    query="蓝牙耳机 under $50",
    scenario="search",
    consent="aggregate",
)
PRICED = Event(
    event_id="e2",
    user_id="u2",
    event_type="purchase",
    event_time=datetime(2026, 3, 1, 8, 0, 1, tzinfo=UTC),
    item_id="i1",
    price=1999,
    currency="USD",
    quantity=3,
)
ARRIVAL = "2026-03-01T08:00:02.5Z"
ARRIVAL_US = 1_772_352_002_500_000


def read(path: Path, content: bytes) -> list[ParsedRow | BadRow]:
    path.write_bytes(content)
    return list(open_log(path)[1])


def line(event: Event = EVENT, **changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(event) | changes)


def as_csv(*events: Event, columns: str = ",".join(Event.__struct_fields__)) -> bytes:
    rows = [msgspec.to_builtins(event) for event in events]
    names = columns.split(",")
    lines = [",".join(str(row.get(name, "")) for name in names) for row in rows]
    return "\n".join([columns, *lines]).encode()


def test_json_lines_give_back_the_events(tmp_path: Path) -> None:
    rows = read(tmp_path / "log", line() + b"\n" + line(PRICED))
    assert rows == [ParsedRow(1, EVENT), ParsedRow(2, PRICED)]
    assert type(rows[0].event) is Event


def test_csv_gives_back_the_same_events(tmp_path: Path) -> None:
    assert read(tmp_path / "log", as_csv(EVENT, PRICED)) == [
        ParsedRow(2, EVENT),
        ParsedRow(3, PRICED),
    ]


def test_arrival_is_read_where_it_is_known(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "log", line(received_at=ARRIVAL))
    assert row == ParsedRow(1, EVENT, ARRIVAL_US)
    header = "event_id,user_id,event_type,event_time,received_at"
    cells = f"e,u,view,2026-03-01T08:00:00Z,{ARRIVAL}\ne,u,view,2026-03-01T08:00:00Z,\n"
    rows = read(tmp_path / "csv", f"{header}\n{cells}".encode())
    assert [row.received_at for row in rows] == [ARRIVAL_US, None]


@pytest.mark.parametrize("content", [line() + b"\r\n\r\n" + line(), as_csv(EVENT, EVENT)])
def test_gzip_and_a_byte_order_mark_change_nothing(tmp_path: Path, content: bytes) -> None:
    plain = read(tmp_path / "plain", content)
    assert [row.event for row in plain] == [EVENT, EVENT]
    assert read(tmp_path / "marked", b"\xef\xbb\xbf" + content) == plain
    assert read(tmp_path / "packed", gzip.compress(content)) == plain


@pytest.mark.parametrize(
    ("bad", "code", "said"),
    [
        (b"{", "not_json", "JSON"),
        (b'["e1"]', "not_an_object", "one JSON object"),
        (line(price=-1), "bad_price", "price is '-1'"),
        (line(price=1.5), "bad_price", "price is '1.5'"),
        (line(event_type="cart"), "bad_event_type", "event_type is 'cart'"),
        (line(event_time="2026-03-01T08:00:00"), "bad_event_time", "2026-03-01T08:00:00"),
        (line(event_time="yesterday"), "bad_event_time", "yesterday"),
        (line(received_at=5), "bad_received_at", "received_at is '5'"),
        (line(colour="red"), "unknown_field", "'colour'"),
        (line(user_id=""), "bad_user_id", "user_id is ''"),
        (b'{"event_id":"e1"}', "missing_user_id", "user_id is missing"),
        (line().replace(b"s1", b"\xff"), "encoding", "UTF-8"),
        (line(text="x" * 300_000), "too_long", "longer than"),
        (b'{"event_id":' + b"[" * 100_000, "bad_event_id", "event_id"),
    ],
)
def test_a_bad_line_is_told_and_its_neighbours_are_kept(
    tmp_path: Path, bad: bytes, code: str, said: str
) -> None:
    rows = read(tmp_path / "log", b"\n".join([line(), b"", bad, line()]))
    assert [row.line for row in rows] == [1, 3, 4]
    assert isinstance(rows[2], ParsedRow)
    assert (rows[1].code, said in rows[1].reason) == (code, True), rows[1].reason
    assert "\n" not in rows[1].reason
    assert len(rows[1].reason) < 250


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("price", "12.50", "bad_price"),
        ("price", "-1", "bad_price"),
        ("price", "９", "bad_price"),
        ("price", "9" * 5000, "bad_price"),
        ("quantity", "0", "bad_quantity"),
        ("quantity", "many", "bad_quantity"),
        ("event_time", "1772352000", "bad_event_time"),
        ("received_at", "soon", "bad_received_at"),
        ("user_id", "", "missing_user_id"),
        ("consent", "yes", "bad_consent"),
    ],
)
def test_a_bad_csv_cell_is_told(tmp_path: Path, column: str, value: str, code: str) -> None:
    cells = {
        "event_id": "e",
        "user_id": "u",
        "event_type": "view",
        "event_time": "2026-03-01T08:00:00Z",
        column: value,
    }
    (row,) = read(tmp_path / "log", f"{','.join(cells)}\n{','.join(cells.values())}\n".encode())
    assert isinstance(row, BadRow)
    assert row.code == code
    assert value[:10] in row.reason


def test_a_log_whose_first_line_is_broken_is_still_recognised(tmp_path: Path) -> None:
    rows = read(tmp_path / "log", b"{broken\n" + line())
    assert [type(row) for row in rows] == [BadRow, ParsedRow]
