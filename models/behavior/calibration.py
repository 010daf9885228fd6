"""Fits the calibration that models/runtime applies."""

import numpy as np
from scipy.optimize import minimize

from models.runtime.calibration import Calibration, log_odds_terms

BETA_FROM_POSITIVES = 500
"""Calibration rows of the rarer outcome from which the three-parameter form is used instead of
Platt's."""


def fit_calibration(y: np.ndarray, raw: np.ndarray) -> Calibration:
    """Maximum likelihood, with Platt's smoothed targets; slopes are kept above 0 so that order
    stays."""
    log_p, log_q = log_odds_terms(raw)
    positives, negatives = y.sum(), (1 - y).sum()
    goal = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    beta = min(positives, negatives) >= BETA_FROM_POSITIVES
    terms = np.column_stack([log_p, -log_q] if beta else [log_p - log_q])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = terms @ theta[:-1] + theta[-1]
        residual = 1 / (1 + np.exp(-z)) - goal
        mean = (np.logaddexp(0, z) - goal * z).mean()
        return mean, np.append(terms.T @ residual, residual.sum()) / len(y)

    slopes = terms.shape[1]
    start, bounds = np.append(np.ones(slopes), 0.0), [(1e-3, None)] * slopes + [(None, None)]
    *slope, c = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return Calibration("beta" if beta else "platt", slope[0], slope[-1], c)
