"""Trains the behaviour models from a table of feature rows and writes what `BehaviorModel.load`
reads."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
import onnx
import pandas as pd
import pyarrow as pa

from models.behavior import baselines
from models.behavior.calibration import fit_calibration
from models.behavior.candidates import (
    PENALTIES,
    SHAPES,
    Candidate,
    Constant,
    Logistic,
    Trees,
    rising_columns,
)
from models.behavior.dataset import MIN_SESSIONS, TrainingError, dataset
from models.behavior.metrics import Estimate, evaluate, log_loss_gain, log_losses
from models.behavior.operating import operating_point
from models.behavior.report import (
    BehaviorReport,
    TargetLimits,
    TargetReport,
    target_failures,
)
from models.behavior.samples import ONNX_TOLERANCE, SAMPLES, SampleRows
from models.behavior.slices import Prediction, Slice, measure_slices, too_few_sessions
from models.behavior.split import Dataset
from models.runtime.behavior import BEHAVIOR_FILE, TARGETS, BehaviorSpec, TargetSpec, open_session
from models.runtime.calibration import Calibration
from models.runtime.row import VECTOR, RowBuilder, TextHead

SESSION_EVENTS = "session_activity:session_event_count"
UNCALIBRATED = Calibration("none")
SAMPLE_ROWS = 64
CHECKED_ROWS = 2_048


class Fit(NamedTuple):
    """A model chosen for a target; `losses` and `gain` as in TargetReport."""

    model: Candidate
    why: str
    calibration: Calibration = UNCALIBRATED
    losses: Mapping[str, float] = MappingProxyType({})
    gain: Estimate | None = None


def train_behavior(
    table: pd.DataFrame | pa.Table,
    utterance_model: TextHead,
    out_folder: Path,
    seed: int,
    provenance: str,
    limits: TargetLimits | None = None,
) -> BehaviorReport:
    """`table`: user_id, session_id, event_timestamp, TARGETS (0/1) and every service feature by
    name, a null for what is missing. `provenance`: whose data it is, beginning with `real:` if
    people's behaviour made it. The same table and seed write the same bytes."""
    rows = RowBuilder(utterance_model)
    data = dataset(table, rows)
    out_folder = Path(out_folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    samples = made_up_rows(data.inputs[data.parts.train], seed)
    specs, reports, expected = {}, {}, {}
    for target in TARGETS:
        model, report = fit_target(target, data, rows, seed, limits)
        export(model, out_folder / f"{target}.onnx", data.inputs[data.parts.test], samples)
        specs[target] = TargetSpec(report.kind, report.prior, report.calibration)
        reports[target] = msgspec.structs.replace(
            report, slices=_slices(target, data, rows, model, report, seed)
        )
        expected[target] = model.predict(samples).tolist()
    typical = typical_row(data.inputs[data.parts.train], rows)
    spec = BehaviorSpec(rows.columns, specs, tuple(typical.tolist()))
    _write(out_folder / BEHAVIOR_FILE, spec)
    _write(out_folder / SAMPLES, SampleRows(samples.tolist(), expected))
    return _report(data, reports, seed, provenance)


def fit_target(
    target: str,
    data: Dataset,
    rows: RowBuilder,
    seed: int,
    limits: TargetLimits | None = None,
) -> tuple[Candidate, TargetReport]:
    """Chooses and calibrates on the validation part. The test part measures, and can only veto: a
    model that fails its limits there is not served, its target is answered by the base rate."""
    fit, prior = best_fit(target, data, rows, seed)
    report = _measured(target, data, rows, prior, fit, seed)
    if failures := "; ".join(target_failures(report, limits or TargetLimits())):
        why = f"{fit.model.kind} was not good enough: {failures}"
        constant = Constant(prior, data.inputs.shape[1])
        fit = Fit(constant, why, losses=fit.losses, gain=fit.gain)
        report = _measured(target, data, rows, prior, fit, seed)
    return fit.model, report


def best_fit(target: str, data: Dataset, rows: RowBuilder, seed: int) -> tuple[Fit, float]:
    """The choice for a target, and the base rate of its train and validation rows. The test part
    is only looked at for whether it has sessions enough to judge by."""
    labels, held = data.labels[target], data.parts.calibrate
    known = np.concatenate([data.parts.train, held])
    prior = float((labels[known].sum() + 1) / (len(known) + 2))
    constant = Constant(prior, data.inputs.shape[1])
    if short := _too_few(labels, data):
        return Fit(constant, short), prior

    y, inputs, session = labels[held], data.inputs[held], data.session[held]
    candidates = fit_candidates(target, data, rows, seed)
    losses = {c.kind: float(log_losses(y, c.predict(inputs)).mean()) for c in candidates}
    best = min(candidates, key=lambda c: losses[c.kind])
    raw = best.predict(inputs)
    calibration = fit_calibration(y, raw)
    gain = log_loss_gain(y, calibration.apply(raw), prior, session, seed)
    if gain.low > 0:
        why = "lowest log-loss on the validation sessions"
        return Fit(best, why, calibration, losses, gain), prior
    why = f"{best.kind} is no better than the base rate on the validation sessions, beyond noise"
    return Fit(constant, why, losses=losses, gain=gain), prior


def fit_candidates(target: str, data: Dataset, rows: RowBuilder, seed: int) -> tuple[Candidate, ...]:
    y, train, held = data.labels[target], data.parts.train, data.parts.calibrate
    rising = rising_columns(target, rows.columns)
    x, validation = data.inputs[train], (data.inputs[held], y[held])

    def loss(candidate: Candidate) -> float:
        return float(log_losses(y[held], candidate.predict(data.inputs[held])).mean())

    logistic = (Logistic(x, y[train], rising, penalty) for penalty in PENALTIES)
    trees = (Trees(x, y[train], rising, validation, seed, shape) for shape in SHAPES)
    return min(logistic, key=loss), min(trees, key=loss)


def cart_raises(model: Candidate, inputs: np.ndarray, rows: RowBuilder) -> float | None:
    """Share of rows whose purchase probability does not fall when one cart event is added to them.
    None where no row ever had a cart, so that nothing could be learned of it."""
    counts = [f"user_activity:add_to_cart_count_{w}" for w in ("10m", "1h", "24h", "7d", "30d")]
    counts += ["session_activity:session_add_to_cart_count", SESSION_EVENTS]
    at = [rows.columns.index(c) for c in counts]
    if not len(inputs) or not inputs[:, at[-2]].any():
        return None
    more = inputs.copy()
    more[:, at] = np.log1p(np.expm1(more[:, at]) + 1)
    return float(np.mean(model.predict(more) >= model.predict(inputs) - 1e-9))


def typical_row(inputs: np.ndarray, rows: RowBuilder) -> np.ndarray:
    """What reasons compare with: each number's median; the recent text's mean, or none if most
    have none."""
    typical, text = np.median(inputs, axis=0), rows.groups[VECTOR.reference]
    with_text = inputs[:, -1] > 0
    typical[text] = inputs[with_text, text].mean(axis=0) if with_text.mean() > 0.5 else 0.0
    return typical.astype(np.float32)


def made_up_rows(inputs: np.ndarray, seed: int) -> np.ndarray:
    """Rows of nobody: each column drawn on its own from those of the training rows."""
    rng = np.random.default_rng(seed)
    columns = [rng.choice(inputs[:, i], SAMPLE_ROWS) for i in range(inputs.shape[1])]
    return np.column_stack(columns).astype(np.float32)


def export(model: Candidate, path: Path, *checked: np.ndarray) -> None:
    """Writes the graph, and makes sure that it answers as the model does."""
    onnx.save(model.graph(), str(path))
    session = open_session(path)
    for inputs in checked:
        sample = inputs[:CHECKED_ROWS]
        if not len(sample):
            continue
        gap = np.abs(session.run(["probability"], {"inputs": sample})[0] - model.predict(sample)).max()
        if not gap <= ONNX_TOLERANCE:
            raise TrainingError(f"{path.name}: its graph differs from the model by {gap:.2g}")


def _too_few(y: np.ndarray, data: Dataset) -> str | None:
    for part, least in MIN_SESSIONS.items():
        at = data.part(part)
        if short := too_few_sessions(y[at], data.session[at], least):
            return f"in the {part} part {short}"
    return None


def _measured(
    target: str, data: Dataset, rows: RowBuilder, prior: float, fit: Fit, seed: int
) -> TargetReport:
    test = data.parts.test
    inputs, y = data.inputs[test], data.labels[target][test]
    p = fit.calibration.apply(fit.model.predict(inputs))
    held = data.parts.calibrate
    validated = fit.calibration.apply(fit.model.predict(data.inputs[held]))
    operating = operating_point(data.labels[target][held], validated)
    learned = target == "purchase" and fit.model.kind != "prior"
    return TargetReport(
        kind=fit.model.kind,
        why=fit.why,
        prior=prior,
        validation_log_loss=dict(fit.losses),
        gain=fit.gain,
        calibration=fit.calibration,
        operating=operating,
        test=evaluate(y, p, data.session[test], prior, seed, operating.threshold),
        cart_raises=cart_raises(fit.model, inputs, rows) if learned else None,
    )


def _slices(
    target: str, data: Dataset, rows: RowBuilder, model: Candidate, report: TargetReport, seed: int
) -> tuple[Slice, ...]:
    test = data.parts.test
    inputs = data.inputs[test]
    beside = {baselines.BASE_RATE: baselines.base_rate(data, report.prior)}
    if _too_few(data.labels[target], data) is None:
        beside[baselines.COUNTS_ONLY] = baselines.counts_only(target, data, rows.columns)
    return measure_slices(
        data.labels[target][test],
        data.session[test],
        np.rint(np.expm1(inputs[:, rows.columns.index(SESSION_EVENTS)])),
        Prediction(report.calibration.apply(model.predict(inputs)), report.operating.threshold),
        beside,
        report.prior,
        seed,
    )


def _report(data: Dataset, targets: dict[str, TargetReport], seed: int, provenance: str) -> BehaviorReport:
    parts = {name: data.part(name) for name in MIN_SESSIONS}
    times = {name: np.datetime_as_string(data.time[at], "s") for name, at in parts.items()}
    return BehaviorReport(
        provenance=provenance,
        seed=seed,
        rows={name: len(at) for name, at in parts.items()},
        sessions={name: len(np.unique(data.session[at])) for name, at in parts.items()},
        periods={name: (f"{min(t)}Z", f"{max(t)}Z") for name, t in times.items()},
        rows_cut_off=data.parts.cut_off,
        targets=targets,
    )


def _write(path: Path, value: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
