import pytest

from feature_repo.behavior import SERVICE_FEATURES
from models.runtime.stage import STAGES, stage_probabilities

LIKELY, UNLIKELY = {"purchase": 0.4}, {"purchase": 0.01}


def session(**counts: int) -> dict[str, int]:
    return {f"session_activity:session_{name}_count": n for name, n in counts.items()}


@pytest.mark.parametrize(
    "values, behavior, text, stage",
    [
        ({}, UNLIKELY, None, "explore"),
        (session(view=1, search=2), UNLIKELY, {"search": 0.9, "other": 0.1}, "explore"),
        (session(view=12), UNLIKELY, None, "compare"),
        (session(view=3), UNLIKELY, {"compare": 0.9}, "compare"),
        (session(view=4, add_to_cart=1), LIKELY, None, "decide"),
        (session(view=2), LIKELY, {"availability": 0.5, "price": 0.5}, "decide"),
        (session(message=2), UNLIKELY, None, "get_help"),
        (session(view=2), UNLIKELY, {"complaint": 0.9}, "get_help"),
        (session(view=5, add_to_cart=1, purchase=1), UNLIKELY, None, "after_purchase"),
        ({"user_activity:purchase_count_1h": 1}, UNLIKELY, None, "after_purchase"),
    ],
)
def test_stage_of_a_plain_visit(values, behavior, text, stage):
    found = stage_probabilities(values, behavior, text)
    assert max(found, key=found.get) == stage, found


def test_it_is_a_distribution_over_the_stages():
    found = stage_probabilities(session(view=10**9, message=10**9), LIKELY)
    assert tuple(found) == STAGES
    assert sum(found.values()) == pytest.approx(1)
    assert all(0 <= p <= 1 for p in found.values())


def test_a_cart_moves_towards_deciding():
    before = stage_probabilities(session(view=4), UNLIKELY)
    after = stage_probabilities(session(view=4, add_to_cart=1), UNLIKELY)
    assert after["decide"] > before["decide"]


def test_missing_values_count_as_nothing_seen():
    empty = {f.reference: None for f in SERVICE_FEATURES}
    assert stage_probabilities(empty, UNLIKELY) == stage_probabilities({}, UNLIKELY)


def test_every_value_read_is_a_declared_feature():
    """A misspelt reference would silently count as 0."""

    class Recorder(dict):
        def get(self, key, default=None):
            read.add(key)
            return default

    read: set[str] = set()
    stage_probabilities(Recorder(), UNLIKELY)
    assert read
    assert read <= {f.reference for f in SERVICE_FEATURES}
