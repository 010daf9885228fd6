"""Stage parameters refined on sessions nobody labelled: expectation maximisation.

Baum-Welch over whole sessions (Rabiner 1989, section III.C), with Dirichlet priors around the declared
numbers, so that each stage goes on meaning what its name says: the expected counts of the sessions are
added to the declared probabilities, which weigh DECLARED_WEIGHT times as much as the sessions do.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from models.runtime.stage import (
    DECLARED,
    KINDS,
    PAUSES,
    STAGES,
    Probabilities,
    StageParameters,
    observed,
)
from models.stage.sessions import StageSession

MIN_SESSIONS = 500
LATER_SHARE = 0.2
DECLARED_WEIGHT = 2.0
ITERATIONS = 30
ENOUGH = 1e-5

_PURCHASE = KINDS.index("purchase")
_NO_PAUSE = len(PAUSES)


class StageFit(msgspec.Struct, frozen=True):
    """What came of the fit. Log likelihoods are means a step of later sessions, in nats; None where
    there were too few sessions to fit."""

    parameters: StageParameters
    sessions: int
    steps: int
    iterations: int
    declared_log_likelihood: float | None
    fitted_log_likelihood: float | None

    def lines(self) -> list[str]:
        if self.fitted_log_likelihood is None:
            return [f"{self.sessions} sessions are too few to fit ({MIN_SESSIONS}): the declared numbers"]
        return [
            f"parameters: {self.parameters.origin}",
            f"fitted without labels on {self.sessions} sessions, {self.steps} steps, "
            f"{self.iterations} iterations",
            f"log likelihood a step on later sessions: declared {self.declared_log_likelihood:.4f}, "
            f"fitted {self.fitted_log_likelihood:.4f}",
        ]


class Sequences(NamedTuple):
    """Sessions side by side: `kinds` and `pauses` int [n, longest], `lengths` and `bought` [n]."""

    kinds: np.ndarray
    pauses: np.ndarray
    lengths: np.ndarray
    bought: np.ndarray

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())


class Matrices(NamedTuple):
    """StageParameters as arrays: `priors` [2, S], `turns` [2, S, S] (second: after a purchase), `kinds`
    [S, K], `pauses` [S, P]."""

    priors: np.ndarray
    turns: np.ndarray
    kinds: np.ndarray
    pauses: np.ndarray


def fit_stages(sessions: Sequence[StageSession], declared: StageParameters = DECLARED) -> StageFit:
    """Parameters from `sessions`, in order of time: fitted on the earlier, kept if they explain the later
    ones better than the declared do."""
    later = int(len(sessions) * LATER_SHARE)
    if len(sessions) < MIN_SESSIONS:
        return StageFit(declared, len(sessions), sum(len(s.steps) for s in sessions), 0, None, None)
    earlier, unseen = sequences(sessions[: len(sessions) - later]), sequences(sessions[-later:])
    prior = matrices(declared)
    fitted, iterations = baum_welch(earlier, prior)
    before = log_likelihood(unseen, prior) / unseen.steps
    after = log_likelihood(unseen, fitted) / unseen.steps
    origin = f"declared, and fitted without labels on {len(earlier.lengths)} sessions"
    chosen = parameters_of(fitted, declared, origin) if after > before else declared
    return StageFit(chosen, len(earlier.lengths), earlier.steps, iterations, before, after)


def sequences(sessions: Sequence[StageSession]) -> Sequences:
    seen = [[step for step in observed(s.steps) if step is not None] for s in sessions]
    lengths = np.array([len(s) for s in seen])
    shape = len(seen), int(lengths.max(initial=1))
    kinds, pauses = np.zeros(shape, np.int64), np.full(shape, _NO_PAUSE, np.int64)
    for row, steps in enumerate(seen):
        kinds[row, : len(steps)] = [kind for kind, _ in steps]
        pauses[row, : len(steps)] = [_NO_PAUSE if pause is None else pause for _, pause in steps]
    return Sequences(kinds, pauses, lengths, np.array([int(s.bought_before) for s in sessions]))


def baum_welch(data: Sequences, declared: Matrices) -> tuple[Matrices, int]:
    """The fitted matrices and the number of iterations taken."""
    weights = _weights(data, declared)
    current, before, iteration = declared, -np.inf, 0
    while iteration < ITERATIONS:
        iteration += 1
        counts, likelihood = expected_counts(data, current)
        current = Matrices(
            *(
                _probabilities(count + weight * first)
                for count, weight, first in zip(counts, weights, declared, strict=True)
            )
        )
        if likelihood - before < ENOUGH * data.steps:
            break
        before = likelihood
    return current, iteration


def _weights(data: Sequences, declared: Matrices) -> list[np.ndarray]:
    """How many counts each row of the declared matrices stands for: a share of what is expected of it."""
    counts, _ = expected_counts(data, declared)
    return [1 + DECLARED_WEIGHT * count.sum(axis=-1, keepdims=True) for count in counts]


def _probabilities(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=-1, keepdims=True)


def expected_counts(data: Sequences, model: Matrices) -> tuple[Matrices, float]:
    """How often each thing is expected to have happened, and the log likelihood of the data."""
    emitted = _emitted(data, model)
    after_purchase = (data.kinds == _PURCHASE).astype(np.int64)
    forward, scales = _forward(data, model, emitted, after_purchase)
    n, longest, size = emitted.shape
    here = np.arange(longest) < data.lengths[:, None]
    backward = np.ones((n, size))
    posterior = np.zeros_like(emitted)
    turns = np.zeros_like(model.turns)
    for t in range(longest - 1, -1, -1):
        posterior[:, t] = forward[:, t] * backward * here[:, [t]]
        if t:
            onward = emitted[:, t] * backward / scales[:, [t]]
            for group in (0, 1):
                rows = here[:, t] & (after_purchase[:, t - 1] == group)
                turns[group] += forward[rows, t - 1].T @ onward[rows] * model.turns[group]
            stepped = np.einsum("nij,nj->ni", model.turns[after_purchase[:, t - 1]], onward)
            backward = np.where(here[:, [t]], stepped, 1.0)
    kinds = np.stack([posterior[data.kinds == k].sum(axis=0) for k in range(len(KINDS))], axis=1)
    pauses = np.stack([posterior[data.pauses == p].sum(axis=0) for p in range(len(PAUSES))], axis=1)
    priors = np.stack([posterior[data.bought == b, 0].sum(axis=0) for b in (0, 1)])
    return Matrices(priors, turns, kinds, pauses), float(np.log(scales[here]).sum())


def log_likelihood(data: Sequences, model: Matrices) -> float:
    after_purchase = (data.kinds == _PURCHASE).astype(np.int64)
    _, scales = _forward(data, model, _emitted(data, model), after_purchase)
    here = np.arange(scales.shape[1]) < data.lengths[:, None]
    return float(np.log(scales[here]).sum())


def _forward(
    data: Sequences, model: Matrices, emitted: np.ndarray, after_purchase: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Filtered probabilities [n, longest, S] and what each step was divided by [n, longest]."""
    forward, scales = np.zeros_like(emitted), np.ones(emitted.shape[:2])
    state = model.priors[data.bought]
    for t in range(emitted.shape[1]):
        if t:
            state = np.einsum("ni,nij->nj", forward[:, t - 1], model.turns[after_purchase[:, t - 1]])
        state = state * emitted[:, t]
        scales[:, t] = state.sum(axis=1)
        forward[:, t] = state / scales[:, [t]]
    return forward, scales


