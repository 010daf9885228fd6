"""The report that goes with a release: one page for people, and the same as data.

<release>/report/report.html    needs no other file
<release>/report/report.json    a ReleaseReport
"""

from pathlib import Path
from typing import Any

import msgspec

from models.behavior.report import BehaviorReport
from models.behavior.tables import behavior_sections
from models.document import Section, html_page
from models.utterance.evaluation import utterance_section

FOLDER, PAGE, DATA = "report", "report.html", "report.json"


class ReleaseReport(msgspec.Struct, frozen=True):
    """`behavior` with the figures after so many events and the curves; `utterance` by name of a set
    of texts; `others` are sections about whatever else the release answers."""

    behavior: BehaviorReport
    utterance: dict[str, dict[str, Any]]
    others: tuple[Section, ...] = ()

    def sections(self) -> list[Section]:
        utterance = [utterance_section(name, measured) for name, measured in self.utterance.items()]
        return [*behavior_sections(self.behavior), *utterance, *self.others]


def write_report(release: Path, report: ReleaseReport) -> None:
    folder = release / FOLDER
    folder.mkdir()
    (folder / PAGE).write_text(html_page("How good this release is", report.sections()), encoding="utf-8")
    (folder / DATA).write_bytes(msgspec.json.encode(report))


def read_report(release: Path) -> ReleaseReport:
    return msgspec.json.decode((release / FOLDER / DATA).read_bytes(), type=ReleaseReport)


def without_slices(report: BehaviorReport) -> BehaviorReport:
    """What a manifest holds: the figures of all rows, which the gates look at."""
    targets = {name: msgspec.structs.replace(t, slices=()) for name, t in report.targets.items()}
    return msgspec.structs.replace(report, targets=targets)
