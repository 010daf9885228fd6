"""Landing cut short at every place where it can be: nothing lost, nothing twice."""

import pyarrow.parquet as pq
import pytest

from online_api.epochs import BlockingLedger
from online_api.ledger import append
from orchestration.landing import land
from spark_jobs.lake import Lake
from tests.online_api.events import DAY, NOW, stamped


class Killed(Exception):
    pass


class DyingLake(Lake):
    """Dies at the named step, as a process that is killed there would."""

    def __init__(self, root, dies_at):
        super().__init__(root)
        self.dies_at = dies_at

    def landed_epoch(self):
        if self.dies_at == "at once":
            raise Killed
        return super().landed_epoch()

    def commit(self, commit):
        if self.dies_at == "before the commit":
            raise Killed
        super().commit(commit)
        if self.dies_at == "before the trim":
            raise Killed


def event_ids(lake):
    return sorted(
        event_id for path in lake.ledger_files() for event_id in pq.read_table(path)["event_id"].to_pylist()
    )


def test_events_land_once_by_the_day_they_happened(blocking, settings, ledger, lake):
    blocking.do(
        append([stamped("e1"), stamped("e2", event_time=NOW - DAY), stamped("e3", user_id="u2")], settings)
    )
    landing = land(ledger, lake)
    assert (landing.rows, landing.files) == (3, 2)
    assert list(lake.ledger_days()) == ["2025-10-08", "2025-10-09"]
    assert land(ledger, lake).rows == 0
    assert event_ids(lake) == ["e1", "e2", "e3"]


@pytest.mark.parametrize("dies_at", ["at once", "before the commit", "before the trim"])
def test_a_landing_killed_anywhere_is_made_good_by_the_next(blocking, settings, ledger, lake, dies_at):
    blocking.do(append([stamped(f"e{i}", user_id=f"u{i}") for i in range(9)], settings))
    with pytest.raises(Killed):
        land(ledger, DyingLake(lake.root, dies_at))
    (lake.root / "ledger" / "day=2025-10-09").mkdir(parents=True, exist_ok=True)
    (lake.root / "ledger" / "day=2025-10-09" / ".epoch-half-written").write_bytes(b"PAR1")
    blocking.do(append([stamped("later")], settings))
    land(ledger, lake)
    assert sorted(lake.root.glob("ledger/day=*/*")) == sorted(lake.ledger_files())  # the dead one's are gone
    assert event_ids(lake) == sorted([*(f"e{i}" for i in range(9)), "later"])


def test_the_log_is_trimmed_only_behind_a_commit(blocking, settings, ledger, lake, server):
    blocking.do(append([stamped("e1")], settings))
    (log,) = server.keys("*:log")
    with pytest.raises(Killed):
        land(ledger, DyingLake(lake.root, "before the commit"))
    assert server.xlen(log) == 1
    land(ledger, lake)
    assert server.xlen(log) == 0


def test_redis_is_flushed_before_the_lake_commits(blocking, settings, tmp_path):
    done = []

    class NotingLedger(BlockingLedger):
        def flush(self):
            done.append("flush")

    class NotingLake(Lake):
        def commit(self, commit):
            done.append("commit")

    blocking.do(append([stamped("e1")], settings))
    land(NotingLedger(blocking, settings), NotingLake(tmp_path))
    assert done == ["flush", "commit"]


def test_a_batch_cut_short_before_its_items_lands_with_its_items_counted(
    blocking, settings, ledger, lake, server
):
    from online_api.ledger import append_to_shards

    blocking.do(append_to_shards([stamped("e1", item_id="i1")], settings))
    assert not server.keys("*:item:i1")
    land(ledger, lake)
    assert server.keys("*:item:i1")
    assert event_ids(lake) == ["e1"]
