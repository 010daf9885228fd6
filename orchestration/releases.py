"""Releases of this installation: where they are built, whose data made them, and which is served."""

import base64
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import redis

from models import release as release_store
from models import tracking
from models.behavior.report import BehaviorReport
from models.runtime.release import Pointer, read_pointer
from orchestration.importing import SIMULATED
from orchestration.resources import Platform
from spark_jobs.lake import Lake, write_atomically


def behavior_folder(platform: Platform) -> Path:
    return platform.settings.state / "models" / "behavior"


def utterance_folder(platform: Platform) -> Path:
    return platform.settings.state / "models" / "utterance"


def write_report(platform: Platform, name: str, report: object) -> None:
    path = platform.settings.state / "models" / f"{name}_report.json"
    write_atomically(path, msgspec.json.encode(report))


def read_report(platform: Platform, name: str) -> dict[str, Any]:
    return msgspec.json.decode((platform.settings.state / "models" / f"{name}_report.json").read_bytes())


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
    )
    tracking.log_release(platform.releases / release_id, platform.tracking, now_ms())
    return release_id


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


def inline_image(svg: str) -> str:
    """Markdown that shows a picture without a file beside it."""
    return f"![calibration](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
