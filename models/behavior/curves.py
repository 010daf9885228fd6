"""ROC and precision-recall curves as a few points, each with its 95 % band from resampling whole
sessions."""

from collections.abc import Callable

import msgspec
import numpy as np

from models.behavior.metrics import ranked_counts, resampled_sessions

MAX_POINTS = 100
BAND_RESAMPLES = 200
DECIMALS = 4


class Curve(msgspec.Struct, frozen=True):
    """`y` by rising `x`; `low` and `high` bound `y` where `x` is held."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def roc_curve(
    y: np.ndarray, p: np.ndarray, session: np.ndarray, seed: int, resamples: int = BAND_RESAMPLES
) -> Curve:
    """The best recall at each false positive rate. Both outcomes must occur."""

    def line(hits: np.ndarray, misses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.r_[0.0, misses / misses[-1]], np.r_[0.0, hits / hits[-1]]

    return _curve(line, np.interp, y, p, session, seed, resamples)


def precision_recall_curve(
    y: np.ndarray, p: np.ndarray, session: np.ndarray, seed: int, resamples: int = BAND_RESAMPLES
) -> Curve:
    """Precision by recall, at the thresholds where recall rises. Both outcomes must occur."""

    def line(hits: np.ndarray, misses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rises = np.diff(hits, prepend=0) > 0
        return hits[rises] / hits[-1], hits[rises] / (hits[rises] + misses[rises])

    return _curve(line, _at_first_reach, y, p, session, seed, resamples)


def _curve(
    line: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    read: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    y: np.ndarray,
    p: np.ndarray,
    session: np.ndarray,
    seed: int,
    resamples: int,
) -> Curve:
    _, member = np.unique(session, return_inverse=True)
    counts = ranked_counts(np.asarray(y, dtype=np.float64), p)
    (hits,), (misses,) = counts(np.ones((1, len(y))))
    across, up = _thinned(*line(hits, misses))
    drawn = [
        read(across, *line(h, m))
        for _, rows in resampled_sessions(member, seed, resamples)
        for h, m in zip(*counts(rows), strict=True)
        if h[-1] and m[-1]  # else the resample holds one outcome only
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0) if drawn else (up, up)
    return Curve(*(tuple(np.round(values, DECIMALS).tolist()) for values in (across, up, low, high)))


def _at_first_reach(wanted: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`y` where ascending `x` first reaches each of `wanted`."""
    at = np.searchsorted(x, wanted - 1e-12)
    return y[np.minimum(at, len(y) - 1)]


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_POINTS of the points, evenly far along the curve, both ends among them; of points
    above each other the highest, which is the last."""
    last = np.r_[np.diff(x) > 0, True]
    x, y = x[last], y[last]
    along = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], MAX_POINTS)))
    kept[-1] = len(x) - 1
    return x[kept], y[kept]
