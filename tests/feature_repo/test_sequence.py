import random

import pytest

from feature_repo.behavior import SESSION_ACTIVITY
from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import (
    SEQUENCE_STATISTICS,
    STEP_LIMIT,
    SessionSequence,
    item_code,
    newest_steps,
    sequence_values,
    step_of,
)
from feature_repo.windows import US

NAMES = [s.name.removeprefix("session_") for s in SEQUENCE_STATISTICS]


def told(*steps: tuple) -> dict[str, int | float]:
    """(event type, item or None, seconds since the step before): what the statistics say."""
    at_us, made = 0, []
    for event_type, item, pause_s in steps:
        at_us += round(pause_s * US)
        made.append(step_of(at_us, event_type, item))
    return dict(zip(NAMES, sequence_values(made), strict=True))


def random_steps(seed: int, count: int) -> list:
    rng = random.Random(seed)
    items = ("a", "b", "c", None)
    return [step_of(rng.randrange(count), rng.choice(EVENT_TYPES), rng.choice(items)) for _ in range(count)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], {}),
        ([("view", "a", 9)], {"distinct_item_count": 1, "top_item_view_count": 1, "item_run_length": 1}),
        (
            [("view", "a", 0), ("view", "b", 4), ("search", None, 1), ("view", "a", 3)],
            {
                "distinct_item_count": 2, "repeat_view_count": 1, "top_item_view_count": 2,
                "item_run_length": 1, "last_pause_s": 3.0, "recent_pause_s": 8 / 3,
            },
        ),
        (
            [("view", "a", 0), ("click", "b", 0), ("message", None, 0), ("wishlist", "b", 0)],
            {"distinct_item_count": 2, "top_item_view_count": 1, "item_run_length": 2},
        ),
        ([("search", None, 0), ("message", None, 0), ("search", None, 0)], {"unanswered_search_count": 2}),
        ([("search", None, 0), ("click", None, 0), ("search", None, 0)], {"unanswered_search_count": 1}),
        (
            [("add_to_cart", "a", 0), ("add_to_cart", "b", 0), ("remove_from_cart", "a", 0)],
            {"distinct_item_count": 2, "item_run_length": 1, "cart_item_count": 1},
        ),
        (
            [("add_to_cart", "a", 0), ("add_to_cart", "b", 0), ("purchase", None, 0)],
            {"distinct_item_count": 2, "item_run_length": 1},
        ),
    ],
    ids=["nothing", "one", "back-again", "run", "no-answer", "answer", "removed", "all-bought"],
)  # fmt: skip
def test_statistics_of_short_sessions(steps, expected):
    assert {name: value for name, value in told(*steps).items() if value} == expected


def test_the_mean_is_of_the_newest_pauses():
    pauses = (100, 1, 2, 3, 4, 6)
    assert told(("view", "a", 0), *(("view", "a", p) for p in pauses))["recent_pause_s"] == 16 / 5


@pytest.mark.parametrize("count", [STEP_LIMIT - 1, STEP_LIMIT, STEP_LIMIT + 1, 3 * STEP_LIMIT])
def test_following_step_by_step_is_asking_of_the_newest(count):
    steps, followed = sorted(random_steps(1, count)), SessionSequence()
    for n, step in enumerate(steps, start=1):
        followed.push(step)
        assert followed.values() == sequence_values(newest_steps(steps[:n]))


@pytest.mark.parametrize("seed", range(5))
def test_the_newest_of_parts_are_the_newest_of_all(seed):
    steps, rng = random_steps(seed, 300), random.Random(seed)
    parts = [[] for _ in range(4)]
    for step in steps:
        rng.choice(parts).append(step)
    merged = []
    for part in parts:
        merged = newest_steps([*newest_steps(part), *merged])
    assert merged == newest_steps(steps)
    assert len(merged) == STEP_LIMIT


def test_values_have_the_declared_types_and_place():
    for values in (sequence_values([]), sequence_values(sorted(random_steps(3, 70)))):
        assert [type(v) for v in values] == [type(s.default) for s in SEQUENCE_STATISTICS]
    assert sequence_values([]) == [s.default for s in SEQUENCE_STATISTICS]
    last = SESSION_ACTIVITY[-len(SEQUENCE_STATISTICS) :]
    assert [f.name for f in last] == [s.name for s in SEQUENCE_STATISTICS]


def test_an_items_code_is_of_its_id_in_utf_8():
    assert (item_code(None), item_code("灯")) == (0, 924_649_540)
