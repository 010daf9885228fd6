import pytest

from feature_repo.behavior import SESSION_GAP_S
from feature_repo.windows import DAY_US, US
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.flags import with_amount
from spark_jobs.transforms.labels import LOOK_AHEAD_S, horizon_of_log, training_labels
from spark_jobs.transforms.sessions import with_sessions
from tests.oracle import brute_force
from tests.parity.frames import ledger_frame
from tests.parity.streams import random_events

MIDNIGHT, _ = day_bounds("2024-03-10")
BOT = "u3"


@pytest.mark.parametrize("horizon", ["session", "day"])
def test_labels_equal_the_oracle(spark, horizon):
    events = random_events(21, 250, MIDNIGHT, MIDNIGHT + 3 * DAY_US, users=("u1", "u2", BOT))
    log_end = max(e.event_time for e in events)
    clean = with_amount(with_sessions(ledger_frame(spark, events), SESSION_GAP_S))
    clean = clean.withColumn("is_bot", clean.user_id == BOT)
    rows = training_labels(clean, horizon, log_end)
    found = {
        (r.user_id, r.session_key, us): (r.purchase, r.add_to_cart, r.leave) for r, us in with_micros(rows)
    }
    expected = brute_force.labels(events, horizon, log_end, SESSION_GAP_S, LOOK_AHEAD_S)
    assert found == {key: value for key, value in expected.items() if key[0] != BOT}
    assert len(found) > 50
    assert {label for labels in found.values() for label in labels} == {0, 1}


def test_client_sessions_keep_their_id_and_others_have_none(spark):
    events = random_events(22, 40, MIDNIGHT, MIDNIGHT + DAY_US)
    clean = with_amount(with_sessions(ledger_frame(spark, events), SESSION_GAP_S))
    clean = clean.selectExpr("*", "false as is_bot")
    rows = training_labels(clean, "session", MIDNIGHT + 3 * DAY_US).collect()
    for row in rows:
        assert row.session_id == ("" if row.session_key.startswith("gap:") else row.session_key)
        assert row.horizon == "session"
    assert {row.session_id == "" for row in rows} == {True, False}


def test_a_short_log_has_the_session_as_horizon():
    assert horizon_of_log(0, 26 * 3_600 * US) == "session"
    assert horizon_of_log(0, 3 * DAY_US) == "day"


def with_micros(rows):
    collected = rows.selectExpr("*", "unix_micros(event_timestamp) as us").collect()
    keys = {(r.user_id, r.session_key, r.us) for r in collected}
    assert len(keys) == len(collected)
    return [(r, r.us) for r in collected]
