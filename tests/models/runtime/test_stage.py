import itertools

import msgspec
import numpy as np
import pytest

from feature_repo.behavior import SERVICE_FEATURES
from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import step_of
from feature_repo.windows import US
from models.runtime.stage import DECLARED, KINDS, STAGES, StageModel, StageParameters, observed

MODEL = StageModel()
BOUGHT = {"user_activity:purchase_count_7d": 1}


def steps(*told: str, pause_s: int = 20) -> list:
    """`type` or `type:item`, one every `pause_s`."""
    parts = (each.partition(":") for each in told)
    return [step_of(n * pause_s * US, kind, item or None) for n, (kind, _, item) in enumerate(parts)]


def last_hour(**counts: int) -> dict[str, int]:
    return {f"user_activity:{name}_count_1h": n for name, n in counts.items()}


@pytest.mark.parametrize(
    ("session", "values", "typed", "stage"),
    [
        ((), {}, None, "explore"),
        (("view:a", "view:b", "click:c", "view:d"), {}, None, "explore"),
        (("search", "view:a", "view:b", "view:a", "view:b", "view:a"), {}, None, "compare"),
        (("view:a", "view:a", "add_to_cart:a", "checkout"), {}, None, "decide"),
        (("view:a", "add_to_cart:a", "checkout", "purchase:a"), {}, None, "after_purchase"),
        (("view:a", "message", "message"), {}, None, "get_help"),
        (("message", "view:a", "message"), BOUGHT, None, "after_purchase"),
        (("view:a", "view:b"), {}, {"compare": 1.0}, "compare"),
        (("view:a",), BOUGHT, {"order_status": 0.9, "other": 0.1}, "after_purchase"),
        ((), last_hour(view=2, message=3), None, "get_help"),
        ((), last_hour(view=3, add_to_cart=1, checkout=1), None, "decide"),
        ((), last_hour(view=3, purchase=1), None, "after_purchase"),
    ],
)
def test_stage_of_a_plain_visit(session, values, typed, stage):
    found = MODEL.probabilities(steps(*session), values, typed)
    assert max(found, key=found.get) == stage, found


def test_what_is_seen_of_steps():
    told = steps("view:a", "view:a", "search", "click:b", "view:a", "view", "purchase:a", pause_s=15)
    told += [step_of(told[-1].at_us + US, "purchase", "b"), step_of(told[-1].at_us + 999 * US, "view", "a")]
    kinds = [None if step is None else KINDS[step.kind] for step in observed(told)]
    assert kinds == [
        "view_new", "view_same", "search", "click_new", "view_back", "view_new", "purchase", None,
        "view_back",
    ]  # fmt: skip
    assert [step and step.pause for step in observed(told)] == [None, 2, 2, 2, 2, 2, 2, None, 4]


def test_forward_recursion_is_the_sum_over_all_paths():
    told, parameters = steps("view:a", "message", "purchase:a", "view:a"), DECLARED
    seen, weights = observed(told), np.zeros(len(STAGES))
    for path in itertools.product(STAGES, repeat=len(seen)):
        p = parameters.prior[path[0]]
        for n, (stage, step) in enumerate(zip(path, seen, strict=True)):
            if n:
                bought = KINDS[seen[n - 1].kind] == "purchase"
                p *= (parameters.turns_after_purchase if bought else parameters.turns)[path[n - 1]][stage]
                p *= list(parameters.pauses[stage].values())[step.pause]
            p *= parameters.kinds[stage][KINDS[step.kind]]
        weights[STAGES.index(path[-1])] += p
    assert MODEL.after_each(told, False)[-1] == pytest.approx((weights / weights.sum()).tolist())


def test_it_is_a_distribution_over_the_stages_however_long_the_session():
    long = steps(*EVENT_TYPES * 200)
    crowd = last_hour(view=10**9, message=10**9)
    for found in (MODEL.probabilities(long, {}, {"compare": 1.0}), MODEL.probabilities([], crowd)):
        assert tuple(found) == STAGES
        assert sum(found.values()) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in found.values())


def test_what_is_typed_weighs_more_than_what_was_typed_some_time():
    told, asked = steps("view:a", "view:b"), {"complaint": 0.8, "other": 0.2}
    nothing, before, now = (
        MODEL.probabilities(told, {}, *texts)["get_help"] for texts in ((), (None, asked), (asked,))
    )
    assert nothing < before < now
    assert MODEL.probabilities(told, {}, {"a shop's own": 1.0}) == pytest.approx(
        MODEL.probabilities(told, {})
    )


def test_missing_values_count_as_nothing_seen():
    empty = {f.reference: None for f in SERVICE_FEATURES}
    assert MODEL.probabilities([], empty) == MODEL.probabilities([], {})


def test_every_value_read_is_a_declared_feature():
    """A misspelt reference would silently count as 0."""

    class Recorder(dict):
        def get(self, key, default=None):
            read.add(key)
            return default

    read: set[str] = set()
    MODEL.probabilities([], Recorder())
    assert len(read) > len(EVENT_TYPES)
    assert read <= {f.reference for f in SERVICE_FEATURES}


def test_parameters_come_back_from_their_file(tmp_path):
    path = tmp_path / "stage.json"
    path.write_bytes(msgspec.json.encode(DECLARED))
    assert StageModel.load(path).parameters == DECLARED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": {**DECLARED.prior, "explore": 0.9}}, "prior are not probabilities"),
        ({"prior": dict(reversed(DECLARED.prior.items()))}, "prior is not by explore"),
        ({"kinds": {**DECLARED.kinds, "compare": {"view": 1.0}}}, "kinds of compare is not by view_new"),
        ({"turns": {"explore": DECLARED.turns["explore"]}}, "turns is not by explore"),
        ({"text": {"price": {"explore": 1.0}}}, "text of price"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(change, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({**msgspec.to_builtins(DECLARED), **change}, StageParameters)
