import csv

import numpy as np
import pytest

from models.document import html_page, markdown
from models.runtime.stage import DECLARED, STAGES, StageModel
from models.stage.evaluation import AFTER_EVENTS, evaluate_stages, figures_of, stage_section
from models.stage.fit import fit_stages
from tests.models.stage.made_up import made_up_sessions


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    sessions, truth = made_up_sessions(DECLARED, 600, 8)
    path = tmp_path_factory.mktemp("truth") / "stages.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("event_id", "session_id", "stage"))
        rows.writerows((event, "s", stage) for event, stage in truth.items())
        rows.writerow(("of-nobody", "s", "explore"))
    return sessions, path


def test_a_model_of_the_truth_beats_the_most_common_stage(known):
    sessions, path = known
    report = evaluate_stages({"declared": StageModel(DECLARED)}, sessions, path)
    found = report.figures["declared"]
    assert tuple(found) == tuple(report.most_common) == AFTER_EVENTS
    assert found[10].accuracy > report.most_common[10] + 0.15
    assert found[10].accuracy > found[1].accuracy
    for figures in found.values():
        assert sum(map(sum, figures.confusion)) == figures.sessions == 600


def test_what_a_release_says_of_it(known):
    sessions, path = known
    fit = fit_stages(sessions)
    models = {"declared": StageModel(DECLARED), "as served": StageModel(fit.parameters)}
    said = stage_section(fit, evaluate_stages(models, sessions[-100:], path))
    assert "says nothing about real ones" in markdown(said)
    assert len(said.tables) == 1 + len(AFTER_EVENTS)
    assert "simulated shoppers, after 10 events, as served" in html_page("x", [said])
    unknown = stage_section(fit, None)
    assert "cannot be said" in markdown(unknown) and not unknown.tables


def test_a_truth_of_other_events_says_nothing(known, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("event_id,stage\nother,explore\ne0-0,\n")
    assert evaluate_stages({"declared": StageModel()}, known[0], path) is None


def test_figures_by_hand():
    figures = figures_of(np.array([0, 0, 1, 4]), np.array([0, 1, 1, 0]))
    assert (figures.sessions, figures.accuracy) == (4, 0.5)
    assert figures.macro_f1 == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)
    assert figures.confusion[0] == (1, 1, 0, 0, 0) and len(figures.confusion) == len(STAGES)
