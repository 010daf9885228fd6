import numpy as np
import pytest
from sklearn.metrics import f1_score

from models.behavior.operating import operating_point


def test_no_other_threshold_has_a_higher_f1():
    rng = np.random.default_rng(1)
    p = np.round(rng.random(300), 2)
    y = (rng.random(300) < p).astype(float)
    found = operating_point(y, p)
    every = {t: f1_score(y, p >= t) for t in np.unique(p)}
    assert found.validation_f1 == pytest.approx(max(every.values()))
    assert every[found.threshold] == pytest.approx(found.validation_f1)


def test_a_base_rate_calls_the_commoner_outcome():
    found = operating_point(np.array([1.0, 0.0, 0.0]), np.full(3, 0.33))
    assert found.threshold == 0.5
    assert found.validation_f1 is None
    assert "commoner outcome" in found.why
