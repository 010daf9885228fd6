"""Releases in MLflow: a run each with figures and report, and a version in the model registry.

Everything lies under one folder: `mlflow.db` (SQLite) and `artifacts/`. Where the whole of MLflow is
installed, `mlflow ui --backend-store-uri sqlite:///<folder>/mlflow.db` shows it.
"""

import os
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from models.behavior.comparison import TITLE, Comparison, Decision, comparison_section
from models.behavior.metrics import Estimate, Metrics
from models.behavior.report import BehaviorReport
from models.document import html_page
from models.release_report import FOLDER, PAGE, ReleaseReport, read_report
from models.runtime.release import Manifest, verify_release

EXPERIMENT = "intent"
MODEL = "intent"
CANDIDATE, SERVED = "candidate", "served"
FIGURES = ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1")


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
    measured = read_report(Path(release_path))
    report = measured.behavior
    run = client.create_run(
        _experiment(client, tracking_dir), run_name=manifest.id, tags=_tags(manifest, report)
    )
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, logged_at_ms, 0) for name, value in figures(measured).items()],
        params=[Param(name, value) for name, value in _parameters(manifest, report).items()],
        tags=[RunTag(f"kind.{target}", t.kind) for target, t in report.targets.items()],
    )
    client.log_artifacts(run_id, str(release_path), "release")
    client.log_text(run_id, "\n".join(report.lines()) + "\n", "report.txt")
    client.log_artifact(run_id, str(Path(release_path) / FOLDER / PAGE))
    client.log_dict(run_id, manifest.metrics, "metrics.json")
    client.set_terminated(run_id)
    version = client.create_model_version(
        MODEL, f"{run.info.artifact_uri}/release", run_id, tags={"release": manifest.id}
    ).version
    client.set_registered_model_alias(MODEL, CANDIDATE, version)
    return Logged(run_id, version)


def log_comparison(
    release_id: str, comparison: Comparison, decision: Decision, tracking_dir: Path, logged_at_ms: int
) -> None:
    """Adds to a release's run how it compares with what was served; KeyError if it was never logged."""
    client = tracking_client(tracking_dir)
    version = _version_of(client, release_id)
    if version is None:
        raise KeyError(f"release {release_id} is not registered in {tracking_dir}: log it first")
    found: dict[str, float] = {}
    for t in comparison.targets:
        found |= _with_ends(f"comparison/{t.target.replace(':', '')}/log_loss_saved", t.gain)
    client.log_batch(
        version.run_id,
        metrics=[Metric(name, value, logged_at_ms, 0) for name, value in found.items()],
        tags=[
            RunTag("comparison.champion", comparison.champion or "none"),
            RunTag("comparison.promoted", str(decision.promote).lower()),
            RunTag("comparison.why", decision.why),
        ],
    )
    page = html_page(TITLE, [comparison_section(comparison, decision)])
    client.log_text(version.run_id, page, "comparison.html")


def mark_served(release_id: str, tracking_dir: Path) -> None:
    """Moves the alias `served` to this release; KeyError if it was never logged."""
    client = tracking_client(tracking_dir)
    version = _version_of(client, release_id)
    if version is None:
        raise KeyError(f"release {release_id} is not registered in {tracking_dir}: log it first")
    client.set_registered_model_alias(MODEL, SERVED, version.version)


def figures(report: ReleaseReport) -> dict[str, float]:
    """Figures by `test/<target>/<figure>`, for rows standing after n events `..._after_<n>`, each with
    `_low` and `_high`, the ends of its 95 % interval. `log_loss_saved_over_<baseline>` compares on the
    same rows. Utterance figures are `utterance/<texts>/<figure>`."""
    found: dict[str, float] = {}
    for name, measured in report.utterance.items():
        for figure in ("accuracy", "macro_f1"):
            low, high = measured[f"{figure}_95"]
            found |= _with_ends(f"utterance/{name}/{figure}", Estimate(measured[figure], low, high))
    for target, measured in report.behavior.targets.items():
        for part in measured.slices:
            after = f"_after_{part.events}" if part.events else ""
            found[f"test/{target}/sessions{after}"] = part.sessions
            found[f"test/{target}/rows{after}"] = part.rows
            if part.test is not None:
                found |= _figures(f"test/{target}", part.test, after)
            for name, baseline in part.baselines.items():
                saved = f"log_loss_saved_over_{name.replace(' ', '_')}{after}"
                found |= _with_ends(f"test/{target}/{saved}", baseline.gain)
        found[f"test/{target}/base_rate_log_loss"] = measured.test.base_rate_log_loss
        found[f"test/{target}/threshold"] = measured.operating.threshold
    return found


def _figures(prefix: str, test: Metrics, after: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for figure in FIGURES:
        if (estimate := getattr(test, figure)) is not None:
            found |= _with_ends(f"{prefix}/{figure}{after}", estimate)
    return found


def _with_ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


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
