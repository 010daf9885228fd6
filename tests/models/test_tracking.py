from datetime import date

import pytest

from models.behavior.report import CAVEAT
from models.tracking import MODEL, Logged, log_release, mark_served, tracking_client
from tests.models.release_parts import PROVENANCE

NOW_MS = 1_717_200_000_000


def test_a_release_is_found_in_mlflow_with_its_figures_and_data(parts, tmp_path, monkeypatch):
    """Figures, artifacts and the registered version are there, and nothing is anywhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    tracking = tmp_path / "mlflow"
    first = parts.build(tmp_path / "releases")
    logged = log_release(first, tracking, NOW_MS)
    assert isinstance(logged, Logged)
    assert log_release(first, tracking, NOW_MS) == logged

    client = tracking_client(tracking)
    run = client.get_run(logged.run_id)
    auc = parts.report.targets["purchase"].test.roc_auc
    assert run.data.metrics["purchase/roc_auc"] == pytest.approx(auc.value)
    assert run.data.metrics["purchase/roc_auc_low"] == pytest.approx(auc.low)
    assert run.data.tags["data"] == PROVENANCE
    assert run.data.tags["caveat"] == CAVEAT
    assert run.data.metrics["utterance/held_out/accuracy"] == 0.9
    assert run.data.tags["data.utterance.held_out"] == "six words, by this test"
    assert run.data.params["seed"] == "1"
    artifacts = {a.path for a in client.list_artifacts(logged.run_id)}
    assert artifacts == {"release", "report.txt", "calibration.svg", "metrics.json"}

    version = client.get_model_version_by_alias(MODEL, "candidate")
    assert (version.version, version.tags["release"]) == (logged.version, first.name)
    second = parts.build(tmp_path / "releases", date(2024, 6, 2))
    log_release(second, tracking, NOW_MS)
    assert client.get_model_version_by_alias(MODEL, "candidate").tags["release"] == second.name
    mark_served(first.name, tracking)
    assert client.get_model_version_by_alias(MODEL, "served").tags["release"] == first.name
    with pytest.raises(KeyError, match="r-unknown is not registered"):
        mark_served("r-unknown", tracking)

    assert list(elsewhere.iterdir()) == []
    assert {p.name for p in tracking.iterdir()} == {"mlflow.db", "artifacts"}
