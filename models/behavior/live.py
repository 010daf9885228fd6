"""How good the scores that were served turned out to be, by release, target and period.

Scores of flagged bots are left out, and those of an instant that the request named: nobody acted on them,
and who asks of the past knows what came after.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from models.behavior.metrics import (
    Estimate,
    estimate,
    evaluate,
    reliability_bins,
    resampled_sessions,
)
from models.runtime.behavior import TARGETS

OVERALL = "all"
MIN_SESSIONS = 30
"""With fewer sessions a period gets no figures, and nothing is said against a release."""

MAX_ROWS = 50_000
"""A period's figures come from about this many rows at most: whole sessions, drawn by seed."""

RESAMPLES = 200
FIGURES = ("roc_auc", "log_loss", "brier", "ece")


class LiveFigures(msgspec.Struct, frozen=True):
    """One target of one release over a day, or over all its days (`OVERALL`). Figures are None where
    too few outcomes are known. `excess`: the calibration error that noise does not explain."""

    release: str
    target: str
    period: str
    scored: int
    known: int
    sessions: int
    base_rate: float | None = None
    roc_auc: Estimate | None = None
    log_loss: Estimate | None = None
    brier: Estimate | None = None
    ece: Estimate | None = None
    excess: float | None = None


def live_figures(outcomes: pd.DataFrame, seed: int) -> Iterator[LiveFigures]:
    """`outcomes`: user_id, session_key, as_of, release, live, is_bot, known, and of each target its
    label and `<target>_probability`. A release's days in order, then all of them."""
    served = outcomes[outcomes["live"] & ~outcomes["is_bot"]]
    day = served["as_of"].dt.strftime("%Y-%m-%d")
    for release, rows in served.groupby("release", sort=True):
        periods = [*rows.groupby(day.loc[rows.index], sort=True), (OVERALL, rows)]
        for period, scores in periods:
            yield from _of_period(str(release), str(period), scores, seed)


def _of_period(release: str, period: str, scores: pd.DataFrame, seed: int) -> Iterator[LiveFigures]:
    known = scores[scores["known"]]
    session = known.groupby(["user_id", "session_key"], sort=False, dropna=False).ngroup().to_numpy()
    sessions = int(session.max(initial=-1)) + 1
    kept = _whole_sessions(session, seed)
    for target in TARGETS:
        counts = LiveFigures(release, target, period, len(scores), len(known), sessions)
        if sessions < MIN_SESSIONS:
            yield counts
            continue
        y = known[target].to_numpy(dtype=np.float64)[kept]
        p = known[f"{target}_probability"].to_numpy(dtype=np.float64)[kept]
        rate = float(y.mean())
        measured = evaluate(y, p, session[kept], rate, seed, resamples=RESAMPLES)
        yield msgspec.structs.replace(
            counts,
            base_rate=rate,
            excess=calibration_excess(y, p, session[kept], seed),
            **{figure: getattr(measured, figure) for figure in FIGURES},
        )


def _whole_sessions(session: np.ndarray, seed: int) -> np.ndarray:
    """Row numbers of as many sessions, drawn at random, as make about MAX_ROWS rows."""
    if len(session) <= MAX_ROWS:
        return np.arange(len(session))
    drawn = np.random.default_rng(seed).random(session.max() + 1) < MAX_ROWS / len(session)
    return np.flatnonzero(drawn[session])


def calibration_excess(y: np.ndarray, p: np.ndarray, session: np.ndarray, seed: int) -> float:
    """The calibration error with each bin's gap counted only as far as its 95 % interval keeps it from
    0. The plain error is never 0, and grows as rows get fewer, also of a perfect model."""
    _, member = np.unique(session, return_inverse=True)
    bins = reliability_bins(y, p)
    gaps = np.zeros((int(member.max()) + 1, int(bins.max()) + 1))
    np.add.at(gaps, (member, bins), p - y)
    drawn = np.concatenate([times @ gaps for times, _ in resampled_sessions(member, seed, RESAMPLES)])
    beyond = [estimate(gaps[:, b].sum(), drawn[:, b]) for b in range(gaps.shape[1])]
    return float(sum(max(0.0, e.low, -e.high) for e in beyond) / len(y))


class Promise(msgspec.Struct, frozen=True):
    """Figures of a release's report that served scores can be held against."""

    ece: Estimate
    roc_auc: Estimate | None = None


class PromisedTarget(msgspec.Struct, frozen=True):
    test: Promise


def promises(behavior: Mapping[str, Any]) -> dict[str, Promise]:
    """By target, from the metrics of a release's manifest."""
    targets = msgspec.convert(behavior["targets"], dict[str, PromisedTarget])
    return {target: promised.test for target, promised in targets.items()}


def broken_promises(live: LiveFigures, promised: Promise) -> list[str]:
    """Where the live figures of a target are worse than its release's report, beyond noise."""
    broken, auc = [], promised.roc_auc
    if live.roc_auc and auc and live.roc_auc.high < auc.low:
        broken.append(
            f"{live.target}: ROC-AUC is {live.roc_auc.value:.3f} (at most {live.roc_auc.high:.3f}), the "
            f"release's report promised {auc.value:.3f} (at least {auc.low:.3f})"
        )
    if live.excess is not None and live.excess > promised.ece.high:
        broken.append(
            f"{live.target}: probabilities are off by {live.excess:.3f} beyond noise, the release's report "
            f"promised a calibration error of {promised.ece.value:.3f} (at most {promised.ece.high:.3f})"
        )
    return broken
