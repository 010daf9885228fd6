import json

import pytest

from feature_repo.behavior import USER, WINDOWS
from feature_repo.tiles import window_values
from feature_repo.windows import DAY_S, DAY_US, hops_of, needed_since
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.point_in_time import feature_names
from spark_jobs.transforms.serving import entity_tiles, session_state, with_last_session
from spark_jobs.transforms.tiles import day_tiles, session_tiles
from tests.oracle import brute_force
from tests.parity.activities import BY_USER_AND_CATEGORY
from tests.parity.frames import event_frame
from tests.parity.streams import random_events

TESTED = (USER, BY_USER_AND_CATEGORY)
NOON = day_bounds("2024-03-10")[0] + DAY_US // 2


@pytest.fixture(scope="module")
def events():
    return random_events(31, 400, NOON - 40 * DAY_US, NOON + 1)


@pytest.fixture(scope="module")
def snapshots(spark, events):
    frame = event_frame(spark, events)
    sessions = session_tiles(frame)
    tiles = {a.name: entity_tiles(day_tiles(frame, a, NOON), a, NOON) for a in TESTED}
    tiles["user"] = with_last_session(tiles["user"], sessions)
    snapshots = {**tiles, "session": session_state(sessions, NOON, 8 * DAY_S)}
    return {name: snapshot.collect() for name, snapshot in snapshots.items()}


@pytest.mark.parametrize("activity", TESTED, ids=lambda a: a.name)
def test_windows_from_stored_tiles_equal_the_oracle(events, snapshots, activity):
    assert snapshots[activity.name]
    for row in snapshots[activity.name]:
        entity, tiles = tuple(row[key] for key in activity.keys), json.loads(row.tiles)
        own = [
            e
            for e in events
            if brute_force.concerns(e, activity, entity)
            and any(brute_force.passes(e, a) for a in activity.aggregates)
        ]
        assert row.newest_event_us == max(e.event_time for e in own)
        for as_of in (NOON, NOON + 1, NOON + DAY_US // 3, NOON + 9 * DAY_US):
            found = window_values(tiles, as_of, WINDOWS, activity.aggregates)
            expected = brute_force.window_values(events, activity, entity, as_of)
            assert dict(zip(feature_names(activity), found, strict=True)) == expected


def test_only_tiles_that_a_window_still_needs_are_stored(snapshots):
    for row in snapshots["user"]:
        tiles = json.loads(row.tiles)
        assert tiles == sorted(tiles, key=lambda tile: tile[:3])
        for hop_s, start, position, value in tiles:
            assert start >= needed_since(WINDOWS, hop_s, NOON)
            assert hop_s in hops_of(USER.aggregates[position].windows_of(WINDOWS))
            assert value not in (0, None, [])


def test_session_states_and_last_sessions_equal_the_oracle(events, snapshots):
    personal = [e for e in events if e.consent == "personalize" and e.session_id]
    newest = {}
    for e in personal:
        key = e.user_id, e.session_id
        newest[key] = max(newest.get(key, 0), e.event_time)
    found = {(r.user_id, r.session_id): json.loads(r.state) for r in snapshots["session"]}
    steps = {(r.user_id, r.session_id): json.loads(r.steps) for r in snapshots["session"]}
    assert set(found) == {key for key, at in newest.items() if at >= NOON - 8 * DAY_US}
    for (user_id, session_id), state in found.items():
        assert state == brute_force.session_state(events, user_id, session_id, NOON)
        kept = brute_force.newest_events(events, user_id, session_id, NOON)
        assert steps[user_id, session_id] == [list(brute_force.step(e)) for e in kept]
    for row in snapshots["user"]:
        last = max((at, session) for (user, session), at in newest.items() if user == row.user_id)
        assert (row.last_session_us, row.last_session_id) == last
