import numpy as np
import pytest
from sklearn import metrics

from models.behavior.curves import MAX_POINTS, precision_recall_curve, roc_curve


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(5)
    p = np.round(rng.beta(1, 3, 1_200), 3)
    return (rng.random(1_200) < p).astype(float), p, np.arange(1_200) // 2


def test_points_lie_on_the_whole_curve(scored):
    y, p, session = scored
    found = roc_curve(y, p, session, seed=0, resamples=50)
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    whole = {(round(a, 4), round(b, 4)) for a, b in zip(fpr, tpr, strict=True)}
    assert whole.issuperset(zip(found.x, found.y, strict=True))
    assert (found.x[-1], found.y[-1]) == (1.0, 1.0)
    assert 20 < len(found.x) <= MAX_POINTS
    assert metrics.auc(found.x, found.y) == pytest.approx(metrics.roc_auc_score(y, p), abs=0.01)

    found = precision_recall_curve(y, p, session, seed=0, resamples=50)
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    whole = {(round(a, 4), round(b, 4)) for a, b in zip(recall, precision, strict=True)}
    assert whole.issuperset(zip(found.x, found.y, strict=True))
    assert found.x[-1] == 1.0
    assert len(found.x) <= MAX_POINTS


@pytest.mark.parametrize("curve", [roc_curve, precision_recall_curve], ids=["roc", "pr"])
def test_bands_hold_the_curve_and_come_from_sessions_not_rows(scored, curve):
    y, p, session = scored
    found = curve(y, p, session, seed=0)
    low, at, high = map(np.array, (found.low, found.y, found.high))
    assert np.mean((low - 0.02 <= at) & (at <= high + 0.02)) > 0.95
    tenfold = curve(np.repeat(y, 10), np.repeat(p, 10), np.repeat(session, 10), seed=0)
    assert tenfold == found
