import re
import shutil
import threading
from datetime import date

import msgspec
import numpy as np
import pytest
import redis

from models.behavior.samples import SAMPLES, SampleRows
from models.release import (
    GateFailed,
    Limits,
    build_release,
    gates,
    list_releases,
    promote,
    rollback,
)
from models.runtime.release import (
    MANIFEST,
    RELEASE_POINTER,
    Manifest,
    ReleaseMismatch,
    read_manifest,
    read_pointer,
)
from tests.models.release_parts import DAY, PROVENANCE, REVISION, utterance_metrics
from tests.online_api.redis_process import redis_process

NOW, LATER = "2024-06-01T00:00:00Z", "2024-06-02T00:00:00Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_process(tmp_path_factory.mktemp("redis")) as url:
        yield redis.Redis.from_url(url)


@pytest.fixture
def store(server):
    server.flushall()
    return server


@pytest.fixture
def releases(tmp_path):
    return tmp_path / "releases"


def test_a_release_is_named_after_its_content_and_day(parts, releases):
    path = parts.build(releases)
    assert re.fullmatch(r"r-20240601-[0-9a-f]{8}", path.name)
    assert parts.build(releases) == path
    assert parts.build(releases, accuracy=0.8) != path
    next_day = parts.build(releases, date(2024, 6, 2))
    assert next_day.name.split("-")[2] == path.name.split("-")[2]
    manifest = read_manifest(path)
    assert manifest.id == path.name
    assert manifest.provenance == PROVENANCE
    assert set(manifest.files) == {
        str(p.relative_to(path)) for p in path.rglob("*") if p.is_file() and p.name != MANIFEST
    }


def test_a_build_that_fails_leaves_nothing(parts, releases, tmp_path):
    with pytest.raises(FileNotFoundError):
        build_release(parts.behavior, tmp_path / "none", REVISION, parts.report, {}, releases, DAY)
    assert list(releases.iterdir()) == []


def test_a_good_release_passes_and_is_served(parts, releases, store):
    assert read_pointer(store) is None
    path = parts.build(releases)
    assert gates(path, parts.encoders) == []
    promote(store, path, parts.encoders, NOW)
    pointer = read_pointer(store)
    assert (pointer.id, pointer.path) == (path.name, str(path))
    assert (pointer.previous, pointer.promoted_at) == ((), NOW)


def test_rollback_goes_back_one_by_one(parts, releases, store):
    paths = [parts.build(releases, date(2024, 6, day)) for day in (1, 2, 3)]
    for path in paths:
        promote(store, path, parts.encoders, NOW)
    assert read_pointer(store).previous == (paths[1].name, paths[0].name)
    assert promote(store, paths[2], parts.encoders, LATER).promoted_at == NOW
    assert rollback(store, releases, LATER).id == paths[1].name
    assert read_pointer(store).path == str(paths[1])
    assert rollback(store, releases, LATER).id == paths[0].name
    with pytest.raises(ReleaseMismatch, match="no release was served before"):
        rollback(store, releases, LATER)
    assert read_pointer(store).id == paths[0].name


def test_rollback_refuses_what_can_no_longer_be_served(parts, releases, store):
    with pytest.raises(ReleaseMismatch, match="nothing is served"):
        rollback(store, releases, NOW)
    old, new = (parts.build(releases, date(2024, 6, day)) for day in (1, 2))
    for path in (old, new):
        promote(store, path, parts.encoders, NOW)
    (old / "behavior" / "leave.onnx").unlink()
    with pytest.raises(ReleaseMismatch, match=r"behavior/leave\.onnx is missing"):
        rollback(store, releases, LATER)
    assert read_pointer(store).id == new.name


def test_promoting_again_does_not_repeat_a_release_in_the_past(parts, releases, store):
    first, second = (parts.build(releases, date(2024, 6, day)) for day in (1, 2))
    for path in (first, second, first, second):
        promote(store, path, parts.encoders, NOW)
    assert read_pointer(store).previous == (first.name,)


def test_switches_at_the_same_time_lose_nothing(parts, releases, store):
    """Each of eight promotions at once finds a place in the pointer's past."""
    paths = [parts.build(releases, date(2024, 6, day)) for day in range(1, 9)]
    start = threading.Barrier(len(paths))

    def run(path):
        start.wait()
        promote(store, path, parts.encoders, NOW)

    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pointer = read_pointer(store)
    assert {pointer.id, *pointer.previous} == {path.name for path in paths}
    assert len(pointer.previous) == len(paths) - 1


def with_target(report, target="purchase", **changes):
    """The report with figures of one target's test replaced: a name, or a name of an estimate."""
    found = report.targets[target]
    test = msgspec.structs.replace(found.test, **changes)
    targets = {**report.targets, target: msgspec.structs.replace(found, test=test)}
    return msgspec.structs.replace(report, targets=targets)


