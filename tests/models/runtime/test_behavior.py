import shutil
import time

import numpy as np
import pytest

from models.runtime.behavior import TARGETS, BehaviorError, BehaviorModel
from models.runtime.row import VECTOR, RowBuilder
from tests.models.behavior.synthetic import (
    INTENTS,
    Head,
    service_values,
    unit_vectors,
)

ROWS = RowBuilder(Head())
CARTS = {
    "session_add_to_cart_count": 2,
    **{f"add_to_cart_count_{w}": 2 for w in ("10m", "1h", "24h", "7d", "30d")},
    **{f"view_count_{w}": 5 for w in ("10m", "1h", "24h", "7d", "30d")},
    "session_view_count": 5,
    "session_event_count": 7,
    "session_duration_s": 90.0,
}


@pytest.fixture(scope="module")
def folder(parts):
    return parts.behavior


@pytest.fixture(scope="module")
def model(folder):
    return BehaviorModel.load(folder)


@pytest.fixture(scope="module")
def row():
    vector = unit_vectors(np.random.default_rng(1), 1)[0]
    return ROWS.row(service_values({**CARTS, VECTOR.name: vector}))


def test_score_is_a_probability_of_each_target(model, row):
    scores = model.score(row)
    assert tuple(scores) == TARGETS
    assert all(0 < p < 1 for p in scores.values())
    assert scores["purchase"] > model.priors()["purchase"]


def test_an_effect_is_the_change_of_the_served_score(model, row):
    """Each reason, measured again by hand: put the typical value in, score, subtract."""
    reasons = model.reasons(row, ROWS, top=1_000)
    assert len(reasons) > 5
    scores = model.score(row)
    for reason in reasons:
        replaced, columns = row.inputs.copy(), ROWS.groups[reason.feature]
        replaced[0, columns] = model.spec.reference[columns]
        other = model.score(row._replace(inputs=replaced))
        assert reason.effect == pytest.approx(scores[reason.target] - other[reason.target], abs=1e-9)


def test_reasons_are_the_strongest_and_only_what_is_not_typical(model, row):
    every = model.reasons(row, ROWS, top=1_000)
    effects = [abs(r.effect) for r in every]
    assert effects == sorted(effects, reverse=True)
    assert all(effects)
    assert model.reasons(row, ROWS, top=3) == every[:3]
    reference = np.array(model.spec.reference, dtype=np.float32)
    for reason in every:
        columns = ROWS.groups[reason.feature]
        assert not np.array_equal(row.inputs[0, columns], reference[columns])
    typical = row._replace(inputs=reference[None])
    assert model.reasons(typical, ROWS) == []


def test_reasons_show_the_features_own_value(model, row):
    shown = {r.feature: r.value for r in model.reasons(row, ROWS, top=1_000)}
    assert shown.pop(VECTOR.reference) in INTENTS
    assert shown == {feature: row.values[feature] for feature in shown}
    assert 2 in shown.values()
    without = ROWS.row(service_values(CARTS))
    assert "none" in {r.value for r in model.reasons(without, ROWS, 1_000) if r.feature == VECTOR.reference}


def test_a_score_takes_well_under_a_millisecond(model, row):
    """A wide bound, for a busy machine; the median of many."""

    def median_ms(call) -> float:
        times = []
        for _ in range(200):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return 1_000 * float(np.median(times))

    assert median_ms(lambda: model.score(row)) < 1
    assert median_ms(lambda: model.reasons(row, ROWS)) < 10


def test_a_folder_that_cannot_be_served_is_refused(folder, tmp_path):
    with pytest.raises(BehaviorError, match=r"no behavior\.json; train"):
        BehaviorModel.load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "leave.onnx").write_bytes(b"not a graph")
    with pytest.raises(BehaviorError, match=r"leave\.onnx: not a graph that can be served"):
        BehaviorModel.load(copy)
    (copy / "behavior.json").write_text('{"columns": []}')
    with pytest.raises(BehaviorError, match="missing required field"):
        BehaviorModel.load(copy)
