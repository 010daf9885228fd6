"""Sessions longer than what is kept of them, in Spark, in Redis and by the oracle.

Two days, crowded instants, two epochs of the log, events late by a day and sent twice.
"""

# ruff: noqa: F811  (imported fixtures are asked for by name)

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from feature_repo.behavior import DEFINITIONS_HASH, SESSION_ACTIVITY, session_values
from feature_repo.events import LedgerEvent
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import DAY_US, US
from online_api import keys, sessions
from online_api.epochs import BlockingLedger
from online_api.feast_rows import entity_key
from online_api.ledger import append
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.session_history import session_rows
from spark_jobs.transforms.tiles import session_tiles
from tests.online_api.feast_values import write_row
from tests.online_api.fixtures import blocking, redis_url, server, settings  # noqa: F401
from tests.oracle import brute_force
from tests.parity.frames import event_frame, values_by_instant
from tests.parity.streams import random_events

DAY, END = day_bounds("2024-03-10")
FIRST = DAY - DAY_US
FEATURES = [f.name for f in SESSION_ACTIVITY]
SHOPPERS = ("u1", "顾客")


@pytest.fixture(scope="module")
def events() -> list[LedgerEvent]:
    """Some 200 events in each of two sessions, a quarter of them within a few seconds of midnight."""
    rng, moved = random.Random(8), []
    for event in random_events(
        7, 700, FIRST, END, users=SHOPPERS, items=("lamp", "灯", "mug", None), sessions=("s",)
    ):
        near = DAY + rng.randrange(-3, 4) * US
        moved.append(replace(event, event_time=near) if rng.random() < 0.25 else event)
    counts = Counter(e.user_id for e in moved if e.personal)
    assert min(counts.values()) > 3 * STEP_LIMIT
    return moved


def test_spark_equals_the_oracle_at_every_instant(spark, events):
    frame = event_frame(spark, events)
    rows = session_rows(frame, session_tiles(frame), DAY)
    found = values_by_instant(rows, ["user_id", "session_id"], FEATURES)
    expected = {
        (e.user_id, "s", e.event_time): brute_force.session_features(events, e.user_id, "s", e.event_time)
        for e in events
        if e.personal and e.event_time >= DAY
    }
    assert found == expected


@pytest.mark.parametrize("materialized", [False, True], ids=["live", "base-and-live"])
def test_redis_equals_the_oracle_whatever_the_order_of_arrival(
    blocking, settings, server, events, materialized
):
    arrivals, rng = [*events, *events[::5]], random.Random(9)
    rng.shuffle(arrivals)
    half = len(arrivals) // 2
    for first in range(0, half, 50):
        blocking.do(append(arrivals[first : min(first + 50, half)], settings))
    covered = BlockingLedger(blocking, settings).close_epoch()
    if materialized:
        for user in SHOPPERS:
            write_base(server, user, list({e.event_id: e for e in arrivals[:half]}.values()), covered)
    for event in arrivals[half : half + 100]:
        blocking.do(append([event], settings))
    blocking.do(append(arrivals[half + 100 :], settings))
    for user in SHOPPERS:
        found = read_session(server, user)
        expected = brute_force.session_features(events, user, "s", END)
        assert dict(zip(FEATURES, session_values(found.state, found.steps), strict=True)) == expected
        assert len(found.steps) == STEP_LIMIT


def test_what_a_live_session_keeps_is_bounded(blocking, settings, server, events):
    for n in range(20):
        copies = [replace(e, event_id=f"{n}-{e.event_id}") for e in events[:100]]
        blocking.do(append(copies, settings))
    for user in SHOPPERS:
        kept = server.hget(keys.session_state(settings.shards, user, "s"), f"1:{sessions.STEPS}")
        assert STEP_LIMIT <= len(kept) / sessions.STEP_BYTES <= 2 * STEP_LIMIT


def write_base(server, user: str, known: list[LedgerEvent], covered: int) -> None:
    state = brute_force.session_state(known, user, "s", END)
    steps = [list(brute_force.step(e)) for e in brute_force.newest_events(known, user, "s", END)]
    write_row(
        server, "session_state", {"user_id": user, "session_id": "s"}, END,
        state=("string_val", str(state).replace("'", '"')),
        steps=("string_val", str(steps)),
        covered_epoch=("int64_val", covered),
        definitions_hash=("string_val", DEFINITIONS_HASH),
    )  # fmt: skip


def read_session(server, user: str) -> sessions.Session:
    base = server.hmget(entity_key({"user_id": user, "session_id": "s"}), *sessions.BASE_FIELDS)
    live = server.hgetall(keys.session_state(4, user, "s"))
    return sessions.session(base, live)
