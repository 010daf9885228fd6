"""What the shopper will do next: three ONNX models, their calibration and the reasons for a
score."""

from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import onnxruntime as ort

from models.runtime.calibration import Calibration
from models.runtime.row import VECTOR, FeatureRow, RowBuilder

Target = Literal["purchase", "add_to_cart", "leave"]
TARGETS: tuple[Target, ...] = get_args(Target)
BEHAVIOR_FILE = "behavior.json"
NO_TEXT = "none"


class TargetSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`prior` is the base rate among the rows the model was made from."""

    kind: Literal["logistic", "lightgbm", "prior"]
    prior: float
    calibration: Calibration


class BehaviorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `behavior.json` says of the graphs beside it. `reference` is a typical row of model
    inputs."""

    columns: tuple[str, ...]
    targets: dict[str, TargetSpec]
    reference: tuple[float, ...]


class Reason(msgspec.Struct, frozen=True):
    """`effect`: how much the probability of `target` is higher than it would be, were this one
    feature typical.

    `value` is the feature's own value; for the recent text it is the intent it most likely has.
    """

    target: str
    feature: str
    value: Any
    effect: float


class BehaviorError(ValueError):
    """A folder does not hold behaviour models that this code can serve."""


class BehaviorModel:
    """Calibrated probabilities of TARGETS. Safe to call from threads; each call uses one."""

    def __init__(self, spec: BehaviorSpec, sessions: dict[str, ort.InferenceSession]) -> None:
        self.spec = spec
        self._sessions = sessions
        self._reference = np.array(spec.reference, dtype=np.float32)

    @classmethod
    def load(cls, folder: Path | str) -> "BehaviorModel":
        folder = Path(folder)
        path = folder / BEHAVIOR_FILE
        try:
            spec = msgspec.json.decode(path.read_bytes(), type=BehaviorSpec)
        except FileNotFoundError:
            raise BehaviorError(f"{folder}: no {BEHAVIOR_FILE}; train the behaviour models first") from None
        except msgspec.DecodeError as error:
            raise BehaviorError(f"{path}: {error}; train the behaviour models again") from error
        if set(spec.targets) != set(TARGETS) or len(spec.reference) != len(spec.columns):
            raise BehaviorError(f"{path}: targets or columns are incomplete; train again")
        return cls(spec, {target: open_session(folder / f"{target}.onnx") for target in TARGETS})

    def raw(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Uncalibrated probabilities [n] by target, of float32 [n, F]."""
        return {t: s.run(["probability"], {"inputs": inputs})[0] for t, s in self._sessions.items()}

    def probabilities(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calibrated probabilities, float64 [n] by target."""
        return {t: self.spec.targets[t].calibration.apply(p) for t, p in self.raw(inputs).items()}

    def score(self, row: FeatureRow) -> dict[str, float]:
        return {t: float(p[0]) for t, p in self.probabilities(row.inputs).items()}

    def priors(self) -> dict[str, float]:
        """The answer for a shopper of whom nothing is known."""
        return {t: self.spec.targets[t].prior for t in TARGETS}

    def reasons(self, row: FeatureRow, rows: RowBuilder, top: int = 5) -> list[Reason]:
        """The features that move this row's scores most, over all targets.

        An effect is the served probability minus the probability the same models give to the same
        row with that one feature (all columns of it, for the recent text) at its typical value:
        one replacement at a time, measured on the models themselves. Effects of features that
        move together, such as the windows of one count, therefore do not add up to the score.
        """
        reference, actual = self._reference, row.inputs[0]
        moved = [
            (feature, columns)
            for feature, columns in rows.groups.items()
            if not np.array_equal(actual[columns], reference[columns])
        ]
        batch = np.repeat(row.inputs, 1 + len(moved), axis=0)
        for i, (_, columns) in enumerate(moved, start=1):
            batch[i, columns] = reference[columns]
        reasons = [
            Reason(target, feature, _shown(feature, row, rows), effect)
            for target, p in self.probabilities(batch).items()
            for (feature, _), effect in zip(moved, (p[0] - p[1:]).tolist(), strict=True)
            if effect
        ]
        return sorted(reasons, key=lambda r: -abs(r.effect))[:top]


def _shown(feature: str, row: FeatureRow, rows: RowBuilder) -> Any:
    if feature != VECTOR.reference:
        return row.values[feature]
    intents = rows.recent_text(row)
    return max(intents, key=intents.__getitem__) if intents else NO_TEXT


def open_session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        reason = str(error).splitlines()[0]
        raise BehaviorError(f"{path}: not a graph that can be served ({reason})") from error