def _emitted(data: Sequences, model: Matrices) -> np.ndarray:
    """Likelihood of each step in each stage [n, longest, S]; beyond a session's end it means nothing."""
    pauses = np.vstack([model.pauses.T, np.ones(len(STAGES))])
    return model.kinds.T[data.kinds] * pauses[data.pauses]


def matrices(parameters: StageParameters) -> Matrices:
    def table(rows: dict[str, Probabilities]) -> np.ndarray:
        return np.array([list(row.values()) for row in rows.values()])

    return Matrices(
        np.array([list(parameters.prior.values()), list(parameters.prior_after_purchase.values())]),
        np.stack([table(parameters.turns), table(parameters.turns_after_purchase)]),
        table(parameters.kinds),
        table(parameters.pauses),
    )


def parameters_of(fitted: Matrices, declared: StageParameters, origin: str) -> StageParameters:
    """Text evidence stays as declared: a log's text does not say which stage it was typed in."""

    def row(names: Sequence[str], values: np.ndarray) -> Probabilities:
        return dict(zip(names, (values / values.sum()).tolist(), strict=True))

    def table(names: Sequence[str], rows: np.ndarray) -> dict[str, Probabilities]:
        return {stage: row(names, values) for stage, values in zip(STAGES, rows, strict=True)}

    return StageParameters(
        origin=origin,
        prior=row(STAGES, fitted.priors[0]),
        prior_after_purchase=row(STAGES, fitted.priors[1]),
        turns=table(STAGES, fitted.turns[0]),
        turns_after_purchase=table(STAGES, fitted.turns[1]),
        kinds=table(KINDS, fitted.kinds),
        pauses=table(PAUSES, fitted.pauses),
        text=declared.text,
    )
