"""Live quality as a table, as Markdown and as pictures of its trend."""

import base64
from collections.abc import Sequence
from io import StringIO

import matplotlib as mpl
import msgspec
import pyarrow as pa
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from models.behavior.live import FIGURES, OVERALL, LiveFigures
from models.behavior.metrics import Estimate
from models.behavior.plot import SETTINGS

TITLES = {"roc_auc": "ROC-AUC", "log_loss": "log-loss", "brier": "Brier score", "ece": "calibration error"}
COLOURS = {"purchase": "#1f6fb2", "add_to_cart": "#c26a00", "leave": "#3b7d3b"}
MARKERS = "osD^vP"

_COUNTS = (("scored", pa.int64()), ("known", pa.int64()), ("sessions", pa.int64()))
_ESTIMATES = [(f"{figure}{end}", pa.float64()) for figure in FIGURES for end in ("", "_low", "_high")]
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("release", "target", "period")),
        *_COUNTS,
        ("base_rate", pa.float64()),
        ("excess", pa.float64()),
        *_ESTIMATES,
    ]
)


def figures_table(figures: Sequence[LiveFigures]) -> pa.Table:
    """A row a release, target and period; figures that are not known are null."""
    return pa.Table.from_pylist([_row(f) for f in figures], SCHEMA)


def _row(f: LiveFigures) -> dict:
    row = {k: v for k, v in msgspec.structs.asdict(f).items() if k not in FIGURES}
    for name in FIGURES:
        estimate: Estimate | None = getattr(f, name)
        if estimate is not None:
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row


def figures_markdown(figures: Sequence[LiveFigures]) -> str:
    lines = [
        f"| release | target | scored | known | sessions | happened | {' | '.join(TITLES.values())} |",
        f"|{'---|' * (6 + len(TITLES))}",
    ]
    for f in figures:
        if f.period == OVERALL:
            shown = (_shown(getattr(f, name)) for name in TITLES)
            rate = "" if f.base_rate is None else f"{f.base_rate:.1%}"
            counts = f"{f.scored:,} | {f.known:,} | {f.sessions:,} | {rate}"
            lines.append(f"| {f.release} | {f.target} | {counts} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _shown(estimate: Estimate | None) -> str:
    return (
        "too few" if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    )


def trends(figures: Sequence[LiveFigures]) -> dict[str, str]:
    """A picture by figure: a point a day, release and target, with its interval. Markdown."""
    by_day = [f for f in figures if f.period != OVERALL]
    return {
        f"{TITLES[name]} by day": f"![{TITLES[name]}](data:image/svg+xml;base64,{_encoded(by_day, name)})"
        for name in ("roc_auc", "ece")
        if any(getattr(f, name) is not None for f in by_day)
    }


def _encoded(by_day: Sequence[LiveFigures], name: str) -> str:
    return base64.b64encode(trend_svg(by_day, name).encode()).decode()


def trend_svg(by_day: Sequence[LiveFigures], name: str) -> str:
    """Colours are targets, markers releases."""
    releases = sorted({f.release for f in by_day})
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        axes = figure.subplots()
        for release in releases:
            for target, colour in COLOURS.items():
                known = [f for f in by_day if (f.release, f.target) == (release, target) and getattr(f, name)]
                if not known:
                    continue
                values = [getattr(f, name) for f in known]
                axes.errorbar(
                    mpl.dates.datestr2num([f.period for f in known]),
                    [e.value for e in values],
                    yerr=[
                        [max(0.0, e.value - e.low) for e in values],
                        [max(0.0, e.high - e.value) for e in values],
                    ],
                    color=colour,
                    marker=MARKERS[releases.index(release) % len(MARKERS)],
                    markersize=4,
                    lw=1,
                    elinewidth=0.7,
                    label=f"{target}, {release}",
                )
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.set(title=f"{TITLES[name]} of served scores, by day (95 % intervals)")
        axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
