"""Challenger against champion on sessions that neither has learned from, and which is to be served."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import NamedTuple

import matplotlib as mpl
import msgspec
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.behavior.dataset import dataset
from models.behavior.metrics import Estimate, log_loss_gain, log_losses
from models.behavior.plot import SETTINGS
from models.document import Picture, Section, Table
from models.runtime.behavior import TARGETS, BehaviorModel
from models.runtime.row import RowBuilder

MIN_SESSIONS = 30
MIN_TEXTS = 10
UTTERANCE = "utterance"
LEARNED_FROM = ("train", "calibrate")
TITLE = "Challenger and champion"
BETTER, WORSE, SAME = "better", "worse", "no different beyond noise"
COLOURS = {BETTER: "#2a7f3f", WORSE: "#b3261e", SAME: "#555555"}


class TargetComparison(msgspec.Struct, frozen=True):
    """`gain`: how much lower the challenger's mean log-loss is than the champion's, with its 95 %
    interval from resampling whole sessions (or texts); above 0 the challenger is better. `units`: how
    many of these."""

    target: str
    champion_log_loss: float
    challenger_log_loss: float
    gain: Estimate
    rows: int
    units: int

    @property
    def verdict(self) -> str:
        if self.gain.low > 0:
            return BETTER
        return WORSE if self.gain.high < 0 else SAME


class Comparison(msgspec.Struct, frozen=True):
    """`champion` None: nothing is served yet. `period`: first and last row compared on. `obstacle`: why
    the champion could not be run on these rows."""

    champion: str | None
    targets: tuple[TargetComparison, ...] = ()
    period: tuple[str, str] | None = None
    obstacle: str | None = None


class Decision(msgspec.Struct, frozen=True):
    promote: bool
    why: str


class Judge(NamedTuple):
    """A behaviour model with the columns it reads; `periods`: of its report, first and last row by part."""

    model: BehaviorModel
    rows: RowBuilder
    periods: Mapping[str, tuple[str, str]]

    def learned_until(self) -> np.datetime64:
        """After the last row that trained or calibrated it; reports give whole seconds."""
        ends = (self.periods[part][1] for part in LEARNED_FROM)
        return max(np.datetime64(end.removesuffix("Z"), "us") for end in ends) + np.timedelta64(1, "s")


def compare_behavior(
    champion: Judge, challenger: Judge, table: pd.DataFrame, seed: int
) -> tuple[tuple[TargetComparison, ...], tuple[str, str] | None]:
    """Both on the sessions of the table's test part that began after either learned. `table` as for
    `train_behavior`. No comparison where fewer than MIN_SESSIONS are left."""
    theirs, ours = dataset(table, champion.rows), dataset(table, challenger.rows)
    test = ours.parts.test
    starts = np.full(ours.session.max() + 1, ours.time.max())
    np.minimum.at(starts, ours.session, ours.time)
    after = max(champion.learned_until(), challenger.learned_until())
    unseen = test[starts[ours.session[test]] > after]
    session = ours.session[unseen]
    if len(np.unique(session)) < MIN_SESSIONS:
        return (), None
    before = champion.model.probabilities(theirs.inputs[unseen])
    now = challenger.model.probabilities(ours.inputs[unseen])
    times = np.datetime_as_string(ours.time[unseen], "s")
    found = tuple(
        compared(target, ours.labels[target][unseen], before[target], now[target], session, seed)
        for target in TARGETS
    )
    return found, (f"{min(times)}Z", f"{max(times)}Z")


def compared(
    target: str,
    y: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    unit: np.ndarray,
    seed: int,
) -> TargetComparison:
    """`y` 0/1, the probabilities both gave, and what is drawn together."""
    gain = log_loss_gain(y, challenger, champion, unit, seed)
    return TargetComparison(
        target=target,
        champion_log_loss=_mean_loss(y, champion),
        challenger_log_loss=_mean_loss(y, challenger),
        gain=gain,
        rows=len(y),
        units=len(np.unique(unit)),
    )


def decide(comparison: Comparison) -> Decision:
    """Promoted only if better beyond noise somewhere and worse beyond noise nowhere."""
    if comparison.champion is None:
        return Decision(True, "the first release")
    if comparison.obstacle is not None:
        return Decision(True, f"{comparison.champion} cannot be compared with: {comparison.obstacle}")
    worse = [t.target for t in comparison.targets if t.verdict == WORSE]
    better = [t.target for t in comparison.targets if t.verdict == BETTER]
    beside = f"{comparison.champion} on the same later sessions"
    if comparison.period is None:
        return Decision(
            False,
            f"fewer than {MIN_SESSIONS} sessions are later than what {comparison.champion} and the "
            "challenger learned from: there is nothing to compare them on yet",
        )
    if worse:
        return Decision(False, f"worse than {beside} at {_and(worse)}, beyond noise")
    if not better:
        return Decision(False, f"no better than {beside} at anything, beyond noise")
    return Decision(True, f"better than {beside} at {_and(better)}, beyond noise, and worse at nothing")


def comparison_section(comparison: Comparison, decision: Decision) -> Section:
    """The decision, a row a target, and a picture of the gains."""
    text = [f"Challenger {'promoted' if decision.promote else 'not promoted'}: {decision.why}."]
    if comparison.period:
        text.append(f"Sessions that neither learned from, {' to '.join(comparison.period)}.")
    rows = tuple(
        (
            t.target,
            f"{t.champion_log_loss:.4f}",
            f"{t.challenger_log_loss:.4f}",
            f"{t.gain.value:+.4f} ({t.gain.low:+.4f} to {t.gain.high:+.4f})",
            t.verdict,
            _units(t),
        )
        for t in comparison.targets
    )
    if not rows:
        return Section(TITLE, tuple(text))
    head = ("", "champion's log-loss", "challenger's", "gain (95 % interval)", "verdict", "on")
    table = Table(f"Challenger against {comparison.champion}", head, rows)
    picture = Picture("How much lower the challenger's log-loss is", gains_svg(comparison))
    return Section(TITLE, tuple(text), (table,), (picture,))


def gains_svg(comparison: Comparison) -> str:
    """A bar a target, from one end of the gain's interval to the other."""
    targets = comparison.targets
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(7, 0.9 + 0.45 * len(targets)), layout="constrained")
        axes = figure.subplots()
        for at, t in enumerate(targets):
            axes.plot([t.gain.low, t.gain.high], [at, at], color=COLOURS[t.verdict], lw=3)
            axes.plot(t.gain.value, at, "o", color=COLOURS[t.verdict])
        axes.axvline(0, color="#bbbbbb", lw=1)
        axes.set_yticks(range(len(targets)), [t.target for t in targets])
        axes.set(
            xlabel="log-loss saved: right of 0 the challenger is better", ylim=(len(targets) - 0.5, -0.5)
        )
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _units(compared_on: TargetComparison) -> str:
    if compared_on.target.startswith(UTTERANCE):
        return f"{compared_on.units} texts"
    return f"{compared_on.rows} rows of {compared_on.units} sessions"


def _mean_loss(y: np.ndarray, p: np.ndarray) -> float:
    return float(log_losses(y, p).mean())


def _and(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
