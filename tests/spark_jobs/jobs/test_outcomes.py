"""Delayed labels: what is not known yet stays open, and is joined once the log has gone on."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.windows import DAY_US
from orchestration.scores import score_table
from spark_jobs.day_files import append_new
from spark_jobs.jobs import clean_events
from spark_jobs.jobs import outcomes as job
from spark_jobs.lake import Commit, day_bounds
from spark_jobs.ledger_files import Position, ledger_table, write_ledger_file
from tests.online_api.events import HOUR, MINUTE, stamped
from tests.orchestration.test_scores import scored

DAY, NEXT, LAST = "2024-03-10", "2024-03-11", "2024-03-13"
NOON = day_bounds(DAY)[0] + DAY_US // 2


@pytest.fixture
def lake(fill_lake):
    return fill_lake([stamped("e1", event_time=NOON, session_id="s1")])


def land(lake, epoch, *events) -> None:
    by_day = {}
    for seq, (day, event) in enumerate(events):
        by_day.setdefault(day, []).append((event, Position(0, seq, epoch)))
    files = tuple(write_ledger_file(lake, d, f"epoch-{epoch}", ledger_table(r)) for d, r in by_day.items())
    times = [e.event_time for _, e in events]
    lake.commit(Commit(epoch, "stream", files, len(events), min(times), max(times)))


def clean(spark, lake, *days) -> None:
    newest = lake.ledger_days()
    clean_events.run(spark, lake, list(days))
    for day in days:
        lake.publish("clean_events", day, newest[day])


def join(spark, lake, horizons) -> dict[str, tuple]:
    """Joins what is to be joined; labels by score_id of the first day."""
    state = lake.read_state("outcomes")
    days = job.days_to_join(lake, state)
    job.run(spark, lake, sorted(days), horizons)
    for day in days:
        lake.publish("outcomes", day)
    lake.write_state("outcomes", {**state, **days})
    files = sorted(lake.partition("outcomes", DAY).glob("*.parquet"))
    rows = pa.concat_tables(pq.read_table(f, partitioning=None) for f in files).to_pylist()
    return {r["score_id"]: (r["known"], r["purchase"], r["add_to_cart"], r["leave"]) for r in rows}


def score(lake, *names, **changes) -> None:
    records = [scored(name, as_of=NOON + 1, session_id="s1", **changes) for name in names]
    append_new(lake, "score_log", DAY, score_table(records), "score_id")


def test_labels_wait_for_the_log_and_days_close_themselves(spark, lake):
    assert job.days_to_join(lake, {}) == {}
    score(lake, "a")
    score(lake, "b", release="r-short")
    clean(spark, lake, DAY)
    horizons = {"r-1": "day", "r-short": "session"}
    open_ = (False, None, None, None)
    assert join(spark, lake, horizons) == {"a": open_, "b": open_}
    assert job.days_to_join(lake, lake.read_state("outcomes")) == {}

    cart = stamped("e2", "add_to_cart", event_time=NOON + MINUTE, session_id="s1")
    land(lake, 2, (DAY, cart), (DAY, stamped("e3", event_time=NOON + 2 * HOUR, user_id="u2")))
    assert job.known_until(lake, DAY) < NOON + MINUTE, "what has landed is not in the clean events yet"
    clean(spark, lake, DAY)
    assert join(spark, lake, horizons) == {"a": open_, "b": (True, 0, 1, 0)}

    bought = stamped("e4", "purchase", event_time=NOON + 20 * HOUR, session_id="s2")
    land(lake, 3, (NEXT, bought), (LAST, stamped("e5", event_time=NOON + 3 * DAY_US, user_id="u2")))
    clean(spark, lake, NEXT, LAST)
    assert join(spark, lake, horizons) == {"a": (True, 1, 1, 0), "b": (True, 0, 1, 0)}

    land(lake, 4, ("2024-03-20", stamped("e6", event_time=NOON + 10 * DAY_US)))
    assert job.days_to_join(lake, lake.read_state("outcomes")) == {}, "nothing can change it any more"
    score(lake, "c")
    assert list(job.days_to_join(lake, lake.read_state("outcomes"))) == [DAY]
