"""A picture of calibration, as SVG, so that no plotting library is needed."""

from xml.sax.saxutils import escape

from models.behavior.report import BehaviorReport, TargetReport

SIDE, MARGIN, TITLE = 220, 44, 60
INK, QUIET, MARK = "#333", "#bbb", "#1f6fb2"


def reliability_svg(report: BehaviorReport) -> str:
    """One panel a target: what happened against what was predicted on later sessions. The diagonal
    is perfect; a dot's area is its share of rows; both axes end at the panel's largest value."""
    step = SIDE + 2 * MARGIN
    width, height = len(report.targets) * step, SIDE + TITLE + MARGIN
    data = f"{report.provenance}; {report.caveat}" if report.caveat else report.provenance
    panels = (
        _panel(name, target, MARGIN + i * step) for i, (name, target) in enumerate(report.targets.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f"{_text(MARGIN, 20, f'Calibration on later sessions, {data}')}{''.join(panels)}</svg>\n"
    )


def _panel(name: str, target: TargetReport, left: int) -> str:
    bins, bottom, right = target.test.reliability, TITLE + SIDE, left + SIDE
    most = max(max(b.predicted, b.observed) for b in bins) or 1.0
    dots = "".join(
        f'<circle cx="{left + SIDE * b.predicted / most:.1f}" '
        f'cy="{bottom - SIDE * b.observed / most:.1f}" '
        f'r="{10 * (b.rows / target.test.rows) ** 0.5:.1f}" fill="{MARK}" fill-opacity="0.7"/>'
        for b in bins
    )
    frame = (
        f'<rect x="{left}" y="{TITLE}" width="{SIDE}" height="{SIDE}" fill="none" '
        f'stroke="{QUIET}"/>'
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{TITLE}" stroke="{QUIET}"/>'
    )
    heading = f"{name} ({target.kind}), ECE {target.test.ece.value:.3f}"
    labels = (
        _text(left, TITLE - 12, heading)
        + _text(left, bottom + 16, "0")
        + _text(right, bottom + 16, f"predicted {most:.2f}", "end")
        + _text(left - 6, TITLE + 10, f"{most:.2f}", "end")
    )
    return frame + dots + labels


def _text(x: int, y: int, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
