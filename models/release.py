"""Releases: built once, judged by gates, served by a pointer in Redis.

Whether a release is served changes in one step, and only here. `redis` is a synchronous client
throughout.
"""

import os
import shutil
import uuid
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from feature_repo.behavior import DEFINITIONS_HASH
from models.behavior.report import BehaviorReport, TargetLimits, target_failures
from models.behavior.samples import ONNX_TOLERANCE, SAMPLES, SampleRows
from models.document import Section
from models.release_report import ReleaseReport, without_slices, write_report
from models.runtime.release import (
    FEATURE_REFERENCES,
    MANIFEST,
    RELEASE_POINTER,
    STAGE,
    Manifest,
    Pointer,
    Release,
    ReleaseMismatch,
    decode_pointer,
    file_hash,
    read_manifest,
    read_pointer,
    verify_release,
)
from models.runtime.stage import DECLARED, StageParameters

KEEP_PREVIOUS = 20
LEARNED = "learned"
NOT_PROMOTED = "not_promoted.txt"

# KEYS[1] the pointer; ARGV[1] what it must still hold ("" if nothing); ARGV[2] what it shall hold.
_SWITCH = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class GateFailed(ValueError):
    """A release that may not be served; the message lists why."""


class Limits(msgspec.Struct, frozen=True):
    """What a release must reach: each target on later sessions, the utterance model on texts whose
    templates it has not seen."""

    target: TargetLimits = TargetLimits()
    min_utterance_accuracy: float = 0.6


class Learned(msgspec.Struct, frozen=True):
    """What a release was made from, where its figures do not say: how far its labels looked (`session` or
    `day`), and up to which instant (microseconds) corrections of utterances were known to it."""

    label_horizon: str
    corrections_until: int


class Listed(msgspec.Struct, frozen=True):
    """`problem`: why it cannot be served with these definitions; None: it can. `not_promoted`: why
    training kept it without serving it."""

    id: str
    created_at: str
    served: bool
    problem: str | None
    provenance: str
    not_promoted: str | None = None


