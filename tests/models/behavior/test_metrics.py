import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from models.behavior.metrics import evaluate, gain_over_base_rate, ranked_areas


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("decimals", [1, 6], ids=["many ties", "few ties"])
def test_weighted_areas_are_those_of_scikit_learn(rng, decimals):
    y = rng.integers(0, 2, 500).astype(float)
    p = np.round(np.clip(0.3 * y + rng.random(500) * 0.7, 0, 1), decimals)
    weights = rng.integers(0, 4, 500).astype(float)
    roc, pr = ranked_areas(y, p)(weights)
    assert roc == pytest.approx(roc_auc_score(y, p, sample_weight=weights), abs=1e-12)
    assert pr == pytest.approx(average_precision_score(y, p, sample_weight=weights), abs=1e-12)


def test_point_figures_are_those_of_scikit_learn(rng):
    p = rng.uniform(0.01, 0.99, 400)
    y = (rng.random(400) < p).astype(float)
    found = evaluate(y, p, np.arange(400), 0.5, seed=0, resamples=20)
    assert found.log_loss.value == pytest.approx(log_loss(y, p))
    assert found.brier.value == pytest.approx(brier_score_loss(y, p))
    assert found.roc_auc.value == pytest.approx(roc_auc_score(y, p))
    assert found.base_rate_log_loss == pytest.approx(np.log(2))


def test_calibration_error_sees_a_shift_that_ranking_does_not(rng):
    p = rng.uniform(0.05, 0.6, 20_000)
    y = (rng.random(20_000) < p).astype(float)
    honest = evaluate(y, p, np.arange(20_000), 0.3, seed=0, resamples=5)
    shifted = evaluate(y, p + 0.3, np.arange(20_000), 0.3, seed=0, resamples=5)
    assert honest.ece.value < 0.02
    assert shifted.ece.value == pytest.approx(0.3, abs=0.02)
    assert shifted.roc_auc.value == honest.roc_auc.value


def test_intervals_come_from_sessions_not_rows(rng):
    """Repeating every row of a session ten times adds rows and no knowledge."""
    p = rng.uniform(0.01, 0.99, 200)
    y = (rng.random(200) < p).astype(float)
    once = evaluate(y, p, np.arange(200), 0.5, seed=1)
    tenfold = evaluate(np.repeat(y, 10), np.repeat(p, 10), np.repeat(np.arange(200), 10), 0.5, seed=1)
    assert tenfold.roc_auc.low == pytest.approx(once.roc_auc.low)
    assert tenfold.log_loss.high == pytest.approx(once.log_loss.high)
    assert (tenfold.rows, tenfold.sessions) == (2_000, 200)


def test_one_outcome_has_no_areas():
    found = evaluate(np.zeros(20), np.full(20, 0.1), np.arange(20), 0.1, seed=0, resamples=10)
    assert found.roc_auc is None
    assert found.pr_auc is None
    assert found.ece.value == pytest.approx(0.1)


def test_gain_is_above_zero_only_for_knowledge(rng):
    p = rng.uniform(0.05, 0.95, 1_000)
    y = (rng.random(1_000) < p).astype(float)
    session = np.arange(1_000) // 2
    assert gain_over_base_rate(y, p, session, y.mean(), seed=0).low > 0
    assert gain_over_base_rate(y, rng.permutation(p), session, y.mean(), seed=0).low < 0
