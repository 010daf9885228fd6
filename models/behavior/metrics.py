"""How good probabilities are, with intervals from resampling whole sessions.

Rows of one session share their outcome, so resampling rows would make intervals far too narrow.
"""

from collections.abc import Callable

import msgspec
import numpy as np

RESAMPLES = 400
ECE_BINS = 10
_EPSILON = 1e-15


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class ReliabilityBin(msgspec.Struct, frozen=True):
    """A tenth of the rows by predicted probability: its mean prediction beside what happened."""

    predicted: float
    observed: float
    rows: int


class Metrics(msgspec.Struct, frozen=True):
    """The areas are None where all rows have the same outcome."""

    rows: int
    sessions: int
    positives: int
    roc_auc: Estimate | None
    pr_auc: Estimate | None
    log_loss: Estimate
    brier: Estimate
    ece: Estimate
    base_rate: float
    base_rate_log_loss: float
    reliability: tuple[ReliabilityBin, ...]


def log_losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def ranked_areas(y: np.ndarray, p: np.ndarray) -> Callable[[np.ndarray], tuple[float, float]]:
    """A function of row weights giving (ROC-AUC, average precision); sorts once, ties share a
    threshold."""
    order = np.argsort(-p, kind="stable")
    ranked, starts = y[order], np.flatnonzero(np.r_[True, np.diff(p[order]) != 0])

    def areas(weights: np.ndarray) -> tuple[float, float]:
        w = weights[order]
        positives = np.add.reduceat(w * ranked, starts)
        negatives = np.add.reduceat(w * (1 - ranked), starts)
        hits, misses = np.cumsum(positives), np.cumsum(negatives)
        if not hits[-1] or not misses[-1]:
            return np.nan, np.nan
        roc = np.sum(negatives * (hits - positives / 2)) / (hits[-1] * misses[-1])
        seen = hits + misses
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return float(roc), float(np.sum(positives * precision) / hits[-1])

    return areas


def reliability_bins(y: np.ndarray, p: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """For each row the number of its bin; bins hold equally many rows, equal predictions stay
    together."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, p, side="right")


def evaluate(
    y: np.ndarray,
    p: np.ndarray,
    session: np.ndarray,
    base_rate: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Metrics:
    """`y` 0/1, `p` calibrated, `session` any id per row, `base_rate` as known before the tested
    rows."""
    y = np.asarray(y, dtype=np.float64)
    _, member = np.unique(session, return_inverse=True)
    sessions = int(member.max()) + 1
    losses, squares, bins = log_losses(y, p), (p - y) ** 2, reliability_bins(y, p)
    areas, width = ranked_areas(y, p), int(bins.max()) + 1

    def figures(w: np.ndarray) -> tuple[float, ...]:
        gaps = np.abs(np.bincount(bins, w * (p - y), width)).sum()
        return (*areas(w), w @ losses / w.sum(), w @ squares / w.sum(), gaps / w.sum())

    rng = np.random.default_rng(seed)
    point = figures(np.ones(len(y)))
    drawn = np.array(
        [
            figures(
                np.bincount(rng.integers(0, sessions, sessions), minlength=sessions)[member].astype(float)
            )
            for _ in range(resamples)
        ]
    )
    roc, pr, loss, brier, ece = map(_estimate, point, drawn.T)
    return Metrics(
        rows=len(y),
        sessions=sessions,
        positives=int(y.sum()),
        roc_auc=roc if 0 < y.sum() < len(y) else None,
        pr_auc=pr if 0 < y.sum() < len(y) else None,
        log_loss=loss,
        brier=brier,
        ece=ece,
        base_rate=base_rate,
        base_rate_log_loss=float(log_losses(y, np.full(len(y), base_rate)).mean()),
        reliability=tuple(
            ReliabilityBin(float(p[bins == b].mean()), float(y[bins == b].mean()), int((bins == b).sum()))
            for b in np.unique(bins)
        ),
    )


def gain_over_base_rate(
    y: np.ndarray,
    p: np.ndarray,
    session: np.ndarray,
    base_rate: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """How much lower the mean log-loss is than the base rate's; above 0 is better."""
    _, member = np.unique(session, return_inverse=True)
    gains = log_losses(y, np.full(len(y), base_rate)) - log_losses(y, p)
    total, rows = np.bincount(member, gains), np.bincount(member).astype(float)
    rng = np.random.default_rng(seed)
    picks = (rng.integers(0, len(rows), len(rows)) for _ in range(resamples))
    drawn = np.array([total[p].sum() / rows[p].sum() for p in picks])
    return _estimate(float(gains.mean()), drawn)


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    drawn = drawn[~np.isnan(drawn)]  # a resample may hold one outcome only, and then has no area
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))
