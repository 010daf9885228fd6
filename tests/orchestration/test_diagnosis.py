"""What is named explains every value of the view, or nothing is named."""

import pytest

from feature_repo.behavior import SERVICE_FEATURES, SESSION_ACTIVITY, USER_ACTIVITY
from orchestration.diagnosis import Case, KnownEvent, StoredRow, diagnose, session_of, windows_of
from spark_jobs.jobs.score_inputs import equal, input_of
from tests.online_api.events import HOUR, MINUTE, NOW
from tests.oracle import brute_force
from tests.parity.streams import random_events

FEATURE = {f.reference: f for f in SERVICE_FEATURES}
DEFAULTS = {name: input_of(f, None) for name, f in FEATURE.items()}
PROFILE = {f.name: n for n, f in enumerate(f for f in SERVICE_FEATURES if f.view == "user_profile")}


def known(name: str, epoch: int, at: int, kind: str = "view") -> KnownEvent:
    return KnownEvent(name, epoch, at, kind, 0, None, True, True)


EVENTS = (
    known("a", 1, NOW - 50 * HOUR),
    known("b", 1, NOW - 3 * HOUR, "click"),
    known("c", 2, NOW - 2 * MINUTE, "search"),
    known("d", 4, NOW - MINUTE),
)


def case(served: dict, events=EVENTS, stored=(), covered=None, in_service=0) -> Case:
    right = {**DEFAULTS, **windows_of(events, NOW), **session_of(events)}
    right |= {f"user_profile:{k}": v for row in stored[:1] for k, v in row.values.items()}
    given = {**right, **served}
    differing = tuple(n for n, v in given.items() if not equal(FEATURE[n], v, right[n]))
    return Case("s", NOW, covered, in_service, given, differing, events, stored)


@pytest.mark.parametrize(
    ("counted", "named"),
    [
        ((*EVENTS[:2], EVENTS[3]), "not counted: event c of epoch 2"),
        (EVENTS[1:], "not counted: event a of epoch 1"),
        (EVENTS[2:], "not counted: epoch 1"),
        ((*EVENTS, *EVENTS[:2]), "counted twice: epoch 1"),
        ((EVENTS[0], EVENTS[2]), "unexplained"),
    ],
)
def test_a_fault_is_named_with_its_event_or_epoch(counted, named):
    assert diagnose(case(windows_of(counted, NOW))) == [f"user_activity: {named}"]
    assert diagnose(case(session_of(counted))) == [f"session_activity: {named}"]


def test_what_was_in_service_and_is_missing_is_a_stale_base():
    served = windows_of(EVENTS[:2], NOW)
    (line,) = diagnose(case(served, covered=1, in_service=4))
    assert line == (
        "user_activity: stale base: it covers epochs up to 1; "
        "neither it nor the live counts have epochs 2 to 4"
    )
    assert diagnose(case(served, covered=1, in_service=1)) == ["user_activity: not counted: epochs 2 to 4"]


def test_where_several_faults_would_do_all_are_named():
    events = (known("a", 1, NOW - 1), known("b", 2, NOW - 1), known("c", 4, NOW - 1))
    found = diagnose(case(windows_of(events[1:], NOW), events))
    assert found == [
        "user_activity: not counted: event a of epoch 1, or not counted: event b of epoch 2, or "
        "not counted: event c of epoch 4"
    ]


def test_one_wrong_number_is_not_explained_by_a_fault_that_would_change_others():
    assert diagnose(case({"user_activity:view_count_30d": 1})) == ["user_activity: unexplained"]


def test_stored_rows():
    older = {name: value + 100 for name, value in PROFILE.items()}
    rows = (
        StoredRow("user_profile", NOW - HOUR, PROFILE),
        StoredRow("user_profile", NOW - 24 * HOUR, older),
    )
    stale = {f"user_profile:{name}": value for name, value in older.items()}
    assert diagnose(case(stale, stored=rows)) == [
        "user_profile: stale row: the one of 2025-10-08T08:53:20+00:00"
    ]
    a, b = list(PROFILE)[1:3]
    swapped = {f"user_profile:{a}": PROFILE[b], f"user_profile:{b}": PROFILE[a]}
    assert diagnose(case(swapped, stored=rows)) == [
        f"user_profile: swapped columns: user_profile:{a} and user_profile:{b}"
    ]


def test_its_own_numbers_are_the_oracles():
    events = random_events(11, 120, NOW - 40 * 24 * HOUR, NOW + 1, users=("u",), sessions=("s",))
    personal = [e for e in events if e.consent == "personalize"]
    of_event = [name for name in KnownEvent._fields if name not in ("epoch", "of_shopper", "of_session")]
    mine = [
        KnownEvent(epoch=1, of_shopper=True, of_session=True, **{name: getattr(e, name) for name in of_event})
        for e in personal
    ]
    windows = brute_force.window_values(events, "user", "u", NOW)
    assert windows_of(mine, NOW) == {
        f.reference: windows[f.name] for f in USER_ACTIVITY if f.default is not None
    }
    session = brute_force.session_features(events, "u", "s", NOW)
    found = session_of(mine)
    assert found == pytest.approx({f.reference: session[f.name] for f in SESSION_ACTIVITY})
