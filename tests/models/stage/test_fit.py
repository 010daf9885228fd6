import msgspec
import numpy as np
import pytest

from models.runtime.stage import DECLARED, STAGES, StageModel
from models.stage import fit as fitting
from models.stage.fit import (
    Matrices,
    expected_counts,
    fit_stages,
    log_likelihood,
    matrices,
    parameters_of,
    sequences,
)
from tests.models.stage.made_up import made_up_sessions


@pytest.fixture(scope="module")
def another_shop():
    """Its visitors message more and dwell less than declared."""
    kinds = {
        stage: {kind: p * (6 if kind in ("message", "wishlist") else 1) for kind, p in row.items()}
        for stage, row in DECLARED.kinds.items()
    }
    kinds = {s: {k: p / sum(row.values()) for k, p in row.items()} for s, row in kinds.items()}
    pauses = {
        s: dict(zip(row, (0.6, 0.2, 0.1, 0.06, 0.04), strict=True)) for s, row in DECLARED.pauses.items()
    }
    return msgspec.structs.replace(DECLARED, kinds=kinds, pauses=pauses)


def test_forward_of_all_sessions_is_the_tracker_of_each():
    sessions, _ = made_up_sessions(DECLARED, 40, 1)
    data, model, tracker = sequences(sessions), matrices(DECLARED), StageModel(DECLARED)
    forward, _ = fitting._forward(
        data, model, fitting._emitted(data, model), (data.kinds == fitting._PURCHASE).astype(int)
    )
    for row, session in enumerate(sessions):
        expected = tracker.after_each(session.steps, session.bought_before)[-1]
        assert forward[row, data.lengths[row] - 1].tolist() == pytest.approx(expected)


def test_expected_counts_are_of_every_step_once():
    sessions, _ = made_up_sessions(DECLARED, 30, 2)
    data = sequences(sessions)
    counts, likelihood = expected_counts(data, matrices(DECLARED))
    assert counts.priors.sum() == pytest.approx(30)
    assert counts.kinds.sum() == pytest.approx(data.steps)
    assert (counts.turns.sum(), counts.pauses.sum()) == pytest.approx((data.steps - 30,) * 2)
    assert likelihood == pytest.approx(log_likelihood(data, matrices(DECLARED)))


def test_each_iteration_explains_the_sessions_no_worse():
    sessions, _ = made_up_sessions(DECLARED, 200, 3)
    data = sequences(sessions)
    model = Matrices(*(np.full_like(m, 1 / m.shape[-1]) + 0.05 * m for m in matrices(DECLARED)))
    model = Matrices(*(m / m.sum(axis=-1, keepdims=True) for m in model))
    found = []
    for _ in range(8):
        counts, likelihood = expected_counts(data, model)
        found.append(likelihood)
        model = Matrices(*((c + 1e-9) / (c + 1e-9).sum(axis=-1, keepdims=True) for c in counts))
    assert found == sorted(found)


def test_the_log_moves_the_parameters_towards_itself(another_shop):
    sessions, _ = made_up_sessions(another_shop, 900, 4)
    fit = fit_stages(sessions)
    assert fit.fitted_log_likelihood > fit.declared_log_likelihood
    assert fit.parameters.origin == "declared, and fitted without labels on 720 sessions"
    for stage in STAGES:
        declared, fitted, true = (
            p.pauses[stage]["under_5s"] for p in (DECLARED, fit.parameters, another_shop)
        )
        assert declared < fitted < true
    assert fit.parameters.text == DECLARED.text
    assert any("later sessions" in line for line in fit.lines())


def test_too_few_sessions_leave_the_declared():
    sessions, _ = made_up_sessions(DECLARED, fitting.MIN_SESSIONS - 1, 5, steps=2)
    for few in (sessions, []):
        fit = fit_stages(few)
        assert fit.parameters == DECLARED
        assert "too few" in fit.lines()[0]


def test_what_explains_later_sessions_worse_is_not_taken(another_shop):
    earlier, _ = made_up_sessions(another_shop, 480, 6)
    later, _ = made_up_sessions(DECLARED, 120, 7)
    fit = fit_stages([*earlier, *later])
    assert fit.fitted_log_likelihood < fit.declared_log_likelihood
    assert fit.parameters == DECLARED


def test_parameters_survive_being_matrices():
    again = parameters_of(matrices(DECLARED), DECLARED, "declared")
    assert msgspec.to_builtins(again)["kinds"]["decide"] == pytest.approx(DECLARED.kinds["decide"])
