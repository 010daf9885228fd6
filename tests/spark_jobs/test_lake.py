import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.events import LedgerEvent, from_us
from feature_repo.windows import DAY_US, US
from spark_jobs.lake import (
    Commit,
    Lake,
    LedgerFile,
    day_bounds,
    day_of,
    write_atomically,
)
from spark_jobs.ledger_files import LEDGER_SCHEMA, LedgerWriter, Position, ledger_table, write_ledger_file

ROOT = Path(__file__).parents[2]
NOON = 1_772_366_400 * US  # 2026-03-01T12:00:00Z
DAY = "2026-03-01"


def event(event_id: str = "e1", at: int = NOON, **changes: object) -> LedgerEvent:
    fields = dict.fromkeys(LedgerEvent.__struct_fields__) | {
        "event_id": event_id,
        "user_id": "用户",
        "event_type": "view",
        "event_time": at,
        "claimed_time": at + 1,
        "received_at": at + 2,
        "currency": "USD",
        "quantity": 1,
        "consent": "personalize",
    }
    return LedgerEvent(**(fields | changes))


def land(lake: Lake, epoch: int, *days: str, kind: str = "stream") -> Commit:
    """Commit one event on each day."""
    files = []
    for n, day in enumerate(days):
        start, _ = day_bounds(day)
        table = ledger_table([(event(f"{epoch}-{day}", start), Position(3, n, epoch))])
        files.append(write_ledger_file(lake, day, f"epoch-{epoch:012d}", table))
    commit = Commit(epoch, kind, tuple(files), len(files), None, None)
    lake.commit(commit)
    return commit


def candidate(lake: Lake, table: str, part: str, content: str) -> None:
    folder = lake.candidate(table, part)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "part-0.parquet").write_text(content)


def served(lake: Lake, table: str, part: str) -> str:
    return (lake.partition(table, part) / "part-0.parquet").read_text()


# -- days and rows --------------------------------------------------------------------------------


def test_a_day_is_a_day_of_utc_to_the_microsecond() -> None:
    start, end = day_bounds(DAY)
    assert end - start == DAY_US
    assert (day_of(start), day_of(end - 1), day_of(end)) == (DAY, DAY, "2026-03-02")
    assert day_of(start - 1) == "2026-02-28"
    assert day_bounds("1970-01-01")[0] == 0
    assert day_of(-1) == "1969-12-31"


def test_rows_come_back_from_the_ledger_as_they_went_in(tmp_path: Path) -> None:
    full = event(price=10**10, quantity=10_000, query="耳机", session_id="s", item_id="i")
    rows = [(full, Position(15, 2**40, 7)), (event("e2"), Position(0, 1, 7))]
    lake = Lake(tmp_path)
    written = write_ledger_file(lake, DAY, "x", ledger_table(rows))
    assert written == LedgerFile(DAY, f"ledger/day={DAY}/x.parquet", 2)
    table = pq.ParquetFile(lake.root / written.path).read()
    assert table.schema.equals(LEDGER_SCHEMA)
    first, second = table.to_pylist()
    assert first["event_time"] == from_us(NOON)
    assert first["claimed_time"] == from_us(NOON + 1)
    assert (first["price"], first["query"]) == (10**10, "耳机")
    assert (first["shard"], first["seq"], first["epoch"]) == (15, 2**40, 7)
    assert (second["price"], second["session_id"]) == (None, None)


def test_a_day_without_events_is_an_empty_table_of_the_same_shape() -> None:
    assert ledger_table([]).schema.equals(LEDGER_SCHEMA)
    assert ledger_table([]).num_rows == 0


def test_a_row_without_what_every_row_has_is_an_error(tmp_path: Path) -> None:
    table = ledger_table([(event(user_id=None), Position(0, 0, 1))])
    with pytest.raises(ValueError, match="user_id"):
        table.validate(full=True)
        write_ledger_file(Lake(tmp_path), DAY, "x", table)


# -- commits --------------------------------------------------------------------------------------


def test_an_empty_lake_has_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "not there yet")
    assert lake.commits() == []
    assert lake.ledger_files() == []
    assert lake.ledger_days() == {}
    assert lake.landed_epoch() == 0
    assert lake.parts("clean_events") == []


