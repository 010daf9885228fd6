import pytest

from orchestration.staleness import (
    LEAVES,
    TILES,
    UnevenTiles,
    covered_epoch,
    seen_through_tiles,
    stale_days,
)
from spark_jobs.lake import Commit, LedgerFile


def commit(lake, epoch, kind, *days):
    files = tuple(LedgerFile(day, f"ledger/day={day}/{epoch}.parquet", 1) for day in days)
    lake.commit(Commit(epoch, kind, files, len(days), 1, 2))


def publish(lake, tables, day, epoch):
    for table in tables:
        lake.candidate(table, day).mkdir(parents=True)
        lake.publish(table, day, epoch)


def materialize(lake, *days):
    """Publish the tiles of these days, then their leaves."""
    for day in days:
        publish(lake, TILES, day, lake.ledger_days()[day])
    for day in days:
        publish(lake, LEAVES, day, seen_through_tiles(lake, day))


def test_a_day_is_stale_until_every_leaf_has_seen_its_newest_epoch(lake):
    commit(lake, 1, "import", "2024-03-01")
    assert stale_days(lake) == ["2024-03-01"]
    publish(lake, LEAVES[:1], "2024-03-01", 1)
    assert stale_days(lake) == ["2024-03-01"]
    publish(lake, LEAVES[1:], "2024-03-01", 1)
    assert stale_days(lake) == []


def test_a_late_event_reopens_its_day_and_those_that_look_back_on_it(lake):
    commit(lake, 1, "stream", "2024-03-01", "2024-03-20", "2024-04-20")
    materialize(lake, *lake.ledger_days())
    assert stale_days(lake) == []
    commit(lake, 2, "stream", "2024-03-01")
    assert stale_days(lake) == ["2024-03-01", "2024-03-20"]


def test_healing_the_late_day_alone_leaves_those_that_look_back_on_it_stale(lake):
    commit(lake, 1, "stream", "2024-03-01", "2024-03-20")
    materialize(lake, *lake.ledger_days())
    commit(lake, 2, "stream", "2024-03-01")
    commit(lake, 3, "stream", "2024-03-20")
    materialize(lake, "2024-03-20")
    materialize(lake, "2024-03-01")
    assert stale_days(lake) == ["2024-03-20"]
    materialize(lake, "2024-03-20")
    assert stale_days(lake) == []


def test_a_snapshot_covers_the_epochs_of_which_tiles_hold_everything(lake):
    commit(lake, 1, "stream", "2024-03-01")
    commit(lake, 2, "import", "2024-03-02")
    commit(lake, 3, "stream", "2024-03-01")
    assert covered_epoch(lake) == 0
    publish(lake, TILES, "2024-03-01", 1)
    assert covered_epoch(lake) == 1
    publish(lake, TILES, "2024-03-01", 3)
    assert covered_epoch(lake) == 3


def test_tiles_that_hold_half_an_epoch_cannot_be_served(lake):
    commit(lake, 1, "stream", "2024-03-01", "2024-03-02")
    publish(lake, TILES, "2024-03-01", 1)
    with pytest.raises(UnevenTiles, match="intent materialize"):
        covered_epoch(lake)


def test_one_table_published_without_its_sisters_cannot_be_served(lake):
    commit(lake, 1, "stream", "2024-03-01")
    publish(lake, TILES[:1], "2024-03-01", 1)
    with pytest.raises(UnevenTiles):
        covered_epoch(lake)
