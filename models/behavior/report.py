"""What training found out, as data and as lines for people."""

from collections.abc import Iterator

import msgspec

from models.behavior.metrics import Estimate, Metrics
from models.behavior.operating import OperatingPoint
from models.behavior.slices import Slice
from models.runtime.calibration import Calibration

REAL = "real:"
CAVEAT = "made-up data, proves nothing about quality"


class TargetLimits(msgspec.Struct, frozen=True):
    """What a model must reach on later, unseen sessions, besides ranking better than chance and a
    log-loss no worse than the base rate's."""

    max_ece: float = 0.08
    min_cart_raises: float = 0.9


class TargetReport(msgspec.Struct, frozen=True):
    """`why`: how the kind came to be. `validation_log_loss`: of each candidate, before
    calibration. `gain`: log-loss below the base rate's on the validation rows, calibrated.
    `operating`: from which probability on a row is called positive. `cart_raises`: share of the
    tested rows on which one more cart event does not lower the probability (purchase only).
    `slices`: all tested rows, then those after so many events; they are in a release's report, not
    in its manifest."""

    kind: str
    why: str
    prior: float
    validation_log_loss: dict[str, float]
    gain: Estimate | None
    calibration: Calibration
    operating: OperatingPoint
    test: Metrics
    cart_raises: float | None = None
    slices: tuple[Slice, ...] = ()


class BehaviorReport(msgspec.Struct, frozen=True):
    """`provenance` says whose data it is and starts with `real:` if people's behaviour made it.
    `rows`, `sessions` and `periods` (first and last row, RFC 3339) are by part; `rows_cut_off`
    belong to none."""

    provenance: str
    seed: int
    rows: dict[str, int]
    sessions: dict[str, int]
    periods: dict[str, tuple[str, str]]
    rows_cut_off: int
    targets: dict[str, TargetReport]

    @property
    def caveat(self) -> str | None:
        return None if self.provenance.startswith(REAL) else CAVEAT

    def lines(self) -> list[str]:
        """One line a target, each naming its data."""
        data = self.provenance if self.caveat is None else f"{self.provenance}; {self.caveat}"
        return [f"{name}: {_line(target)} [{data}]" for name, target in self.targets.items()]


def target_failures(measured: TargetReport, limits: TargetLimits) -> Iterator[str]:
    """Why this model may not be served; a base rate always may."""
    test = measured.test
    if measured.kind == "prior":
        return
    if test.roc_auc is None or not test.roc_auc.low > 0.5:
        found = "unknown" if test.roc_auc is None else f"{test.roc_auc.low:.3f}"
        yield f"the low end of ROC-AUC on later sessions is {found}, not above 0.5"
    if not test.ece.value <= limits.max_ece:
        yield f"calibration error on later sessions is {test.ece.value:.3f}, above {limits.max_ece}"
    if not test.log_loss.value <= test.base_rate_log_loss:
        yield (
            f"log-loss on later sessions is {test.log_loss.value:.4f}, "
            f"worse than the base rate's {test.base_rate_log_loss:.4f}"
        )
    if measured.cart_raises is not None and not measured.cart_raises >= limits.min_cart_raises:
        yield (
            f"one more cart event lowers it on {1 - measured.cart_raises:.0%} of the tested rows, "
            f"more than {1 - limits.min_cart_raises:.0%}"
        )


def _line(target: TargetReport) -> str:
    test = target.test
    figures = [
        ("ROC-AUC", test.roc_auc if target.kind != "prior" else None),
        ("PR-AUC", test.pr_auc if target.kind != "prior" else None),
        ("log-loss", test.log_loss),
        ("Brier", test.brier),
        ("ECE", test.ece),
    ]
    shown = ", ".join(f"{n} {e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for n, e in figures if e)
    kind = f"base rate {target.prior:.3f} ({target.why})" if target.kind == "prior" else target.kind
    return (
        f"{kind}, {shown}; base rate's log-loss {test.base_rate_log_loss:.3f}; "
        f"{test.rows} rows of {test.sessions} later sessions, {test.positives} positive"
    )