def test_a_file_exists_once_its_commit_does(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    written = write_ledger_file(lake, DAY, "epoch-1", ledger_table([(event(), Position(0, 1, 1))]))
    assert (lake.root / written.path).exists()
    assert lake.ledger_files() == []
    assert lake.ledger_days() == {}
    lake.commit(Commit(1, "stream", (written,), 1, NOON, NOON))
    assert lake.ledger_files() == [lake.root / written.path]
    assert lake.commits() == [Commit(1, "stream", (written,), 1, NOON, NOON)]


def test_committing_again_changes_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, 1, DAY)
    once = (lake.commits(), lake.ledger_files())
    land(lake, 1, DAY)
    assert (lake.commits(), lake.ledger_files()) == once
    assert len(lake.ledger_files()) == 1


def test_commits_come_in_order_of_epoch(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for epoch in (10, 9, 100, 2):
        land(lake, epoch, DAY)
    assert [c.epoch for c in lake.commits()] == [2, 9, 10, 100]


def test_days_know_the_newest_epoch_that_touched_them(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, 2, "2026-03-02", "2026-03-01")
    land(lake, 5, "2026-03-01", kind="import")
    assert lake.ledger_days() == {"2026-03-01": 5, "2026-03-02": 2}
    assert list(lake.ledger_days()) == ["2026-03-01", "2026-03-02"]
    assert len(lake.ledger_files()) == 3
    assert len(lake.ledger_files(["2026-03-01"])) == 2
    assert lake.ledger_files([]) == []


def test_an_import_does_not_count_as_a_landing_of_the_live_log(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, 3, DAY)
    land(lake, 8, DAY, kind="import")
    assert lake.landed_epoch() == 3


def test_writers_killed_before_the_commit_leave_nothing_visible(tmp_path: Path) -> None:
    """A real process, killed after its files are written and again in the middle of the commit."""
    code = """
import os, signal, sys
from spark_jobs import lake as module
from spark_jobs.lake import Commit, Lake
from spark_jobs.ledger_files import ledger_table, write_ledger_file
lake = Lake(sys.argv[1])
written = write_ledger_file(lake, "2026-03-01", "epoch-1", ledger_table([]))
if sys.argv[2] == "while committing":
    real = os.fsync
    module.os.fsync = lambda handle: (real(handle), os.kill(os.getpid(), signal.SIGKILL))
    lake.commit(Commit(1, "stream", (written,), 0, None, None))
os.kill(os.getpid(), signal.SIGKILL)
"""
    lake = Lake(tmp_path)
    for moment in ("before committing", "while committing"):
        killed = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), moment],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert list(tmp_path.glob(f"ledger/day={DAY}/*.parquet"))
        assert lake.commits() == []
        assert lake.ledger_files() == []
    land(lake, 1, DAY)
    assert len(lake.ledger_files()) == 1


