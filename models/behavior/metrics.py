"""How good probabilities are, with intervals from resampling whole sessions.

Rows of one session share their outcome, so resampling rows would make intervals far too narrow.
"""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np

RESAMPLES = 400
ECE_BINS = 10
_EPSILON = 1e-15
_CELLS = 2_000_000
"""Resamples are taken a few at a time, so that weights of about this many rows are held at once."""


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class ReliabilityBin(msgspec.Struct, frozen=True):
    """A tenth of the rows by predicted probability: its mean prediction beside what happened, with
    the 95 % interval of the latter."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


class Confusion(msgspec.Struct, frozen=True):
    """Rows by what was said and what happened."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class Metrics(msgspec.Struct, frozen=True):
    """The areas are None where all rows have the same outcome; precision is where no row is called
    positive, recall where none is, and F1 where both hold. These three, the accuracy and the
    confusion matrix call a row positive from `threshold` on."""

    rows: int
    sessions: int
    positives: int
    roc_auc: Estimate | None
    pr_auc: Estimate | None
    log_loss: Estimate
    brier: Estimate
    ece: Estimate
    threshold: float
    accuracy: Estimate
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    confusion: Confusion
    base_rate: float
    base_rate_log_loss: float
    reliability: tuple[ReliabilityBin, ...]


