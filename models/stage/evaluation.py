"""Inferred stages against a simulation's ground truth. Real logs have none, so these figures say how well
the tracker recovers what the simulated shoppers were doing, and nothing of real ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from models.document import Section, Table
from models.runtime.stage import STAGES, StageModel
from models.stage.fit import StageFit
from models.stage.sessions import StageSession

AFTER_EVENTS = (1, 3, 5, 10)
DATA = "simulated shoppers"
TITLE = "Stage of the visit"


class StageFigures(msgspec.Struct, frozen=True):
    """`confusion[i][j]`: sessions whose stage is STAGES[i], taken for STAGES[j]. A stage that is nobody's
    and is never answered has no share in `macro_f1`."""

    sessions: int
    accuracy: float
    macro_f1: float
    confusion: tuple[tuple[int, ...], ...]


class StageReport(msgspec.Struct, frozen=True):
    """`figures`: by name of the parameters, then by the number of events seen. `most_common`: the accuracy
    of always answering the stage most sessions are in, by the number of events."""

    data: str
    figures: dict[str, dict[int, StageFigures]]
    most_common: dict[int, float]

    def lines(self) -> list[str]:
        found = []
        for after, base in self.most_common.items():
            each = "; ".join(
                f"{name} {by_events[after].accuracy:.3f} (macro F1 {by_events[after].macro_f1:.3f})"
                for name, by_events in self.figures.items()
            )
            sessions = next(iter(self.figures.values()))[after].sessions
            found.append(
                f"stage after {after} event{'s' * (after > 1)} of {sessions} sessions of {self.data}, "
                f"accuracy: {each}; always the most common stage {base:.3f}"
            )
        return found


def stage_section(fit: StageFit, report: StageReport | None) -> Section:
    """For the release's report."""
    inferred = "Nobody labels stages: they are inferred."
    if report is None:
        unknown = "The log's true stages are not known, so how often they are right cannot be said."
        return Section(TITLE, (inferred, *fit.lines(), unknown))
    compared = Table(
        f"Stage at the newest event, of {report.data}",
        ("events", "sessions", "parameters", "accuracy", "macro F1", "always the most common"),
        tuple(
            (str(n), str(f.sessions), name, f"{f.accuracy:.3f}", f"{f.macro_f1:.3f}", f"{base:.3f}")
            for n, base in report.most_common.items()
            for name, by_events in report.figures.items()
            for f in (by_events[n],)
        ),
    )
    served = list(report.figures)[-1]
    confusions = (
        Table(
            f"{report.data}, after {n} events, {served}: a row a true stage, a column an answer",
            ("", *STAGES),
            tuple((s, *map(str, row)) for s, row in zip(STAGES, f.confusion, strict=True)),
        )
        for n, f in report.figures[served].items()
    )
    measured = f"Measured on {report.data}: it says nothing about real ones."
    return Section(TITLE, (inferred, *fit.lines(), measured), (compared, *confusions))


def evaluate_stages(
    models: Mapping[str, StageModel], sessions: Sequence[StageSession], truth: Path
) -> StageReport | None:
    """Each model's stage at the newest of some events, of the sessions that have as many, where `truth`
    (CSV with the columns event_id and stage) knows it; None where it knows none.

    What is served is one turn further, the stage in which the shopper goes on: the two differ after a
    purchase and hardly elsewhere.
    """
    stages = read_truth(truth, {event for s in sessions for event in s.event_ids})
    figures: dict[str, dict[int, StageFigures]] = {name: {} for name in models}
    most_common: dict[int, float] = {}
    for after in AFTER_EVENTS:
        known = [s for s in sessions if len(s.steps) >= after and s.event_ids[after - 1] in stages]
        if not known:
            continue
        actual = np.array([STAGES.index(stages[s.event_ids[after - 1]]) for s in known])
        most_common[after] = float(np.bincount(actual).max() / len(actual))
        for name, model in models.items():
            answers = np.array(
                [np.argmax(model.after_each(s.steps[:after], s.bought_before)[-1]) for s in known]
            )
            figures[name][after] = figures_of(actual, answers)
    return StageReport(DATA, figures, most_common) if most_common else None


def read_truth(path: Path, wanted: set[str]) -> dict[str, str]:
    """The stage of each of the wanted events that the file knows."""
    options = pv.ConvertOptions(include_columns=["event_id", "stage"])
    ids, found = pa.array(sorted(wanted), pa.string()), {}
    with pv.open_csv(path, convert_options=options) as batches:
        for batch in batches:
            known = batch.filter(pc.is_in(batch.column("event_id"), ids))
            found.update(zip(*(column.to_pylist() for column in known.columns), strict=True))
    return {event: stage for event, stage in found.items() if stage in STAGES}


def figures_of(actual: np.ndarray, answers: np.ndarray) -> StageFigures:
    size = len(STAGES)
    confusion = np.bincount(actual * size + answers, minlength=size * size).reshape(size, size)
    right, given, true = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    seen = (given + true) > 0
    f1 = 2 * right[seen] / (given + true)[seen]
    return StageFigures(
        len(actual),
        float(right.sum() / max(1, len(actual))),
        float(f1.mean()) if seen.any() else 0.0,
        tuple(tuple(int(n) for n in row) for row in confusion),
    )