def test_the_ledger_can_be_read_as_of_an_earlier_epoch(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for epoch in (1, 2, 3):
        land(lake, epoch, DAY, "2026-03-02")
    assert len(lake.ledger_files()) == 6
    assert len(lake.ledger_files(upto_epoch=2)) == 4
    assert len(lake.ledger_files([DAY], upto_epoch=2)) == 2
    assert lake.ledger_files(upto_epoch=0) == []


# -- a commit written piece by piece --------------------------------------------------------------


def rows_of(lake: Lake, commit: Commit) -> list[tuple[str, str]]:
    return [
        (file.day, row["event_id"])
        for file in commit.files
        for row in pq.ParquetFile(lake.root / file.path).read(["event_id"]).to_pylist()
    ]


@pytest.mark.parametrize("buffer_rows", [1, 3, 4, 100])
def test_a_writer_sorts_events_into_days_whatever_it_holds(tmp_path: Path, buffer_rows: int) -> None:
    lake = Lake(tmp_path)
    writer = LedgerWriter(lake, "import-7", buffer_rows)
    start, end = day_bounds(DAY)
    times = [NOON, end, start, end - 1, start - 1, NOON]
    for n, at in enumerate(times):
        writer.add(event(f"e{n}", at), Position(0, n, 7))
    assert lake.ledger_files() == []
    commit = writer.commit(7, "import", "log.csv")
    assert lake.commits() == [commit]
    assert sorted(rows_of(lake, commit)) == sorted((day_of(at), f"e{n}") for n, at in enumerate(times))
    assert sum(file.rows for file in commit.files) == commit.rows == 6
    assert (commit.first_event_time, commit.last_event_time) == (start - 1, end)
    assert (commit.epoch, commit.kind, commit.source) == (7, "import", "log.csv")
    assert lake.newest_event_time() == end


def test_a_commit_of_nothing_is_not_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    commit = LedgerWriter(lake, "import-7").commit(7, "import")
    assert (commit.rows, commit.files) == (0, ())
    assert lake.commits() == []
    assert lake.newest_event_time() is None


# -- derived tables -------------------------------------------------------------------------------


def test_a_candidate_is_served_once_published(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    candidate(lake, "clean_events", DAY, "first")
    assert lake.parts("clean_events") == []
    lake.publish("clean_events", DAY)
    assert served(lake, "clean_events", DAY) == "first"
    assert not lake.candidate("clean_events", DAY).exists()


def test_publishing_replaces_the_whole_day_and_no_other(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for part, content in ((DAY, "old"), ("2026-03-02", "other")):
        candidate(lake, "clean_events", part, content)
        lake.publish("clean_events", part)
    (lake.partition("clean_events", DAY) / "part-1.parquet").write_text("more of the old")
    candidate(lake, "clean_events", DAY, "new")
    assert served(lake, "clean_events", DAY) == "old"
    lake.publish("clean_events", DAY)
    assert served(lake, "clean_events", DAY) == "new"
    assert served(lake, "clean_events", "2026-03-02") == "other"
    assert [p.name for p in lake.partition("clean_events", DAY).iterdir()] == ["part-0.parquet"]
    assert sorted(p.name for p in lake.table("clean_events").iterdir()) == [
        f"day={DAY}",
        "day=2026-03-02",
    ]


def test_publishing_what_was_never_made_keeps_what_is_served(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    candidate(lake, "clean_events", DAY, "old")
    lake.publish("clean_events", DAY)
    with pytest.raises(FileNotFoundError, match="its job has not run"):
        lake.publish("clean_events", DAY)
    assert served(lake, "clean_events", DAY) == "old"


def test_what_a_part_has_seen_moves_into_place_with_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.seen_epoch("clean_events", DAY) == 0
    candidate(lake, "clean_events", DAY, "old")
    lake.publish("clean_events", DAY, seen_epoch=4)
    assert lake.seen_epoch("clean_events", DAY) == 4
    candidate(lake, "clean_events", DAY, "new")
    assert lake.seen_epoch("clean_events", DAY) == 4
    lake.publish("clean_events", DAY)
    assert lake.seen_epoch("clean_events", DAY) == 0


def test_partitions_are_chosen_by_day_both_ends_included(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for part in ("2026-03-01", "2026-03-02", "2026-03-10", "tail"):
        candidate(lake, "user_activity", part, part)
        lake.publish("user_activity", part)
    chosen = lake.partitions("user_activity", "2026-03-02", "2026-03-10")
    assert [p.name for p in chosen] == ["day=2026-03-02", "day=2026-03-10"]
    assert lake.parts("user_activity") == ["2026-03-01", "2026-03-02", "2026-03-10", "tail"]


# -- one at a time --------------------------------------------------------------------------------


def test_what_is_exclusive_waits_and_a_killed_holder_frees_it(tmp_path: Path) -> None:
    code = """
import sys
from spark_jobs.lake import Lake
with Lake(sys.argv[1]).exclusive("landing"):
    print("held", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    got_it = threading.Event()

    def wait_for_it() -> None:
        with Lake(tmp_path).exclusive("landing"):
            got_it.set()

    try:
        assert holder.stdout.readline() == b"held\n"
        with Lake(tmp_path).exclusive("another"):
            pass
        waiting = threading.Thread(target=wait_for_it, daemon=True)
        waiting.start()
        assert not got_it.wait(0.2)
    finally:
        holder.kill()
        holder.communicate()
    assert got_it.wait(10)


# -- small state ----------------------------------------------------------------------------------


def test_state_is_kept_by_name(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.read_state("coverage") == {}
    lake.write_state("coverage", {"epoch": 3})
    lake.write_state("coverage", {"epoch": 4})
    assert lake.read_state("coverage") == {"epoch": 4}
    assert lake.read_state("other") == {}


def test_an_atomic_write_leaves_one_file_of_the_new_content(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")
    write_atomically(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"
