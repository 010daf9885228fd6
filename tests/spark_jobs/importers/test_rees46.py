from pathlib import Path

import pytest

from feature_repo.events import rfc3339, to_us
from spark_jobs.importers import BadRow, ParsedRow, open_log

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
ROW = "2019-10-01 00:00:01 UTC,view,3900821,2053,appliances.heater,aqua,33.20,u1,s1"
SAMPLE = Path(__file__).parents[4] / "shared/data/rees46/2019-Oct-first-hours.csv"


def read(tmp_path: Path, *lines: str, end: str = "\n") -> list[ParsedRow | BadRow]:
    path = tmp_path / "log.csv"
    path.write_bytes(end.join((HEADER, *lines, "")).encode())
    return list(open_log(path, "rees46")[1])


def changed(**columns: str) -> str:
    cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | columns
    return ",".join(cells.values())


def test_a_row_becomes_an_event(tmp_path: Path) -> None:
    (row,) = read(tmp_path, ROW)
    assert row.line == 2
    assert row.received_at is None
    event = row.event
    assert rfc3339(to_us(event.event_time)) == "2019-10-01T00:00:01Z"
    assert (event.user_id, event.session_id, event.item_id) == ("u1", "s1", "3900821")
    assert (event.event_type, event.category, event.brand) == ("view", "appliances.heater", "aqua")
    assert (event.price, event.currency, event.quantity) == (3320, None, None)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("view", "view"),
        ("cart", "add_to_cart"),
        ("remove_from_cart", "remove_from_cart"),
        ("purchase", "purchase"),
    ],
)
def test_event_types_are_mapped(tmp_path: Path, theirs: str, ours: str) -> None:
    assert read(tmp_path, changed(event_type=theirs))[0].event.event_type == ours


@pytest.mark.parametrize(
    ("text", "minor"),
    [("35.79", 3579), ("0.29", 29), ("1.1", 110), ("7", 700), ("4.35", 435), ("9.9900", 999),
     ("0.00", 0), ("", None), ("100000000.00", 10_000_000_000)],
)  # fmt: skip
def test_prices_are_exact_hundredths(tmp_path: Path, text: str, minor: int | None) -> None:
    assert read(tmp_path, changed(price=text))[0].event.price == minor


def test_empty_fields_are_absent(tmp_path: Path) -> None:
    row = changed(product_id="", category_code="", brand="", price="", user_session="")
    event = read(tmp_path, row)[0].event
    absent = (event.item_id, event.category, event.brand, event.price, event.session_id)
    assert absent == (None,) * 5


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        (changed(event_time="2019-13-01 00:00:00 UTC"), "bad_event_time", "2019-13-01"),
        (changed(event_time="2019-10-01T00:00:00Z"), "bad_event_time", "is '2019-10-01T"),
        (changed(event_time=""), "bad_event_time", "event_time is ''"),
        (changed(event_time="٢019-10-01 00:00:00 UTC"), "bad_event_time", "event_time"),
        (changed(event_type="add"), "bad_event_type", "event_type is 'add'"),
        (changed(price="-3.20"), "bad_price", "price is '-3.20'"),
        (changed(price="NaN"), "bad_price", "price is 'NaN'"),
        (changed(price="1e3"), "bad_price", "price is '1e3'"),
        (changed(price="1.005"), "bad_price", "price is '1.005'"),
        (changed(price="100000000.01"), "bad_price", "price is '10000000001'"),
        (changed(user_id=""), "missing_user_id", "user_id is missing"),
        (changed(user_session="x" * 257), "bad_session_id", "user_session is 'xxx"),
        (changed(product_id="a\tb"), "bad_item_id", "product_id is 'a\\tb'"),
        (ROW + ",more", "columns", "10 columns, the header has 9"),
        ("2019-10-01 00:00:00 UTC,view", "columns", "2 columns, the header has 9"),
        (changed(brand='"aqua'), "quoting", "never closed"),
        (changed(brand='"aq"ua"x"'), "quoting", "quotes"),
    ],
)
def test_a_bad_row_is_told_and_its_neighbours_are_kept(
    tmp_path: Path, row: str, code: str, said: str
) -> None:
    before, bad, after = read(tmp_path, ROW, row, changed(user_id="u2"))
    assert isinstance(before, ParsedRow)
    assert isinstance(after, ParsedRow)
    assert after.line == 4
    assert (bad.line, bad.code, bad.raw) == (3, code, row)
    assert said in bad.reason
    assert "\n" not in bad.reason
    assert len(bad.reason) < 250


def test_invalid_utf8_spoils_only_its_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [HEADER.encode(), ROW.encode(), ROW.replace("aqua", "\xe9").encode("latin-1")]
    path.write_bytes(b"\n".join([*rows, changed(brand="家电").encode()]))
    first, bad, last = open_log(path)[1]
    assert first.event.brand == "aqua"
    assert (bad.line, bad.code) == (3, "encoding")
    assert "\\xe9" in bad.raw
    assert last.event.brand == "家电"


def test_line_numbers_count_blank_lines_and_lines_within_quotes(tmp_path: Path) -> None:
    quoted = changed(brand='"two\n\nlines, ""quoted"""')
    rows = read(tmp_path, ROW, "", quoted, ROW, "bad", end="\r\n")
    assert [row.line for row in rows] == [2, 4, 7, 8]
    assert rows[1].event.brand == 'two\n\nlines, "quoted"'
    assert rows[3].raw == "bad"


def test_many_unclosed_quotes_cost_only_their_own_rows(tmp_path: Path) -> None:
    bad = changed(brand='"aqua')
    rows = read(tmp_path, *[ROW, bad, ROW] * 300)
    assert sum(isinstance(row, ParsedRow) for row in rows) >= 600
    assert [row.line for row in rows] == list(range(2, 902))


def test_equal_rows_are_one_event_and_others_are_not(tmp_path: Path) -> None:
    rows = read(tmp_path, ROW, ROW, changed(price="33.21"), changed(category_id="2054"))
    ids = [row.event.event_id for row in rows]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    again = tmp_path / "again"
    again.mkdir()
    assert [row.event.event_id for row in read(again, ROW, end="\r\n")] == ids[:1]


def test_columns_may_come_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    names, cells = HEADER.split(","), ROW.split(",")
    path.write_text(",".join(names[::-1]) + "\n" + ",".join(cells[::-1]) + "\n")
    other_order = list(open_log(path)[1])
    assert other_order == read(tmp_path, ROW)


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the REES46 sample is not at {SAMPLE}")
def test_the_real_sample_is_read_whole() -> None:
    found, rows = open_log(SAMPLE)
    parsed = [row for row in rows if isinstance(row, ParsedRow)]
    assert found.name == "rees46"
    assert [row.line for row in parsed] == list(range(2, 10_452))
    identities = {(row.event.user_id, row.event.event_id) for row in parsed}
    assert len(identities) == 10_446  # two rows are repeated, one of them three times over
    kinds = [row.event.event_type for row in parsed]
    counts = (kinds.count("view"), kinds.count("add_to_cart"), kinds.count("purchase"))
    assert counts == (10_227, 101, 122)
