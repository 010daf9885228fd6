"""Calibration: from a model's raw probability to one that can be read as a frequency.

Beta calibration (Kull, Silva Filho and Flach 2017): `sigmoid(a ln p - b ln(1 - p) + c)` with a, b
> 0. With a = b it is Platt scaling of the logit. It is strictly increasing, so it neither
reorders shoppers nor hides a feature's effect behind a plateau as isotonic regression does, and
it never answers 0 or 1.
"""

from typing import Literal

import msgspec
import numpy as np

_EPSILON = 1e-7


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["none", "platt", "beta"]
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64, in the shape of `raw`."""
        if self.kind == "none":
            return np.asarray(raw, dtype=np.float64)
        log_p, log_q = log_odds_terms(raw)
        return 1.0 / (1.0 + np.exp(-(self.a * log_p - self.b * log_q + self.c)))


def log_odds_terms(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`ln p` and `ln(1 - p)`, kept finite."""
    p = np.clip(np.asarray(raw, dtype=np.float64), _EPSILON, 1.0 - _EPSILON)
    return np.log(p), np.log1p(-p)
