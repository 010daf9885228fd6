from datetime import date

import pytest

from models.behavior.baselines import COUNTS_ONLY
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
    first = parts.build(tmp_path / "releases", report=parts.full_report)
    logged = log_release(first, tracking, NOW_MS)
    assert isinstance(logged, Logged)
    assert log_release(first, tracking, NOW_MS) == logged

    client = tracking_client(tracking)
    run = client.get_run(logged.run_id)
    found = run.data.metrics
    measured = parts.full_report.targets["purchase"]
    auc, after_3 = measured.test.roc_auc, measured.slices[2]
    assert found["test/purchase/roc_auc"] == pytest.approx(auc.value)
    assert found["test/purchase/roc_auc_low"] == pytest.approx(auc.low)
    assert after_3.events == 3
    assert found["test/purchase/f1_after_3"] == pytest.approx(after_3.test.f1.value)
    assert found["test/purchase/sessions_after_3"] == after_3.sessions
    gain = after_3.baselines[COUNTS_ONLY].gain
    name = "test/purchase/log_loss_saved_over_logistic_regression_on_counts_after_3"
    assert found[name] == pytest.approx(gain.value)
    assert "test/purchase/roc_auc_after_10" not in found, "no session of the table is so long"
    assert found["utterance/held_out/macro_f1"] == 1.0
    assert run.data.tags["data"] == PROVENANCE
    assert run.data.tags["caveat"] == CAVEAT
    assert run.data.metrics["utterance/held_out/accuracy"] == 0.9
    assert run.data.tags["data.utterance.held_out"] == "six words, by this test"
    assert run.data.params["seed"] == "1"
    artifacts = {a.path for a in client.list_artifacts(logged.run_id)}
    assert artifacts == {"release", "report.txt", "report.html", "metrics.json"}

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