def estimate(report, figure, **changes):
    found = getattr(report.targets["purchase"].test, figure)
    return {figure: msgspec.structs.replace(found, **changes)}


@pytest.mark.parametrize(
    "changes, message",
    [
        (lambda r: estimate(r, "roc_auc", low=0.49), "ROC-AUC on later sessions is 0.490"),
        (lambda r: {"roc_auc": None}, "ROC-AUC on later sessions is unknown"),
        (lambda r: estimate(r, "ece", value=0.2), "calibration error on later sessions is 0.200"),
        (lambda r: estimate(r, "log_loss", value=2.0), "worse than the base rate's"),
        (lambda r: estimate(r, "log_loss", value=float("nan")), "metrics are incomplete"),
    ],
)
def test_a_release_that_measures_badly_is_not_promoted(parts, releases, store, changes, message):
    served = parts.build(releases)
    promote(store, served, parts.encoders, NOW)
    bad = parts.build(releases, report=with_target(parts.report, **changes(parts.report)))
    with pytest.raises(GateFailed, match=message):
        promote(store, bad, parts.encoders, LATER)
    assert read_pointer(store).id == served.name


def test_a_prior_needs_no_area(parts, releases):
    found = parts.report.targets["purchase"]
    prior = msgspec.structs.replace(
        found, kind="prior", test=msgspec.structs.replace(found.test, roc_auc=None, pr_auc=None)
    )
    report = msgspec.structs.replace(parts.report, targets={**parts.report.targets, "purchase": prior})
    assert gates(parts.build(releases, report=report), parts.encoders) == []


def test_carts_that_lower_a_purchase_are_a_failure(parts, releases):
    found = msgspec.structs.replace(parts.report.targets["purchase"], cart_raises=0.5)
    report = msgspec.structs.replace(parts.report, targets={**parts.report.targets, "purchase": found})
    (failure,) = gates(parts.build(releases, report=report), parts.encoders)
    assert "one more cart event lowers it on 50%" in failure


@pytest.mark.parametrize("accuracy", [0.5, None, float("nan")])
def test_poor_or_unknown_utterance_accuracy_is_a_failure(parts, releases, accuracy):
    (failure,) = gates(parts.build(releases, accuracy=accuracy), parts.encoders)
    assert "accuracy" in failure or "incomplete" in failure
    assert gates(parts.build(releases), parts.encoders, Limits(min_utterance_accuracy=0.95))


def test_graphs_that_answer_otherwise_are_a_failure(parts, releases, tmp_path):
    """Behaviour files whose samples come from other weights: hashes hold, answers do not."""
    folder = tmp_path / "behavior"
    shutil.copytree(parts.behavior, folder)
    samples = msgspec.json.decode((folder / SAMPLES).read_bytes(), type=SampleRows)
    samples.expected["leave"][3] += 0.01
    (folder / SAMPLES).write_bytes(msgspec.json.encode(samples))
    release_id = build_release(
        folder, parts.utterance, REVISION, parts.report, utterance_metrics(), releases, DAY
    )
    (failure,) = gates(releases / release_id, parts.encoders)
    assert failure == "leave: its graph differs from the trained model by 0.01"


def test_samples_are_of_nobody(parts):
    samples = msgspec.json.decode((parts.behavior / SAMPLES).read_bytes(), type=SampleRows)
    assert np.isfinite(samples.inputs).all()
    assert set(samples.expected) == set(parts.report.targets)


def test_a_release_for_other_definitions_is_refused_in_one_line(parts, releases, store):
    path = parts.build(releases)
    manifest = msgspec.structs.replace(read_manifest(path), definitions_hash="0" * 12)
    rewritten = msgspec.structs.replace(manifest, id=f"r-20240601-{manifest.content_hash()}")
    (path / MANIFEST).write_bytes(msgspec.json.encode(rewritten))
    with pytest.raises(GateFailed, match="was built for definitions 000000000000") as refused:
        promote(store, path, parts.encoders, NOW)
    assert "\n" not in str(refused.value)
    assert store.get(RELEASE_POINTER) is None


def test_listing_says_what_is_served_and_what_cannot_be(parts, releases, store):
    old, new, broken, empty = (parts.build(releases, date(2024, 6, day)) for day in (1, 2, 3, 4))
    promote(store, old, parts.encoders, NOW)
    (broken / "behavior" / "leave.onnx").write_bytes(b"")
    (empty / MANIFEST).unlink()
    listed = {found.id: found for found in list_releases(store, releases)}
    assert list(listed)[:3] == [broken.name, new.name, old.name]
    assert [listed[p.name].served for p in (old, new, broken, empty)] == [True, False, False, False]
    assert listed[old.name].problem is None
    assert "leave.onnx was changed" in listed[broken.name].problem
    assert "no release at" in listed[empty.name].problem


def test_manifest_survives_its_file(parts, releases):
    path = parts.build(releases)
    decoded = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    assert decoded.id.endswith(decoded.content_hash())
