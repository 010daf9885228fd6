import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from models.behavior import metrics
from models.behavior.metrics import areas, evaluate, log_loss_gain, ranked_counts


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("decimals", [1, 6], ids=["many ties", "few ties"])
def test_weighted_areas_are_those_of_scikit_learn(rng, decimals):
    y = rng.integers(0, 2, 500).astype(float)
    p = np.round(np.clip(0.3 * y + rng.random(500) * 0.7, 0, 1), decimals)
    weights = rng.integers(0, 4, 500).astype(float)
    ((roc, pr),) = areas(*ranked_counts(y, p)(weights[None]))
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


def test_calls_at_the_threshold_are_those_of_scikit_learn(rng):
    p = np.round(rng.uniform(0.01, 0.99, 400), 2)
    y = (rng.random(400) < p).astype(float)
    found = evaluate(y, p, np.arange(400) // 2, 0.5, seed=0, threshold=0.3, resamples=50)
    called = p >= 0.3
    assert (p == 0.3).any(), "a row at the threshold itself is called positive"
    for figure, expected in (
        (found.accuracy, accuracy_score(y, called)),
        (found.precision, precision_score(y, called)),
        (found.recall, recall_score(y, called)),
        (found.f1, f1_score(y, called)),
    ):
        assert figure.value == pytest.approx(expected)
        assert figure.low < figure.value < figure.high
    c = found.confusion
    cells = [c.true_negative, c.false_positive, c.false_negative, c.true_positive]
    assert cells == confusion_matrix(y, called).ravel().tolist()


def test_what_cannot_be_said_is_none(rng):
    """No row is called positive: precision is unknown, recall is 0."""
    y = (rng.random(60) < 0.4).astype(float)
    found = evaluate(y, np.full(60, 0.4), np.arange(60), 0.4, seed=0, resamples=20)
    assert (found.precision, found.recall.value, found.f1.value) == (None, 0.0, 0.0)
    assert evaluate(0 * y, np.full(60, 0.4), np.arange(60), 0.4, seed=0, resamples=20).recall is None


def test_reliability_bins_have_intervals_that_narrow_with_sessions(rng):
    def widths(n):
        p = rng.uniform(0.05, 0.95, n)
        bins = evaluate((rng.random(n) < p).astype(float), p, np.arange(n), 0.5, seed=0).reliability
        assert sum(b.rows for b in bins) == n
        assert all(b.low <= b.observed <= b.high for b in bins)
        return np.mean([b.high - b.low for b in bins])

    assert widths(3_200) < 0.5 * widths(200)


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
    assert log_loss_gain(y, p, y.mean(), session, seed=0).low > 0
    assert log_loss_gain(y, rng.permutation(p), y.mean(), session, seed=0).low < 0
    same = log_loss_gain(y, p, p, session, seed=0)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_resampling_a_few_at_a_time_changes_nothing(rng, monkeypatch):
    p = rng.uniform(0.01, 0.99, 300)
    y = (rng.random(300) < p).astype(float)
    at_once = evaluate(y, p, np.arange(300) // 3, 0.5, seed=4)
    monkeypatch.setattr(metrics, "_CELLS", 7 * 300)
    assert evaluate(y, p, np.arange(300) // 3, 0.5, seed=4) == at_once
