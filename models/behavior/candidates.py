"""The candidate models of one target: a logistic regression and gradient-boosted trees.

Both hold a prior that any shop would sign: all else equal, more in the cart, or a checkout begun,
never makes a purchase less likely. Without it, the many overlapping windows of one count take
opposite signs.
"""

from collections.abc import Mapping
from typing import Protocol

import lightgbm as lgb
import numpy as np
import onnx
from scipy.optimize import minimize
from scipy.special import expit

from models.behavior import export

RAISES_PURCHASE = ("add_to_cart_count", "checkout_count", "session_cart_amount")
PENALTIES = (1.0, 10.0, 100.0, 1_000.0)
"""On standardised weights, as scikit-learn's C = 1 / penalty. Rows of one session share their outcome,
so a log says less than its number of rows: validation decides how much less."""

SMALLEST_SCALE = 0.1
"""Standard deviations are not taken below this, so that a column that hardly ever moved in training
cannot carry a score away when it moves."""

TREES = {
    "objective": "binary",
    "learning_rate": 0.05,
    "monotone_constraints_method": "advanced",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # at these sizes, more of them mostly wait for each other
    "verbosity": -1,
}
# For a log that says much, and for one that says little.
SHAPES = (
    {"num_leaves": 15, "min_child_samples": 40, "lambda_l2": 1.0, "feature_fraction": 0.7},
    {"num_leaves": 7, "min_child_samples": 100, "lambda_l2": 10.0, "feature_fraction": 0.5},
)
MAX_TREES = 400
PATIENCE = 30


class Candidate(Protocol):
    kind: str

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Raw probabilities [n] of float32 [n, F]."""
        ...

    def graph(self) -> onnx.ModelProto: ...


def rising_columns(target: str, columns: tuple[str, ...]) -> np.ndarray:
    """True for the columns that may only raise the target's probability."""
    raising = target == "purchase"
    return np.array([raising and any(part in c for part in RAISES_PURCHASE) for c in columns])


class Logistic:
    """`sigmoid(inputs @ weights + bias)`, the penalised likelihood's optimum with `rising`
    weights >= 0."""

    kind = "logistic"

    def __init__(
        self, inputs: np.ndarray, y: np.ndarray, rising: np.ndarray, penalty: float = PENALTIES[0]
    ) -> None:
        mean = inputs.mean(axis=0, dtype=np.float64)
        scale = np.maximum(inputs.std(axis=0, dtype=np.float64), SMALLEST_SCALE)
        x, n = (inputs - mean) / scale, len(y)

        def loss_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
            w, z = theta[:-1], x @ theta[:-1] + theta[-1]
            residual = expit(z) - y
            loss = (np.logaddexp(0, z) - y * z).sum() + 0.5 * penalty * w @ w
            return loss / n, np.append(x.T @ residual + penalty * w, residual.sum()) / n

        rate = np.clip(y.mean(), 1e-6, 1 - 1e-6)
        start = np.append(np.zeros(x.shape[1]), np.log(rate / (1 - rate)))
        bounds = [(0.0, None) if up else (None, None) for up in rising] + [(None, None)]
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds)
        self.weights = (found.x[:-1] / scale).astype(np.float32)
        self.bias = np.float32(found.x[-1] - mean @ (found.x[:-1] / scale))

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return expit(inputs.astype(np.float64) @ self.weights + self.bias)

    def graph(self) -> onnx.ModelProto:
        return export.logistic_graph(self.weights, self.bias)


class Trees:
    """LightGBM, stopped when the log-loss on the validation rows no longer falls."""

    kind = "lightgbm"

    def __init__(
        self,
        inputs: np.ndarray,
        y: np.ndarray,
        rising: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray],
        seed: int,
        shape: Mapping[str, float] = SHAPES[0],
    ) -> None:
        parameters = {**TREES, **shape, "seed": seed, "monotone_constraints": rising.astype(int).tolist()}
        data = lgb.Dataset(inputs, y)
        self.booster = lgb.train(
            parameters,
            data,
            num_boost_round=MAX_TREES,
            valid_sets=[lgb.Dataset(*validation, reference=data)],
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        )

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self.booster.predict(inputs))

    def graph(self) -> onnx.ModelProto:
        return export.trees_graph(self.booster)


class Constant:
    """The base rate, for every row."""

    kind = "prior"

    def __init__(self, rate: float, width: int) -> None:
        self.rate, self.width = rate, width

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.full(len(inputs), self.rate)

    def graph(self) -> onnx.ModelProto:
        return export.constant_graph(self.rate, self.width)
