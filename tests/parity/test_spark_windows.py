import random
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from feature_repo.aggregates import Activity
from feature_repo.behavior import USER, WINDOWS
from feature_repo.windows import DAY_US, US, Window
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.contributions import event_contributions
from spark_jobs.transforms.point_in_time import (
    change_rows,
    feature_names,
    history_before,
    tile_stretches,
    window_values_at,
)
from spark_jobs.transforms.session_history import session_rows
from spark_jobs.transforms.tiles import day_tiles, session_tiles
from tests.oracle import brute_force
from tests.parity.activities import BY_ITEM, BY_USER_AND_CATEGORY
from tests.parity.frames import event_frame, instants, values_by_instant
from tests.parity.streams import instant, random_events

DAY, NEXT_DAY = day_bounds("2024-03-10")
MONTH_BEFORE = DAY - 34 * DAY_US
USERS, ITEMS, CATEGORIES = ("u1", "u2", "顾客", "stranger"), ("i1", "i2"), ("shoes", "鞋")
IDS = {"user_id": USERS, "item_id": ITEMS, "category": CATEGORIES}
DECLARED = pytest.mark.parametrize("activity", (USER, BY_ITEM, BY_USER_AND_CATEGORY), ids=lambda a: a.name)


def entities(activity: Activity) -> list[tuple[str, ...]]:
    return list(product(*(IDS[key] for key in activity.keys)))


@DECLARED
def test_windows_of_raw_events_and_of_tiles_equal_the_oracle(spark, activity):
    ids = entities(activity)
    events = random_events(1, 400, MONTH_BEFORE, NEXT_DAY)
    rng = random.Random(2)
    asked = {(*rng.choice(ids), instant(rng, DAY, NEXT_DAY + DAY_US)) for _ in range(80)}
    asked |= {(*ids[0], e.event_time) for e in events[:40] if e.event_time >= DAY}
    frame = event_frame(spark, events)
    rows = instants(spark, asked, activity)
    histories = {
        "raw": event_contributions(frame, activity),
        "tiles": history_before(frame, day_tiles(frame, activity, NEXT_DAY), activity, DAY),
    }
    for name, history in histories.items():
        answers = window_values_at(rows, history, activity)
        found = values_by_instant(answers, list(activity.keys), feature_names(activity))
        assert set(found) == asked
        for *entity, at in asked:
            expected = brute_force.window_values(events, activity, tuple(entity), at)
            assert found[*entity, at] == expected, (name, entity, at)


@DECLARED
def test_newest_change_row_is_right_at_any_later_time(spark, activity):
    events = random_events(3, 300, MONTH_BEFORE, NEXT_DAY)
    frame, last = event_frame(spark, events), NEXT_DAY + 40 * DAY_US
    history = history_before(frame, day_tiles(frame, activity, NEXT_DAY), activity, DAY)
    changes = change_rows(history, activity, DAY, last)
    rows = values_by_instant(changes, list(activity.keys), feature_names(activity))
    assert all(DAY <= at < last for *_, at in rows)
    rng = random.Random(4)
    for entity in entities(activity):
        own = sorted(at for *owner, at in rows if tuple(owner) == entity)
        moments = [instant(rng, DAY, last) for _ in range(40)]
        moments += [at + shift for at in rng.sample(own, min(20, len(own))) for shift in (-1, 0)]
        for moment in moments:
            before = [at for at in own if at <= moment]
            expected = brute_force.window_values(events, activity, entity, moment)
            if before:
                assert rows[*entity, before[-1]] == expected, (entity, moment)
            elif moment >= DAY:
                # nothing has changed since the day began
                assert expected == brute_force.window_values(events, activity, entity, DAY)


def test_what_leaves_a_window_at_midnight_is_a_change(spark):
    """The day's first instant has a row of each shopper, though nothing happens then."""
    leaving = {w.name: DAY - (w.length_s + w.hop_s - 6) * US for w in WINDOWS}
    (event,) = random_events(6, 1, DAY, NEXT_DAY)
    events = [
        replace(event, user_id=name, consent="personalize", event_time=at) for name, at in leaving.items()
    ]
    frame = event_frame(spark, events)
    history = history_before(frame, day_tiles(frame, USER, NEXT_DAY), USER, DAY)
    changes = change_rows(history, USER, DAY, NEXT_DAY)
    rows = values_by_instant(changes, ["user_id"], feature_names(USER))
    for name in leaving:
        assert rows[name, DAY] == brute_force.window_values(events, "user", name, DAY)


def test_rows_do_not_know_what_comes_after_them(spark):
    """A purchase planted after the row changes nothing, however close; planted at it, it counts."""
    at = DAY + DAY_US // 2
    views = [
        replace(e, user_id="shopper", session_id="s", consent="personalize", event_type="view")
        for e in random_events(5, 30, DAY, at)
    ]
    purchase = replace(views[0], event_id="planted", event_type="purchase", price=900, quantity=1)
    planted = {"none": None, "far": at + 3_600 * US, "near": at + 1, "at": at}
    events = []
    for name, moment in planted.items():
        extra = [] if moment is None else [replace(purchase, event_time=moment)]
        seen_at_row = replace(views[1], event_id="row", event_time=at)
        events += [replace(e, user_id=name) for e in (*views, seen_at_row, *extra)]
    frame = event_frame(spark, events)
    rows = instants(spark, [(name, at) for name in planted], USER)
    windows = values_by_instant(
        window_values_at(rows, event_contributions(frame, USER), USER), ["user_id"], feature_names(USER)
    )
    sessions = values_by_instant(
        session_rows(frame, session_tiles(frame), DAY),
        ["user_id"],
        ["session_event_count", "session_purchase_count", "session_duration_s"],
    )
    for features in (windows, sessions):
        assert features["far", at] == features["near", at] == features["none", at]
        assert features["at", at] != features["none", at]


@st.composite
def nested_windows(draw):
    hops = [60]
    for factor in draw(st.permutations((15, 4, 24))):
        hops.append(hops[-1] * factor)
    return tuple(
        Window(f"w{n}", hop * draw(st.integers(1, 50)), hop)
        for n, hop in enumerate(draw(st.lists(st.sampled_from(hops), min_size=1, max_size=5)))
    )


@given(st.one_of(st.just(WINDOWS), nested_windows()), st.integers(-1, 3 * DAY_US))
def test_no_tail_falls_inside_a_tile_that_stands_for_history(declared, later_us):
    stretches = tile_stretches(DAY, declared)
    assert stretches[0].end_us == DAY
    for newer, older in pairwise(stretches):
        assert newer.start_us == older.end_us
    for window in declared:
        tail = window.tail(DAY + later_us)
        assert tail >= stretches[-1].start_us
        for hop_s, start, end in stretches:
            if start <= tail < end:
                assert (tail - start) % (hop_s * US) == 0
            assert start % (hop_s * US) == end % (hop_s * US) == 0


def test_hops_that_do_not_nest_are_refused():
    with pytest.raises(ValueError, match="does not divide"):
        tile_stretches(DAY, (Window("a", 420, 420), Window("b", 3_600, 900)))