def build_release(
    behavior_folder: Path,
    utterance_folder: Path,
    encoder_revision: str,
    behavior: BehaviorReport,
    utterance_metrics: dict[str, Any],
    releases_dir: Path,
    created_on: date,
    others: Sequence[Section] = (),
    learned: Learned | None = None,
    stage: StageParameters = DECLARED,
) -> str:
    """Packs what was trained and returns the id, `r-<date>-<hash of the content>`: the same content
    on the same day is the same release. `utterance_metrics`: by name of a set of texts, at least
    `held_out`, as `models.utterance` returns them. `others`: what the report says beside these."""
    releases_dir = Path(releases_dir)
    releases_dir.mkdir(parents=True, exist_ok=True)
    partial = releases_dir / f".building-{uuid.uuid4().hex}"
    try:
        shutil.copytree(behavior_folder, partial / "behavior")
        shutil.copytree(utterance_folder, partial / "utterance")
        (partial / STAGE).write_bytes(msgspec.json.format(msgspec.json.encode(stage), indent=1) + b"\n")
        write_report(partial, ReleaseReport(behavior, utterance_metrics, tuple(others)))
        files = sorted(p for p in partial.rglob("*") if p.is_file())
        manifest = Manifest(
            id="",
            definitions_hash=DEFINITIONS_HASH,
            encoder_revision=encoder_revision,
            features=FEATURE_REFERENCES,
            created_at=created_on.isoformat(),
            files={str(p.relative_to(partial)): file_hash(p) for p in files},
            metrics={
                "behavior": msgspec.to_builtins(without_slices(behavior)),
                "utterance": utterance_metrics,
                **({} if learned is None else {LEARNED: msgspec.to_builtins(learned)}),
            },
            provenance=behavior.provenance,
        )
        release_id = f"r-{created_on:%Y%m%d}-{manifest.content_hash()}"
        content = msgspec.json.encode(msgspec.structs.replace(manifest, id=release_id))
        (partial / MANIFEST).write_bytes(msgspec.json.format(content, indent=1) + b"\n")
        target = releases_dir / release_id
        if not target.exists():
            os.rename(partial, target)
        verify_release(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return release_id


def gates(path: Path, encoders: Path, limits: Limits | None = None) -> list[str]:
    """Why the release at `path` may not be served; empty: it may."""
    try:
        release = Release.load(path, encoders)
    except ReleaseMismatch as mismatch:
        return [str(mismatch)]
    limits, metrics = limits or Limits(), release.manifest.metrics
    try:
        report = msgspec.convert(metrics["behavior"], BehaviorReport)
        accuracies = {s: float(metrics["utterance"][s]["accuracy"]) for s in judged_sets(metrics)}
    except (KeyError, TypeError, msgspec.ValidationError) as error:  # a NaN is null by now
        return [f"the release's metrics are incomplete ({error}): build it again"]
    failures = []
    for target, measured in report.targets.items():
        failures += [f"{target}: {why}" for why in target_failures(measured, limits.target)]
    failures += [
        f"utterance accuracy on {name} texts is {accuracy:.3f}, below {limits.min_utterance_accuracy}"
        for name, accuracy in accuracies.items()
        if not accuracy >= limits.min_utterance_accuracy
    ]
    return failures + _export_failures(release)


def judged_sets(metrics: dict[str, Any]) -> list[str]:
    """The sets of texts a gate looks at: those of the model's own intents and labels."""
    return ["held_out", *(name for name in ("test",) if name in metrics["utterance"])]


def promote(redis, path: Path, encoders: Path, promoted_at: str, limits: Limits | None = None) -> Pointer:
    """Serves the release at `path` if every gate passes; else GateFailed, and nothing changes."""
    path = Path(path).absolute()
    if failures := gates(path, encoders, limits):
        raise GateFailed(f"{path.name} is not promoted: {'; '.join(failures)}")
    release_id = read_manifest(path).id

    def promoted(current: Pointer | None) -> Pointer:
        if current is None:
            return Pointer(release_id, str(path), (), promoted_at)
        if current.id == release_id:
            return current
        before = (current.id, *(i for i in current.previous if i != release_id and i != current.id))
        return Pointer(release_id, str(path), before[:KEEP_PREVIOUS], promoted_at)

    return _switch(redis, promoted)


def rollback(redis, releases_dir: Path, promoted_at: str) -> Pointer:
    """Serves what was served before; ReleaseMismatch, and nothing changes, if that cannot be."""

    def rolled_back(current: Pointer | None) -> Pointer:
        if current is None:
            raise ReleaseMismatch("nothing is served: promote a release first")
        if not current.previous:
            raise ReleaseMismatch(f"no release was served before {current.id}: promote another instead")
        before, *older = current.previous
        path = Path(releases_dir).absolute() / before
        verify_release(path)
        return Pointer(before, str(path), tuple(older), promoted_at)

    return _switch(redis, rolled_back)


def list_releases(redis, releases_dir: Path) -> list[Listed]:
    """Every release in the folder, newest first."""
    pointer = read_pointer(redis)
    served = pointer.id if pointer else None
    found = [_listed(path, served) for path in Path(releases_dir).glob("r-*")]
    return sorted(found, key=lambda listed: (listed.created_at, listed.id), reverse=True)


def learned(manifest: Manifest) -> Learned | None:
    """None for a release that does not say."""
    return msgspec.convert(manifest.metrics[LEARNED], Learned) if LEARNED in manifest.metrics else None


def note_not_promoted(path: Path, why: str) -> None:
    """Beside what the manifest vouches for: the release may still be promoted by hand."""
    (path / NOT_PROMOTED).write_text(why + "\n", encoding="utf-8")


def _listed(path: Path, served: str | None) -> Listed:
    try:
        manifest = read_manifest(path)
    except ReleaseMismatch as mismatch:
        return Listed(path.name, "", path.name == served, str(mismatch), "")
    problem = None
    try:
        verify_release(path)
    except ReleaseMismatch as mismatch:
        problem = str(mismatch)
    note = path / NOT_PROMOTED
    why = note.read_text("utf-8").strip() if note.exists() and manifest.id != served else None
    return Listed(manifest.id, manifest.created_at, manifest.id == served, problem, manifest.provenance, why)


def _switch(redis, change) -> Pointer:
    """Applies `change` to the pointer; again from the start when another process changed it
    meanwhile."""
    while True:
        held = redis.get(RELEASE_POINTER)
        pointer = change(decode_pointer(held))
        if redis.eval(_SWITCH, 1, RELEASE_POINTER, held or b"", msgspec.json.encode(pointer)):
            return pointer


def _export_failures(release: Release) -> list[str]:
    """The graphs as served, against what the trained models answered on made-up rows."""
    path = release.path / "behavior" / SAMPLES
    try:
        samples = msgspec.json.decode(path.read_bytes(), type=SampleRows)
    except (FileNotFoundError, msgspec.DecodeError) as error:
        return [f"the release has no sample rows to check its graphs with ({error})"]
    answers = release.behavior.raw(np.array(samples.inputs, dtype=np.float32))
    gaps = {t: np.abs(p - np.array(samples.expected[t])).max() for t, p in answers.items()}
    return [
        f"{target}: its graph differs from the trained model by {gap:.2g}"
        for target, gap in gaps.items()
        if not gap <= ONNX_TOLERANCE
    ]
