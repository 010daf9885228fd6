import re
from base64 import b64decode

import pytest

from models.behavior.plot import curves_svg
from models.behavior.report import CAVEAT
from models.document import Section
from models.release_report import read_report
from models.runtime.release import read_manifest
from tests.models.release_parts import PROVENANCE


@pytest.fixture(scope="module")
def built(parts, tmp_path_factory):
    others = [Section("Stage", ("told from nothing",))]
    return parts.build(tmp_path_factory.mktemp("releases"), report=parts.full_report, others=others)


def test_a_release_carries_its_report(parts, built):
    report = read_report(built)
    assert report.behavior == parts.full_report
    manifest = read_manifest(built)
    assert {"report/report.html", "report/report.json"} < set(manifest.files)
    assert all(not target["slices"] for target in manifest.metrics["behavior"]["targets"].values())


def test_the_page_says_everything_and_whose_data_it_is(built):
    page = (built / "report" / "report.html").read_text()
    for said in (
        "Behaviour: purchase",
        "Behaviour: leave",
        "Utterance: held_out",
        "Stage",
        "told from nothing",
    ):
        assert f"{said}<" in page
    assert "too few: 0 sessions with a positive row, 10 are needed" in page
    assert "logistic regression on counts" in page
    pictures = [b64decode(p).decode() for p in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", page)]
    assert len(pictures) == 3
    for picture in pictures:
        assert PROVENANCE in picture
        assert CAVEAT in picture


def test_the_same_report_is_drawn_in_the_same_bytes(parts):
    first = curves_svg("purchase", parts.full_report)
    assert curves_svg("purchase", parts.full_report) == first
    assert "after 3 events" in first
    assert "after 10 events" not in first
