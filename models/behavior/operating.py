"""The probability from which a row is called positive: one a model, chosen on validation sessions."""

import msgspec
import numpy as np

from models.behavior.metrics import ranked_counts

HIGHEST_F1 = "highest F1 on the validation sessions"
COMMONER_FROM = 0.5
COMMONER = "the same answer for every row: the commoner outcome is called"


class OperatingPoint(msgspec.Struct, frozen=True):
    """`validation_f1` is None for a base rate, which ranks nobody."""

    threshold: float
    why: str
    validation_f1: float | None = None


def operating_point(y: np.ndarray, p: np.ndarray) -> OperatingPoint:
    """Of equal F1, the highest threshold. A threshold is one of the predictions; rows are positive
    from it on."""
    thresholds = np.unique(p)[::-1]
    if len(thresholds) == 1:
        return OperatingPoint(COMMONER_FROM, COMMONER)
    (hits,), (misses,) = ranked_counts(np.asarray(y, dtype=np.float64), p)(np.ones((1, len(y))))
    f1 = 2 * hits / (hits + misses + hits[-1])
    best = int(f1.argmax())
    return OperatingPoint(float(thresholds[best]), HIGHEST_F1, float(f1[best]))
