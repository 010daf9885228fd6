"""A release as it is served: one folder, checked against the definitions and loaded whole.

<releases>/<id>/release.json      the manifest, with the SHA-256 of every other file
<releases>/<id>/behavior/...      see models.runtime.behavior
<releases>/<id>/utterance/...     see models.runtime.utterance
<releases>/<id>/stage.json        see models.runtime.stage
<encoders>/<revision>/...         shared by the releases that pin this revision
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from feature_repo.behavior import DEFINITIONS_HASH, SERVICE_FEATURES
from models.runtime.behavior import BehaviorModel
from models.runtime.row import RowBuilder
from models.runtime.stage import StageModel
from models.runtime.text import TextEncoder
from models.runtime.utterance import UtteranceModel

RELEASE_POINTER = "intent:release"
MANIFEST = "release.json"
STAGE = "stage.json"
FEATURE_REFERENCES = tuple(f.reference for f in SERVICE_FEATURES)


class ReleaseMismatch(ValueError):
    """A release cannot be served by this code; the message says why and what to do."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`features`: references in the order of the model's input. `files`: SHA-256 by path in the
    folder.

    `metrics` has the keys `behavior` (a BehaviorReport) and `utterance` (by name of a set of texts).
    `provenance` says which data the behaviour models were made from and who made it.
    """

    id: str
    definitions_hash: str
    encoder_revision: str
    features: tuple[str, ...]
    created_at: str
    files: dict[str, str]
    metrics: dict[str, Any]
    provenance: str

    def content_hash(self) -> str:
        """Eight hex digits of everything but the id and the date: the end of the id."""
        content = {k: v for k, v in msgspec.to_builtins(self).items() if k not in ("id", "created_at")}
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:8]


class Pointer(msgspec.Struct, frozen=True):
    """What is served, and what was before it, newest first."""

    id: str
    path: str
    previous: tuple[str, ...] = ()
    promoted_at: str = ""


def decode_pointer(content: bytes | str | None) -> Pointer | None:
    """The value of RELEASE_POINTER; None when nothing was ever promoted."""
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Pointer)
    except msgspec.DecodeError as error:
        raise ReleaseMismatch(
            f"Redis key {RELEASE_POINTER} does not hold a release pointer ({error}): "
            "delete it and promote a release"
        ) from error


def read_pointer(redis) -> Pointer | None:
    """`redis`: a synchronous client."""
    return decode_pointer(redis.get(RELEASE_POINTER))


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(path: Path) -> Manifest:
    """The manifest of the release at `path`, as it is; ReleaseMismatch if it cannot be read."""
    try:
        return msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ReleaseMismatch(f"no release at {path}: build one, or promote another") from None
    except msgspec.DecodeError as error:
        raise ReleaseMismatch(f"{path / MANIFEST} is damaged ({error}): build the release again") from error


def verify_release(path: Path) -> Manifest:
    """Checks a release against the definitions and its own hashes, without loading a model."""
    manifest = read_manifest(path)
    name = f"release {manifest.id}"
    if manifest.definitions_hash != DEFINITIONS_HASH:
        raise ReleaseMismatch(
            f"{name} was built for definitions {manifest.definitions_hash}, this code has "
            f"{DEFINITIONS_HASH}: train and promote a release for these definitions"
        )
    if manifest.features != FEATURE_REFERENCES:
        raise ReleaseMismatch(f"{name} reads other features than intent_v1, or in another order: train again")
    if not manifest.id.endswith(manifest.content_hash()):
        raise ReleaseMismatch(f"{name}: {MANIFEST} was changed after it was built: build the release again")
    for file, recorded in manifest.files.items():
        if not (path / file).is_file():
            raise ReleaseMismatch(f"{name}: {file} is missing: build the release again")
        if file_hash(path / file) != recorded:
            raise ReleaseMismatch(f"{name}: {file} was changed after it was built: build the release again")
    return manifest


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a score is made with. `rows` turns feature values into the behaviour models'
    input."""

    manifest: Manifest
    path: Path
    rows: RowBuilder
    behavior: BehaviorModel
    utterance: UtteranceModel
    encoder: TextEncoder
    stage: StageModel

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def definitions_hash(self) -> str:
        return self.manifest.definitions_hash

    @property
    def encoder_revision(self) -> str:
        return self.manifest.encoder_revision

    @property
    def features(self) -> tuple[str, ...]:
        return self.manifest.features

    @classmethod
    def load(cls, path: Path, encoders: Path, encoder: TextEncoder | None = None) -> "Release":
        """`encoders` holds a folder for each revision. An `encoder` already loaded is used again
        if it is of the release's revision."""
        path = Path(path)
        manifest = verify_release(path)
        name, revision = f"release {manifest.id}", manifest.encoder_revision
        if STAGE not in manifest.files:
            raise ReleaseMismatch(f"{name} has no {STAGE}: build a new release")
        try:
            if encoder is None or encoder.revision != revision:
                encoder = TextEncoder.load(Path(encoders) / revision)
            utterance = UtteranceModel.load(path / "utterance", revision)
            behavior = BehaviorModel.load(path / "behavior")
            stage = StageModel.load(path / STAGE)
        except Exception as error:  # whatever it is, this release cannot be served
            reason = str(error).splitlines()[0]
            raise ReleaseMismatch(f"{name} cannot be loaded: {reason}") from error
        if encoder.revision != revision:
            raise ReleaseMismatch(
                f"{name} pins encoder {revision}, its folder holds {encoder.revision}: "
                "export the encoder again"
            )
        rows = RowBuilder(utterance)
        if rows.columns != behavior.spec.columns:
            raise ReleaseMismatch(
                f"{name}: its behaviour models know other utterance intents than its utterance "
                "model: train again"
            )
        return cls(
            manifest=manifest,
            path=path,
            rows=rows,
            behavior=behavior,
            utterance=utterance,
            encoder=encoder,
            stage=stage,
        )
