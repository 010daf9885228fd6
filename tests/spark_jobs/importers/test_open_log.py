import gzip
import tracemalloc
from pathlib import Path

import pytest

from spark_jobs.importers import FORMATS, UnknownFormat, UnreadableLog, open_log, recognise

REES46_HEADER = (
    b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
)
REES46_ROW = b"2019-10-01 00:00:01 UTC,view,3900821,2053,appliances.heater,aqua,33.20,u1,s1\n"
NATIVE = b'{"event_id":"e","user_id":"u","event_type":"view","event_time":"2026-03-01T08:00:00Z"}\n'


def log(tmp_path: Path, content: bytes, name: str = "log.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (REES46_HEADER, "rees46"),
        (REES46_HEADER + REES46_ROW, "rees46"),
        (REES46_HEADER.replace(b"\n", b"\r\n"), "rees46"),
        (b"\n\n" + REES46_HEADER, "rees46"),
        (NATIVE, "native"),
        (b"user_id,event_id,event_type,event_time\n", "native"),
    ],
)
def test_the_format_is_found_from_content(tmp_path: Path, content: bytes, name: str) -> None:
    assert recognise(log(tmp_path, content, "named_otherwise.json")).format == name
    assert recognise(log(tmp_path, gzip.compress(content, mtime=0), "x.csv")).format == name


@pytest.mark.parametrize(
    "content",
    [
        b"user,item,time\n1,2,3\n",
        b"event_id,user_id,event_type,event_time,colour\n",
        b"event_id,user_id,event_type,event_time,event_id\n",
        b'[{"event_id": "e"}]\n',
        b'{"session":0,"clicks":[{"aid":1517085,"ts":1659304800025,"type":"clicks"}]}\n',
        b"timestamp,itemid,property,value\n1435460400000,460429,categoryid,1338\n",
        b"1,2014-04-07T10:51:09.277Z,3\n",
        b"[" * 5_000 + b"\n",
        "用户,时间\n".encode("gbk"),
    ],
)
def test_an_unknown_format_is_told_what_was_expected(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnknownFormat) as refused:
        open_log(log(tmp_path, content))
    message = str(refused.value)
    assert all(name in message for name in FORMATS)
    assert content[:8].decode(errors="replace") in message
    assert "\n" not in message
    assert len(message) < 1_500


def test_a_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=r"is not a rees46 log: expected CSV .* found"):
        open_log(log(tmp_path, NATIVE), "rees46")
    with pytest.raises(UnknownFormat, match="is not a native log"):
        open_log(log(tmp_path, REES46_HEADER), "native")
    with pytest.raises(UnknownFormat, match="no format is called 'parquet': there are native"):
        open_log(log(tmp_path, NATIVE), "parquet")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\n \r\n\n", "only blank lines"),
        (b"\x7fELF\x02\x00\x00\x00", "binary"),
        (b"PK\x03\x04....", "zip archive"),
        (b"PAR1....", "Parquet"),
        ("event_id".encode("utf-16"), "UTF-16"),
        (b"x" * 300_000, "no line end"),
        (b"\x1f\x8bnot gzip at all", "damaged gzip"),
        (gzip.compress(NATIVE, mtime=0)[:20], "damaged gzip"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UnreadableLog, match=said) as refused:
        open_log(log(tmp_path, content))
    assert "log.txt" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="is a folder"):
        open_log(tmp_path)
    with pytest.raises(UnreadableLog, match="does not exist"):
        open_log(tmp_path / "none.csv", "rees46")
    with pytest.raises(UnreadableLog, match="not a regular file"):
        open_log("/dev/null")


def test_damage_further_on_is_told_where_it_is_met(tmp_path: Path) -> None:
    packed = gzip.compress(NATIVE * 100_000, mtime=0)
    _, rows = open_log(log(tmp_path, packed[: len(packed) // 2]))
    read = 0
    with pytest.raises(UnreadableLog, match="damaged gzip"):
        for _ in rows:
            read += 1
    assert read > 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_progress_rises_to_the_size_of_the_file(tmp_path: Path, pack) -> None:
    path = log(tmp_path, pack(REES46_HEADER + REES46_ROW * 40_000))
    seen: list[int] = []
    assert sum(1 for _ in open_log(path, progress=seen.append)[1]) == 40_000
    assert seen == sorted(seen)
    assert len(seen) >= 3
    assert seen[-1] == path.stat().st_size


@pytest.mark.parametrize("block_bytes", [60, 100, 257, 1_000, 1 << 20])
def test_where_blocks_are_cut_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    quoted = REES46_ROW.replace(b"aqua", b'"two\n\nlines, ""quoted"""')
    unclosed = REES46_ROW.replace(b"aqua", b'"aqua')
    path = log(
        tmp_path, REES46_HEADER + b"\n".join([quoted, b"", REES46_ROW, unclosed, quoted]) * 40 + b"end"
    )
    whole = list(open_log(path)[1])
    monkeypatch.setattr("spark_jobs.importers.source.BLOCK_BYTES", block_bytes)
    assert list(open_log(path)[1]) == whole
    assert len({type(row) for row in whole}) == 2


def test_a_file_is_never_held_whole(tmp_path: Path) -> None:
    content = REES46_HEADER + REES46_ROW * 20_000 + b"x" * 30_000_000 + b"\n" + REES46_ROW
    path = log(tmp_path, gzip.compress(content, mtime=0))
    tracemalloc.start()
    try:
        codes = [getattr(row, "code", None) for row in open_log(path)[1]]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert codes.count("too_long") == 1
    assert codes[-1] is None
    assert peak < 12_000_000
