import numpy as np
import pandas as pd
import pytest

from models.behavior.live import (
    MIN_SESSIONS,
    OVERALL,
    Promise,
    broken_promises,
    calibration_excess,
    live_figures,
)
from models.behavior.metrics import Estimate, evaluate

TARGETS = ("purchase", "add_to_cart", "leave")


def served(sessions: int, seed: int = 3, believed=lambda p: p) -> pd.DataFrame:
    """Scores of two days whose outcomes happen as often as the probability says, which the release
    believes to be `believed` of it."""
    rng = np.random.default_rng(seed)
    n = 3 * sessions
    p = {t: rng.uniform(0.05, 0.6, n) for t in TARGETS}
    session = np.repeat(np.arange(sessions), 3)
    return pd.DataFrame(
        {
            "user_id": [f"u{s}" for s in session],
            "session_key": "s",
            "as_of": pd.to_datetime(np.where(session % 2, "2024-03-10", "2024-03-11"), utc=True),
            "release": "r-1",
            "live": True,
            "is_bot": False,
            "known": True,
            **{f"{t}_probability": believed(p[t]) for t in TARGETS},
            **{t: (rng.random(n) < p[t]).astype(float) for t in TARGETS},
        }
    )


def test_figures_are_by_release_target_and_day_and_overall():
    rows = served(400)
    rows.loc[:299, "release"] = "r-0"
    rows.loc[rows.index[-60:], "known"] = False
    rows.loc[rows.index[-3:], "is_bot"] = True
    rows.loc[rows.index[:3], "live"] = False
    figures = list(live_figures(rows, seed=1))
    named = {(f.release, f.target, f.period) for f in figures}
    assert len(named) == len(figures) == 2 * 3 * 3
    newest = {f.target: f for f in figures if (f.release, f.period) == ("r-1", OVERALL)}
    assert (newest["leave"].scored, newest["leave"].known, newest["leave"].sessions) == (897, 840, 280)
    known = rows[(rows["release"] == "r-1") & rows["known"]]
    measured = evaluate(
        known["leave"].to_numpy(), known["leave_probability"].to_numpy(), known["user_id"].to_numpy(), 0.5, 1
    )
    assert newest["leave"].roc_auc.value == pytest.approx(measured.roc_auc.value)
    assert newest["leave"].ece.value == pytest.approx(measured.ece.value)


def test_a_period_of_which_nothing_is_known_yet_has_its_counts():
    rows = served(100).assign(known=False)
    figures = list(live_figures(rows, seed=1))
    assert {(f.period, f.known, f.sessions, f.log_loss) for f in figures} == {
        (period, 0, 0, None) for period in ("2024-03-10", "2024-03-11", OVERALL)
    }
    assert {f.scored for f in figures} == {150, 300}


def test_few_sessions_get_no_figures_and_no_verdict():
    figures = list(live_figures(served(MIN_SESSIONS - 1), seed=1))
    assert all(f.roc_auc is None and f.excess is None and f.known for f in figures)
    assert broken_promises(figures[0], Promise(Estimate(0, 0, 0), Estimate(1, 1, 1))) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_calibrated_model_is_not_blamed_for_having_been_asked_seldom(seed):
    rows = served(60, seed)
    y, p = rows["leave"].to_numpy(), rows["leave_probability"].to_numpy()
    assert calibration_excess(y, p, rows["user_id"].to_numpy(), seed) < 0.02
    assert evaluate(y, p, rows["user_id"].to_numpy(), 0.5, seed).ece.value > 0.04


def test_promises_are_broken_only_beyond_noise():
    promised = Promise(ece=Estimate(0.01, 0.005, 0.02), roc_auc=Estimate(0.68, 0.66, 0.70))
    asked = {"kept": served(600), "too sure": served(600, believed=lambda p: p**0.4)}
    noise = served(600)
    noise["leave"] = np.random.default_rng(1).integers(0, 2, len(noise))
    asked["no longer ranks"] = noise
    found = {}
    for name, rows in asked.items():
        (figures,) = (f for f in live_figures(rows, seed=1) if (f.target, f.period) == ("leave", OVERALL))
        found[name] = " ".join(broken_promises(figures, promised))
    assert found["kept"] == ""
    assert "probabilities are off by" in found["too sure"] and "ROC-AUC" not in found["too sure"]
    assert "ROC-AUC is 0." in found["no longer ranks"]
