"""Releases of this installation: where they are built, whose data made them, and which is served."""

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import redis

from models import release as release_store
from models import tracking
from models.behavior.comparison import Comparison, Decision
from models.behavior.report import BehaviorReport
from models.document import Section
from models.runtime.release import Pointer, ReleaseMismatch, read_manifest, read_pointer
from models.runtime.stage import StageModel
from orchestration.importing import SIMULATED
from orchestration.resources import Platform
from spark_jobs.lake import Lake, write_atomically

SECTION = "section_"


def models_folder(platform: Platform) -> Path:
    """Where what was trained last lies; it is there when this returns."""
    folder = platform.settings.state / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def behavior_folder(platform: Platform) -> Path:
    return models_folder(platform) / "behavior"


def utterance_folder(platform: Platform) -> Path:
    return models_folder(platform) / "utterance"


def held_out_corrections(platform: Platform) -> Path:
    """What heads that had not seen them answered for the corrections trained on."""
    return models_folder(platform) / "held_out_corrections.json"


def embedded_utterances(platform: Platform) -> Path:
    return models_folder(platform) / "embedded-utterances"


def stage_file(platform: Platform) -> Path:
    return models_folder(platform) / "stage.json"


def write_report(platform: Platform, name: str, report: object) -> None:
    path = models_folder(platform) / f"{name}_report.json"
    write_atomically(path, msgspec.json.encode(report))


def read_report(platform: Platform, name: str) -> dict[str, Any]:
    return msgspec.json.decode((models_folder(platform) / f"{name}_report.json").read_bytes())


def build(platform: Platform, created_on: date) -> str:
    """Pack what was trained last into a release and track it, not yet served; returns its id."""
    release_id = release_store.build_release(
        behavior_folder(platform),
        utterance_folder(platform),
        platform.encoder.revision,
        msgspec.convert(read_report(platform, "behavior"), BehaviorReport),
        read_report(platform, "utterance"),
        platform.releases,
        created_on,
        other_sections(platform),
        release_store.Learned(**read_report(platform, "labels"), **read_report(platform, "corrections")),
        StageModel.load(stage_file(platform)).parameters,
    )
    tracking.log_release(platform.releases / release_id, platform.tracking, now_ms())
    return release_id


def write_section(platform: Platform, name: str, section: Section) -> None:
    """Has the next release's report say this too."""
    write_report(platform, f"{SECTION}{name}", section)


def other_sections(platform: Platform) -> list[Section]:
    found = sorted(models_folder(platform).glob(f"{SECTION}*_report.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Section) for path in found]


def label_horizons(platform: Platform) -> dict[str, str]:
    """How far the labels looked that each release was trained on, where it says so."""
    found = {}
    for path in sorted(platform.releases.glob("r-*")):
        try:
            said = release_store.learned(read_manifest(path))
        except ReleaseMismatch:
            continue
        if said is not None:
            found[path.name] = said.label_horizon
    return found


def provenance(lake: Lake) -> str:
    """Whose behaviour the lake holds: `real: ...` only if no commit says it was simulated."""
    sources = sorted({c.source for c in lake.commits() if c.kind == "import"})
    if any(c.kind == "stream" for c in lake.commits()):
        sources.append("events posted to the API")
    simulated = any(source.startswith(SIMULATED) for source in sources)
    return f"{'made up' if simulated else 'real'}: {', '.join(sources)}"


def served(platform: Platform) -> Pointer | None:
    with connection(platform) as client:
        return read_pointer(client)


def promote(platform: Platform, release_id: str) -> Pointer:
    path = platform.releases / release_id
    with connection(platform) as client:
        pointer = release_store.promote(client, path, platform.encoders, datetime.now(UTC).isoformat())
    tracking.mark_served(pointer.id, platform.tracking)
    return pointer


def settle(platform: Platform, release_id: str, comparison: Comparison, decision: Decision) -> Pointer:
    """Serve the release or keep it with the reason why not; answers what is served then."""
    tracking.log_comparison(release_id, comparison, decision, platform.tracking, now_ms())
    if decision.promote:
        return promote(platform, release_id)
    release_store.note_not_promoted(platform.releases / release_id, decision.why)
    pointer = served(platform)
    if pointer is None:
        raise ReleaseMismatch("what was served has been taken away meanwhile: promote a release")
    return pointer


def rollback(platform: Platform) -> Pointer:
    with connection(platform) as client:
        pointer = release_store.rollback(client, platform.releases, datetime.now(UTC).isoformat())
    tracking.mark_served(pointer.id, platform.tracking)
    return pointer


def list_all(platform: Platform) -> list[release_store.Listed]:
    with connection(platform) as client:
        return release_store.list_releases(client, platform.releases)


def connection(platform: Platform) -> redis.Redis:
    return redis.Redis.from_url(platform.redis_url)


def today() -> date:
    return datetime.now(UTC).date()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
