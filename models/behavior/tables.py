"""A behaviour report as sections for people."""

from collections.abc import Iterator

from models.behavior.metrics import Estimate, Metrics
from models.behavior.plot import curves_svg
from models.behavior.report import BehaviorReport, TargetReport
from models.behavior.slices import Slice
from models.document import Picture, Section, Table

PROBABILITIES = {
    "ROC-AUC": "roc_auc",
    "PR-AUC": "pr_auc",
    "log-loss": "log_loss",
    "Brier": "brier",
    "ECE": "ece",
}
CALLS = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "F1": "f1"}
UNKNOWN = "–"


def shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return UNKNOWN
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def behavior_sections(report: BehaviorReport) -> list[Section]:
    """What was tested on what, then a section for each target."""
    return [_summary(report), *(target_section(name, report) for name in report.targets)]


def data_line(report: BehaviorReport) -> str:
    data = report.provenance if report.caveat is None else f"{report.provenance}; {report.caveat}"
    return f"Whose data: {data}."


def overview(report: BehaviorReport) -> Table:
    """One line for each target and number of events seen."""
    head = ("target", "rows standing", "sessions", "rows", "positive", "ROC-AUC", "F1", "ECE")
    rows = tuple(
        (name, s.title, str(s.sessions), str(s.rows), str(s.positives), *_overview_cells(s))
        for name, target in report.targets.items()
        for s in target.slices
    )
    return Table("Later, unseen sessions; 95 % intervals from resampling whole sessions", head, rows)


def target_section(name: str, report: BehaviorReport) -> Section:
    target = report.targets[name]
    caption = f"{name}: ROC, precision and recall, calibration, by events seen"
    drawn = any(part.test for part in target.slices)
    return Section(
        f"Behaviour: {name}",
        (_choice(target), data_line(report)),
        (_probabilities(target), _calls(target), _confusion(target), _reliability(target)),
        (Picture(caption, curves_svg(name, report)),) if drawn else (),
    )


def _summary(report: BehaviorReport) -> Section:
    parts = (
        (part, *report.periods[part], str(report.sessions[part]), str(report.rows[part]))
        for part in report.sessions
    )
    cut = Table(
        "Parts of the data, in order of time", ("part", "from", "to", "sessions", "rows"), tuple(parts)
    )
    text = (
        "Earlier sessions train, later ones choose, calibrate and set the threshold, and the latest are "
        "tested on. Rows standing after n events are those whose session had just had its n-th event; "
        "sessions that never had so many are not among them, and sessions without a client's session id "
        "are in “all rows” only.",
        data_line(report),
    )
    return Section("Behaviour", text, (overview(report), cut))


def _choice(target: TargetReport) -> str:
    point = target.operating
    reached = "" if point.validation_f1 is None else f" ({point.validation_f1:.3f} there)"
    return (
        f"Model: {target.kind} ({target.why}). Base rate {target.prior:.3f}. A row is called positive from a "
        f"probability of {point.threshold:.3f} on: {point.why}{reached}."
    )


def _probabilities(target: TargetReport) -> Table:
    head = ("rows standing", "sessions", "by", *PROBABILITIES, "log-loss saved by the model")
    rows = ((*row, shown(gain) if gain else "") for *row, gain in _rows(target, PROBABILITIES))
    return Table("Probabilities, with 95 % intervals", head, tuple(rows))


def _calls(target: TargetReport) -> Table:
    head = ("rows standing", "sessions", "by", *CALLS)
    caption = f"Calls, with 95 % intervals: the model's from {target.operating.threshold:.3f} on"
    return Table(caption, head, tuple(row[:-1] for row in _rows(target, CALLS)))


def _rows(target: TargetReport, figures: dict[str, str]) -> Iterator[tuple]:
    """Cells, and last the model's gain over that line's baseline."""
    for part in target.slices:
        if part.test is None:
            yield (part.title, str(part.sessions), f"too few: {part.too_few}", *("",) * len(figures), None)
            continue
        yield (part.title, str(part.sessions), f"model ({target.kind})", *_cells(part.test, figures), None)
        for name, baseline in part.baselines.items():
            yield ("", "", name, *_cells(baseline.test, figures), baseline.gain)


def _cells(test: Metrics, figures: dict[str, str]) -> tuple[str, ...]:
    return tuple(shown(getattr(test, field)) for field in figures.values())


def _confusion(target: TargetReport) -> Table:
    head = (
        "rows standing",
        "called and happened",
        "called, did not happen",
        "not called, happened",
        "neither",
    )
    rows = (
        (
            s.title,
            *map(str, (c.true_positive, c.false_positive, c.false_negative, c.true_negative)),
        )
        for s in target.slices
        if s.test is not None and (c := s.test.confusion)
    )
    return Table(f"Confusion matrix at {target.operating.threshold:.3f}, in rows", head, tuple(rows))


def _reliability(target: TargetReport) -> Table:
    rows = tuple(
        (f"{b.predicted:.3f}", shown(Estimate(b.observed, b.low, b.high)), str(b.rows))
        for b in target.test.reliability
    )
    return Table("Calibration, all rows, by tenths", ("predicted", "happened", "rows"), rows)


def _overview_cells(part: Slice) -> tuple[str, ...]:
    if part.test is None:
        return (f"too few: {part.too_few}", "", "")
    return shown(part.test.roc_auc), shown(part.test.f1), shown(part.test.ece)
