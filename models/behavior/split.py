"""Parts of a training table, cut by time at whole sessions: models are judged on later sessions
only."""

from typing import NamedTuple

import numpy as np

SHARES = (0.6, 0.2, 0.2)


class Parts(NamedTuple):
    """Row numbers of each part, and how many rows belong to none.

    Those are rows of a session that started in one part and went on past the start of the next.
    """

    train: np.ndarray
    calibrate: np.ndarray
    test: np.ndarray
    cut_off: int


class Dataset(NamedTuple):
    """`inputs` float32 [n, F]; `labels` int8 [n] by target; `session` an id per row."""

    inputs: np.ndarray
    labels: dict[str, np.ndarray]
    session: np.ndarray
    time: np.ndarray
    parts: Parts

    def part(self, name: str) -> np.ndarray:
        return getattr(self.parts, name)


def split_by_time(session: np.ndarray, time: np.ndarray, shares: tuple[float, ...] = SHARES) -> Parts:
    """`session`: an id per row; `time`: of the row. Sessions are ordered by their first row, and
    shared out whole; sessions that start at the same instant stay together."""
    ids, member = np.unique(session, return_inverse=True)
    starts = np.full(len(ids), time.max())
    np.minimum.at(starts, member, time)
    in_order = np.sort(starts)
    cuts = [in_order[min(int(len(ids) * s), len(ids) - 1)] for s in np.cumsum(shares)[:-1]]
    part = np.searchsorted(cuts, starts, side="right")[member]
    past_end = np.zeros(len(time), dtype=bool)
    for i, cut in enumerate(cuts):
        past_end |= (part == i) & (time >= cut)
    rows = [np.flatnonzero((part == i) & ~past_end) for i in range(len(shares))]
    return Parts(*rows, cut_off=int(past_end.sum()))
