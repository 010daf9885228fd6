from msgspec.structs import replace

from feature_repo.windows import DAY_US, US
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.sessions import with_sessions
from tests.oracle import brute_force
from tests.parity.frames import ledger_frame
from tests.parity.streams import random_events

GAP_S = 1_800
MIDNIGHT, _ = day_bounds("2024-03-10")


def keys_by_event(frame) -> dict:
    rows = frame.select("user_id", "event_id", "session_key").collect()
    return {(r.user_id, r.event_id): r.session_key for r in rows}


def test_sessions_equal_the_oracle(spark):
    events = random_events(11, 300, MIDNIGHT - DAY_US // 4, MIDNIGHT + DAY_US // 4)
    found = keys_by_event(with_sessions(ledger_frame(spark, events), GAP_S))
    assert found == brute_force.session_keys(events, GAP_S)


def test_a_day_needs_only_the_day_before_it(spark):
    """A run without a pause for three days: its keys on the last one do not depend on the first."""
    start = MIDNIGHT - 2 * DAY_US + 5 * US
    template = random_events(12, 1, start, start + US, sessions=(None,))[0]
    steady = [
        replace(template, event_id=f"e{at}", event_time=at)
        for at in range(start, MIDNIGHT + DAY_US, GAP_S * US)
    ]
    of_last_day = {e.event_id for e in steady if e.event_time >= MIDNIGHT}
    without_first = [e for e in steady if e.event_time >= MIDNIGHT - DAY_US]
    whole = keys_by_event(with_sessions(ledger_frame(spark, steady), GAP_S))
    part = keys_by_event(with_sessions(ledger_frame(spark, without_first), GAP_S))
    kept = {k: v for k, v in whole.items() if k[1] in of_last_day}
    assert kept == {k: v for k, v in part.items() if k[1] in of_last_day}
    assert len(set(kept.values())) == 1
