import pytest

from feature_repo.behavior import SESSION_GAP_S
from feature_repo.windows import DAY_US, US
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.flags import with_amount
from spark_jobs.transforms.labels import LOOK_AHEAD_S
from spark_jobs.transforms.outcomes import score_outcomes
from spark_jobs.transforms.sessions import with_sessions
from tests.online_api.events import MINUTE, stamped
from tests.oracle import brute_force
from tests.parity.frames import ledger_frame
from tests.parity.streams import random_events

MIDNIGHT, _ = day_bounds("2024-03-10")
SCORE = "score_id string, user_id string, session_id string, at bigint, horizon string, known_until_us bigint"


def clean(spark, events, bots=()):
    frame = with_amount(with_sessions(ledger_frame(spark, events), SESSION_GAP_S))
    return frame.withColumn("is_bot", frame.user_id.isin(*bots) if bots else frame.user_id.isNull())


def outcomes(spark, scores, events, bots=()):
    """By score_id: known and the labels."""
    frame = spark.createDataFrame(scores, SCORE).selectExpr("*", "timestamp_micros(at) as as_of").drop("at")
    return {r.score_id: r for r in score_outcomes(frame, clean(spark, events, bots)).collect()}


@pytest.mark.parametrize("horizon", ["session", "day"])
def test_a_score_at_an_event_has_the_label_that_training_gives_this_instant(spark, horizon):
    events = random_events(23, 150, MIDNIGHT, MIDNIGHT + 3 * DAY_US, users=("u1", "u2"))
    log_end = max(e.event_time for e in events)
    events_of_shoppers = [e for e in events if e.consent == "personalize"]
    keys = brute_force.session_keys(events_of_shoppers, SESSION_GAP_S)
    instants = sorted({(e.user_id, keys[e.user_id, e.event_id], e.event_time) for e in events_of_shoppers})
    scores = [(f"{n}", user, key, at, horizon, log_end) for n, (user, key, at) in enumerate(instants)]
    expected = brute_force.labels(events, horizon, log_end, SESSION_GAP_S, LOOK_AHEAD_S)
    found = outcomes(spark, scores, events)
    assert len(found) == len(instants)
    known = {instants[int(n)]: (r.purchase, r.add_to_cart, r.leave) for n, r in found.items() if r.known}
    assert known == expected and len(known) > 30
    unknown = [r for r in found.values() if not r.known]
    assert unknown or horizon == "session"
    assert all((r.purchase, r.add_to_cart, r.leave) == (None, None, None) for r in unknown)


def test_a_score_belongs_to_the_session_it_names_or_that_goes_on_around_it(spark):
    at = MIDNIGHT + DAY_US // 2
    events = [
        stamped("e1", event_time=at, session_id="s1"),
        stamped("e2", "add_to_cart", event_time=at + MINUTE, session_id="s2"),
        stamped("e3", "purchase", event_time=at + 90 * MINUTE, session_id="s3"),
        stamped("b1", user_id="bot", event_time=at, session_id="s9"),
    ]
    asked = {
        "names one": ("u1", "s1", at),
        "after an event": ("u1", None, at + 30_000_000),
        "before an event": ("u1", None, at - MINUTE),
        "far from any": ("u1", None, at + 45 * MINUTE),
        "of nobody": ("nobody", None, at),
        "of a bot": ("bot", "s9", at),
    }
    scores = [(n, u, s, t, "session", at + 3 * DAY_US) for n, (u, s, t) in asked.items()]
    found = outcomes(spark, scores, events, bots=("bot",))
    assert {n: (r.session_key, r.leave, r.is_bot) for n, r in found.items()} == {
        "names one": ("s1", 1, False),
        "after an event": ("s1", 1, False),
        "before an event": ("s1", 0, False),
        "far from any": (None, 1, False),
        "of nobody": (None, 1, False),
        "of a bot": ("s9", 1, True),
    }


def test_by_the_day_other_sessions_count_and_by_the_session_they_do_not(spark):
    at = MIDNIGHT + DAY_US // 2
    events = [
        stamped("e1", event_time=at, session_id="s1"),
        stamped("e2", "purchase", event_time=at + 5 * 3_600 * US, session_id="s2"),
        stamped("e3", "purchase", event_time=at + LOOK_AHEAD_S * US + 1, session_id="s1"),
    ]
    scores = [(h, "u1", "s1", at, h, at + 3 * DAY_US) for h in ("session", "day")]
    found = outcomes(spark, scores, events)
    assert {h: (r.purchase, r.leave) for h, r in found.items()} == {"session": (0, 1), "day": (1, 1)}
