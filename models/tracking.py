"""Releases in MLflow: a run each with figures, report and picture, and a version in the model
registry.

Everything lies under one folder: `mlflow.db` (SQLite) and `artifacts/`. Where the whole of MLflow is
installed, `mlflow ui --backend-store-uri sqlite:///<folder>/mlflow.db` shows it.
"""

import os
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

import msgspec
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from models.behavior.plot import reliability_svg
from models.behavior.report import BehaviorReport
from models.runtime.release import Manifest, verify_release

EXPERIMENT = "intent"
MODEL = "intent"
CANDIDATE, SERVED = "candidate", "served"
FIGURES = ("roc_auc", "pr_auc", "log_loss", "brier", "ece")


class Logged(NamedTuple):
    run_id: str
    version: str


def log_release(release_path: Path, tracking_dir: Path, logged_at_ms: int) -> Logged:
    """Logs and registers a release under the alias `candidate`. One that is registered already is
    left as it is, and its run is returned."""
    manifest = verify_release(Path(release_path))
    client = tracking_client(tracking_dir)
    if known := _version_of(client, manifest.id):
        return Logged(known.run_id, known.version)
    report = msgspec.convert(manifest.metrics["behavior"], BehaviorReport)
    run = client.create_run(
        _experiment(client, tracking_dir), run_name=manifest.id, tags=_tags(manifest, report)
    )
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, logged_at_ms, 0) for name, value in figures(manifest, report).items()],
        params=[Param(name, value) for name, value in _parameters(manifest, report).items()],
        tags=[RunTag(f"kind.{target}", t.kind) for target, t in report.targets.items()],
    )
    client.log_artifacts(run_id, str(release_path), "release")
    client.log_text(run_id, "\n".join(report.lines()) + "\n", "report.txt")
    client.log_text(run_id, reliability_svg(report), "calibration.svg")
    client.log_dict(run_id, manifest.metrics, "metrics.json")
    client.set_terminated(run_id)
    version = client.create_model_version(
        MODEL, f"{run.info.artifact_uri}/release", run_id, tags={"release": manifest.id}
    ).version
    client.set_registered_model_alias(MODEL, CANDIDATE, version)
    return Logged(run_id, version)


def mark_served(release_id: str, tracking_dir: Path) -> None:
    """Moves the alias `served` to this release; KeyError if it was never logged."""
    client = tracking_client(tracking_dir)
    version = _version_of(client, release_id)
    if version is None:
        raise KeyError(f"release {release_id} is not registered in {tracking_dir}: log it first")
    client.set_registered_model_alias(MODEL, SERVED, version.version)


def figures(manifest: Manifest, report: BehaviorReport) -> dict[str, float]:
    """Test figures by `<target>/<figure>`, `_low` and `_high` being the ends of the 95 %
    interval."""
    found = {
        f"utterance/{name}/accuracy": float(measured["accuracy"])
        for name, measured in manifest.metrics["utterance"].items()
    }
    for target, measured in report.targets.items():
        for figure in FIGURES:
            if estimate := getattr(measured.test, figure):
                found[f"{target}/{figure}"] = estimate.value
                found[f"{target}/{figure}_low"] = estimate.low
                found[f"{target}/{figure}_high"] = estimate.high
        found[f"{target}/base_rate_log_loss"] = measured.test.base_rate_log_loss
        found[f"{target}/test_rows"] = measured.test.rows
    return found


def tracking_client(tracking_dir: Path) -> MlflowClient:
    folder = Path(tracking_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    return MlflowClient(tracking_uri=store, registry_uri=store)


def _experiment(client: MlflowClient, tracking_dir: Path) -> str:
    if found := client.get_experiment_by_name(EXPERIMENT):
        return found.experiment_id
    artifacts = Path(tracking_dir).absolute() / "artifacts"
    return client.create_experiment(EXPERIMENT, artifact_location=artifacts.as_uri())


def _version_of(client: MlflowClient, release_id: str):
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL, description="Releases of shopper intent")
    found = client.search_model_versions(f"name = '{MODEL}' and tags.release = '{release_id}'")
    return found[0] if found else None


def _tags(manifest: Manifest, report: BehaviorReport) -> dict[str, str]:
    return {
        "release": manifest.id,
        "data": manifest.provenance,
        "caveat": report.caveat or "none",
        **{
            f"data.utterance.{name}": f"{measured['data']}, by {measured['author']}"
            for name, measured in manifest.metrics["utterance"].items()
        },
        "definitions_hash": manifest.definitions_hash,
        "encoder_revision": manifest.encoder_revision,
    }


def _parameters(manifest: Manifest, report: BehaviorReport) -> dict[str, str]:
    parts = {
        f"{part}_{what}": str(n) for what in ("rows", "sessions") for part, n in getattr(report, what).items()
    }
    periods = {f"{part}_period": " to ".join(period) for part, period in report.periods.items()}
    return {"seed": str(report.seed), "features": str(len(manifest.features)), **parts, **periods}
