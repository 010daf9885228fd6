"""Pictures for Dagster's metadata, as SVG. The same numbers give the same bytes."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from io import StringIO

import matplotlib as mpl
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from models.behavior.plot import SETTINGS


def line_chart(
    days: Sequence[str], series: Mapping[str, Sequence[float | None]], title: str, unit: str
) -> str:
    """A line a series over days `YYYY-MM-DD`, a point each; None leaves a gap."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the viewer draws the letters
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.subplots()
        at = mpl.dates.date2num([date.fromisoformat(day) for day in days])
        for n, (name, values) in enumerate(series.items()):
            points = [float("nan") if value is None else value for value in values]
            # ten colours, then again with dashes
            axes.plot(at, points, f"C{n % 10}o{'-' if n < 10 else '--'}", ms=3, lw=1.2, label=name)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.set(title=title, ylabel=unit, xlabel="day (UTC)")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#eeeeee")
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
