"""Pictures of how a target was predicted, as SVG. The same report gives the same bytes."""

import warnings
from collections.abc import Iterator
from io import StringIO
from textwrap import shorten

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.behavior.report import BehaviorReport
from models.behavior.slices import Slice

PANELS = ("ROC", "precision and recall", "calibration")
SETTINGS = {
    "svg.fonttype": "none",  # the viewer's fonts, so that a picture is small and shows any script
    "svg.hashsalt": "intent",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = {None: "#333333", 1: "#fdb42f", 3: "#ed7953", 5: "#9c179e", 10: "#0d0887"}
GUIDE = "#bbbbbb"
MAX_TITLE = 160


def curves_svg(target: str, report: BehaviorReport) -> str:
    """ROC, precision-recall and calibration of one target on later sessions, a colour for each number
    of events seen; bands and bars are 95 % intervals."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the viewer draws the letters
        figure = Figure(figsize=(13, 4.4), layout="constrained")
        axes = dict(zip(PANELS, figure.subplots(1, 3), strict=True))
        measured = report.targets[target]
        shown = [s for s in measured.slices if s.test is not None]
        _guides(axes, measured.test.positives / measured.test.rows)
        for part in shown:
            _draw(axes, part)
        for panel in axes.values():
            if panel.get_legend_handles_labels()[0]:
                panel.legend(frameon=False, fontsize=8)
        data = f"{report.provenance}; {report.caveat}" if report.caveat else report.provenance
        title = f"{target} ({measured.kind}) on later, unseen sessions; {data}"
        figure.suptitle(_plain(shorten(title, MAX_TITLE, placeholder=" …")), x=0.01, ha="left", fontsize=10)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _guides(axes: dict[str, Axes], positive_share: float) -> None:
    roc, pr, calibration = axes.values()
    roc.plot([0, 1], [0, 1], color=GUIDE, lw=1)
    pr.axhline(positive_share, color=GUIDE, lw=1)
    calibration.axline((0, 0), slope=1, color=GUIDE, lw=1)
    for panel, x, y in (
        (roc, "false positive rate", "recall"),
        (pr, "recall", "precision"),
        (calibration, "predicted probability", "share that happened"),
    ):
        panel.set(xlabel=x, ylabel=y, title=next(n for n, a in axes.items() if a is panel))
    for panel in (roc, pr):
        panel.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))


def _draw(axes: dict[str, Axes], part: Slice) -> None:
    roc, pr, calibration = axes.values()
    colour = COLOURS.get(part.events, GUIDE)
    for panel, curve, area in (
        (roc, part.roc, part.test.roc_auc),
        (pr, part.precision_recall, part.test.pr_auc),
    ):
        if curve is not None and area is not None:
            panel.plot(curve.x, curve.y, color=colour, lw=1.4, label=f"{part.title}: {area.value:.3f}")
            panel.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.1, lw=0)
    predicted, observed, *bars = zip(*_reliability(part), strict=True)
    calibration.errorbar(
        predicted,
        observed,
        yerr=bars,
        color=colour,
        marker="o",
        markersize=3,
        lw=1,
        elinewidth=0.6,
        label=f"{part.title}: ECE {part.test.ece.value:.3f}",
    )


def _reliability(part: Slice) -> Iterator[tuple[float, float, float, float]]:
    for b in part.test.reliability:
        yield b.predicted, b.observed, max(0.0, b.observed - b.low), max(0.0, b.high - b.observed)


def _plain(text: str) -> str:
    """A dollar sign would begin a formula."""
    return text.replace("$", r"\$")
