"""Figures by how much of the session a row has seen, beside what simple baselines reach on the same
rows."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from models.behavior.curves import Curve, precision_recall_curve, roc_curve
from models.behavior.metrics import Estimate, Metrics, evaluate, log_loss_gain

AFTER_EVENTS = (1, 3, 5, 10)
MIN_SLICE_SESSIONS = 10
"""So many sessions must have a positive row, and so many a negative one, for figures to be given."""


class Prediction(NamedTuple):
    """Calibrated probabilities of the test rows, and the threshold chosen before them."""

    p: np.ndarray
    threshold: float


class Baseline(msgspec.Struct, frozen=True):
    """`gain`: how much lower the model's log-loss is than the baseline's, on the same rows."""

    test: Metrics
    gain: Estimate


class Slice(msgspec.Struct, frozen=True):
    """The test rows that stand after exactly `events` events of their client session; None: all test
    rows. `sessions` is how many have such a row, `positives` counts rows. Where `too_few` says why,
    there are no figures. Curves are None for a model with one answer for all."""

    events: int | None
    rows: int
    sessions: int
    positives: int
    too_few: str | None = None
    test: Metrics | None = None
    roc: Curve | None = None
    precision_recall: Curve | None = None
    baselines: dict[str, Baseline] = {}

    @property
    def title(self) -> str:
        if self.events is None:
            return "all rows"
        return f"after {self.events} event{'s' if self.events > 1 else ''}"


def measure_slices(
    y: np.ndarray,
    session: np.ndarray,
    seen: np.ndarray,
    model: Prediction,
    baselines: Mapping[str, Prediction],
    base_rate: float,
    seed: int,
) -> tuple[Slice, ...]:
    """`seen`: events of the row's session up to the row, 0 where its session is not the client's."""

    def measured(events: int | None) -> Slice:
        at = np.flatnonzero(seen == events) if events else np.arange(len(y))
        counted = Slice(events, len(at), len(np.unique(session[at])), int(y[at].sum()))
        if why := too_few_sessions(y[at], session[at], MIN_SLICE_SESSIONS):
            return msgspec.structs.replace(counted, too_few=why)
        rows = y[at], session[at]
        ranks = len(np.unique(model.p[at])) > 1
        return msgspec.structs.replace(
            counted,
            test=_evaluate(*rows, model, at, base_rate, seed),
            roc=roc_curve(y[at], model.p[at], session[at], seed) if ranks else None,
            precision_recall=precision_recall_curve(y[at], model.p[at], session[at], seed) if ranks else None,
            baselines={
                name: Baseline(
                    _evaluate(*rows, other, at, base_rate, seed),
                    log_loss_gain(y[at], model.p[at], other.p[at], session[at], seed),
                )
                for name, other in baselines.items()
            },
        )

    return tuple(measured(events) for events in (None, *AFTER_EVENTS))


def too_few_sessions(y: np.ndarray, session: np.ndarray, least: int) -> str | None:
    for outcome, name in ((1, "positive"), (0, "negative")):
        found = len(np.unique(session[y == outcome]))
        if found < least:
            return f"{found} sessions with a {name} row, {least} are needed"
    return None


def _evaluate(
    y: np.ndarray, session: np.ndarray, scored: Prediction, at: np.ndarray, base_rate: float, seed: int
) -> Metrics:
    return evaluate(y, scored.p[at], session, base_rate, seed, scored.threshold)
