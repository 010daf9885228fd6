import shutil

import msgspec
import pytest

from feature_repo.behavior import DEFINITIONS_HASH
from models.runtime.release import (
    FEATURE_REFERENCES,
    MANIFEST,
    STAGE,
    Pointer,
    Release,
    ReleaseMismatch,
    decode_pointer,
    read_manifest,
)
from models.runtime.stage import DECLARED
from tests.models.behavior.synthetic import service_values
from tests.models.release_parts import REVISION, write_encoder


@pytest.fixture
def path(parts, tmp_path):
    return parts.build(tmp_path / "releases")


def rewrite(path, **changes) -> None:
    """Changes the manifest as a build would have written it: with a fitting id."""
    manifest = msgspec.structs.replace(read_manifest(path), **changes)
    manifest = msgspec.structs.replace(manifest, id=f"r-20240601-{manifest.content_hash()}")
    (path / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def test_a_release_is_loaded_whole(parts, path):
    release = Release.load(path, parts.encoders)
    assert release.id == path.name
    assert release.definitions_hash == DEFINITIONS_HASH
    assert release.encoder_revision == release.encoder.revision == REVISION
    assert release.features == FEATURE_REFERENCES
    row = release.rows.row(service_values({"session_view_count": 3}))
    assert set(release.behavior.score(row)) == {"purchase", "add_to_cart", "leave"}
    assert release.behavior.reasons(row, release.rows)
    assert release.stage.parameters == DECLARED
    vectors = release.encoder.embed(["the PRICE", "a bag"])
    asked = release.utterance.predict(vectors).argmax(axis=1)
    assert [release.utterance.intents[i] for i in asked] == ["price", "search"]


def test_an_encoder_of_the_same_revision_is_used_again(parts, path):
    first = Release.load(path, parts.encoders)
    assert Release.load(path, parts.encoders, first.encoder).encoder is first.encoder


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"definitions_hash": "0" * 12}, "was built for definitions 000000000000, this code has"),
        ({"features": FEATURE_REFERENCES[::-1]}, "in another order"),
        ({"encoder_revision": "unknown"}, "cannot be loaded: .*unknown"),
    ],
)
def test_what_does_not_fit_is_refused(parts, path, changes, message):
    rewrite(path, **changes)
    with pytest.raises(ReleaseMismatch, match=message):
        Release.load(path, parts.encoders)


def test_an_encoder_in_the_wrong_folder_is_refused(parts, path, tmp_path):
    encoders = tmp_path / "encoders"
    write_encoder(encoders, "another")
    (encoders / "another").rename(encoders / REVISION)
    with pytest.raises(ReleaseMismatch, match="its folder holds another"):
        Release.load(path, encoders)


def test_a_changed_file_is_refused(parts, path):
    content = bytearray((path / "behavior" / "behavior.json").read_bytes())
    content[-2] = ord(" ")
    (path / "behavior" / "behavior.json").write_bytes(content)
    with pytest.raises(ReleaseMismatch, match=r"behavior/behavior\.json was changed"):
        Release.load(path, parts.encoders)


def test_a_missing_file_is_refused(parts, path):
    (path / "behavior" / "leave.onnx").unlink()
    with pytest.raises(ReleaseMismatch, match=r"behavior/leave\.onnx is missing"):
        Release.load(path, parts.encoders)


def test_a_release_without_stage_parameters_asks_for_a_new_one(parts, path):
    (path / STAGE).unlink()
    rewrite(path, files={f: h for f, h in read_manifest(path).files.items() if f != STAGE})
    with pytest.raises(ReleaseMismatch, match=r"has no stage\.json: build a new release"):
        Release.load(path, parts.encoders)


def test_an_edited_manifest_is_refused(parts, path):
    manifest = msgspec.structs.replace(read_manifest(path), provenance="real: elsewhere")
    (path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ReleaseMismatch, match="was changed after it was built"):
        Release.load(path, parts.encoders)


def test_no_release_or_a_damaged_one_is_refused(parts, path, tmp_path):
    with pytest.raises(ReleaseMismatch, match="no release at"):
        Release.load(tmp_path / "none", parts.encoders)
    (path / MANIFEST).write_text("{")
    with pytest.raises(ReleaseMismatch, match="is damaged"):
        Release.load(path, parts.encoders)
    shutil.rmtree(path)
    with pytest.raises(ReleaseMismatch, match="no release at"):
        Release.load(path, parts.encoders)


def test_pointer_is_read_or_refused():
    pointer = Pointer("r-1", "/a", ("r-0",), "2024-06-01T00:00:00Z")
    assert decode_pointer(msgspec.json.encode(pointer)) == pointer
    assert decode_pointer(None) is None
    with pytest.raises(ReleaseMismatch, match="intent:release does not hold a release pointer"):
        decode_pointer(b"not json")