def log_losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def resampled_sessions(
    member: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each session is drawn, [r, sessions], and with it each row, [r, n]; all resamples
    in turns of a few. `member`: the number of each row's session, from 0."""
    sessions = int(member.max()) + 1
    rng, step = np.random.default_rng(seed), max(1, _CELLS // len(member))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.multinomial(sessions, np.full(sessions, 1 / sessions), size).astype(float)
        yield drawn, drawn[:, member]


def ranked_counts(y: np.ndarray, p: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function of row weights [r, n] giving the positives and the negatives at or above each
    distinct prediction, from the highest down: two arrays [r, predictions]. Sorts once."""
    order = np.argsort(-p, kind="stable")
    ranked, starts = y[order], np.flatnonzero(np.r_[True, np.diff(p[order]) != 0])

    def counts(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = weights[:, order]
        hits = np.cumsum(np.add.reduceat(w * ranked, starts, axis=1), axis=1)
        return hits, np.cumsum(np.add.reduceat(w, starts, axis=1), axis=1) - hits

    return counts


def areas(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """[r, 2], ROC-AUC and average precision, of what `ranked_counts` gives; NaN where all rows have
    the same outcome."""
    positives = np.diff(hits, axis=1, prepend=0)
    negatives = np.diff(misses, axis=1, prepend=0)
    seen = hits + misses
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    total, other = hits[:, -1], misses[:, -1]
    roc = _ratio((negatives * (hits - positives / 2)).sum(axis=1), total * other)
    pr = _ratio((positives * precision).sum(axis=1), total * (other > 0))
    return np.column_stack([roc, pr])


def reliability_bins(y: np.ndarray, p: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """For each row the number of its bin; bins hold equally many rows, equal predictions stay
    together."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    _, number = np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True)
    return number


def evaluate(
    y: np.ndarray,
    p: np.ndarray,
    session: np.ndarray,
    base_rate: float,
    seed: int,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
) -> Metrics:
    """`y` 0/1, `p` calibrated, `session` any id per row, `base_rate` and `threshold` as known before
    the tested rows."""
    y = np.asarray(y, dtype=np.float64)
    _, member = np.unique(session, return_inverse=True)
    bins, counts = reliability_bins(y, p), ranked_counts(y, p)
    width = int(bins.max()) + 1
    summed = _session_sums(_row_terms(y, p, p >= threshold, bins, width), member)

    point = _figures(summed.sum(axis=0)[None], width, areas(*counts(np.ones((1, len(y))))))[0]
    drawn = np.concatenate(
        [
            _figures(sessions @ summed, width, areas(*counts(rows)))
            for sessions, rows in resampled_sessions(member, seed, resamples)
        ]
    )
    roc, pr, loss, brier, ece, accuracy, precision, recall, f1, *observed = map(
        known_estimate, point, drawn.T
    )
    in_bin = np.bincount(bins)
    right, false_alarms, missed = _confusion_terms(y, p >= threshold)
    return Metrics(
        rows=len(y),
        sessions=len(summed),
        positives=int(y.sum()),
        roc_auc=roc,
        pr_auc=pr,
        log_loss=loss,
        brier=brier,
        ece=ece,
        threshold=threshold,
        accuracy=accuracy,
        precision=precision,
        recall=recall,
        f1=f1,
        confusion=Confusion(
            int(right.sum()),
            int(false_alarms.sum()),
            int(missed.sum()),
            int(len(y) - (right + false_alarms + missed).sum()),
        ),
        base_rate=base_rate,
        base_rate_log_loss=float(log_losses(y, np.full(len(y), base_rate)).mean()),
        reliability=tuple(
            ReliabilityBin(float(predicted), o.value, o.low, o.high, int(rows))
            for predicted, o, rows in zip(np.bincount(bins, p) / in_bin, observed, in_bin, strict=True)
        ),
    )


def log_loss_gain(
    y: np.ndarray,
    p: np.ndarray,
    over: np.ndarray | float,
    session: np.ndarray,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """How much lower the mean log-loss of `p` is than that of the probabilities `over`, on the same
    rows; above 0 is better."""
    _, member = np.unique(session, return_inverse=True)
    gains = log_losses(y, np.broadcast_to(over, p.shape)) - log_losses(y, p)
    summed = _session_sums([gains, np.ones(len(gains))], member)
    drawn = np.concatenate([sessions @ summed for sessions, _ in resampled_sessions(member, seed, resamples)])
    return estimate(float(gains.mean()), drawn[:, 0] / drawn[:, 1])


def estimate(value: float, drawn: np.ndarray) -> Estimate:
    drawn = drawn[~np.isnan(drawn)]  # a resample may hold one outcome only, and then has no area
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    # the calibration error of a resample is more than that of the rows, whose chance it repeats
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


def known_estimate(value: float, drawn: np.ndarray) -> Estimate | None:
    return None if np.isnan(value) else estimate(value, drawn)


def _row_terms(
    y: np.ndarray, p: np.ndarray, called: np.ndarray, bins: np.ndarray, width: int
) -> list[np.ndarray]:
    """What `_figures` reads the sums of: seven terms of a row, then its prediction, its outcome and
    itself, each in the place of its bin."""
    place = np.arange(width)[:, None] == bins
    return [
        np.ones(len(y)),
        log_losses(y, p),
        (p - y) ** 2,
        *_confusion_terms(y, called),
        *(place * p),
        *(place * y),
        *place.astype(float),
    ]


def _confusion_terms(y: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives."""
    return called * y, called * (1 - y), ~called * y


def _figures(sums: np.ndarray, width: int, ranked: np.ndarray) -> np.ndarray:
    """[r, 9 + width]: the areas, log-loss, Brier, ECE, accuracy, precision, recall, F1 and what was
    observed in each bin."""
    rows, loss, square, right, false_alarms, missed = sums[:, :6].T
    predicted, observed, in_bin = (sums[:, 6 + i * width : 6 + (i + 1) * width] for i in range(3))
    return np.column_stack(
        [
            ranked,
            loss / rows,
            square / rows,
            np.abs(predicted - observed).sum(axis=1) / rows,
            1 - (false_alarms + missed) / rows,
            _ratio(right, right + false_alarms),
            _ratio(right, right + missed),
            _ratio(2 * right, 2 * right + false_alarms + missed),
            _ratio(observed, in_bin),
        ]
    )


def _session_sums(terms: list[np.ndarray], member: np.ndarray) -> np.ndarray:
    return np.column_stack([np.bincount(member, term) for term in terms])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
