"""A challenger against what is served, from trained files to the pointer."""

import shutil

import msgspec
import numpy as np
import pytest

from models.behavior.comparison import Comparison, Decision, decide
from models.release import Learned
from models.tracking import log_release, tracking_client
from online_api import keys
from orchestration import challenger, releases
from orchestration.resources import Platform
from tests.models.behavior.synthetic import make_table
from tests.models.release_parts import REVISION, Parts


class SmallEncoder:
    revision, dim = REVISION, 384

    def embed(self, texts):
        return np.zeros((len(texts), self.dim), dtype=np.float32)


class SmallPlatform(Platform):
    """With an encoder that is not the packaged one."""

    encoder = SmallEncoder()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return Parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture
def platform(settings, parts, tmp_path):
    """Trained, not yet a release."""
    platform = SmallPlatform(msgspec.structs.replace(settings, utterances=tmp_path / "own.csv"))
    shutil.copytree(parts.behavior, releases.behavior_folder(platform))
    shutil.copytree(parts.utterance, releases.utterance_folder(platform))
    shutil.copytree(parts.encoders, platform.encoders)
    releases.write_report(platform, "behavior", parts.report)
    releases.held_out_corrections(platform).write_bytes(b'{"intents": [], "probabilities": {}}')
    return platform


def built(platform, parts, learned=Learned("day", 0)) -> str:
    path = parts.build(platform.releases, learned=learned)
    log_release(path, platform.tracking, 1)
    return path.name


def test_nothing_served_yet_means_nothing_to_compare_with(platform):
    comparison = challenger.compare(platform, make_table(), seed=1)
    assert comparison == Comparison(None) and decide(comparison).promote


def test_the_same_model_is_kept_beside_what_is_served_with_the_reason(platform, parts, server):
    first = built(platform, parts)
    releases.settle(platform, first, Comparison(None), Decision(True, "the first release"))
    comparison = challenger.compare(platform, make_table(), seed=1)
    decision = decide(comparison)
    assert comparison.champion == first and len(comparison.targets) == 3 and not decision.promote

    second = built(platform, parts, Learned("day", 7))
    assert releases.settle(platform, second, comparison, decision).id == first
    listed = {entry.id: entry for entry in releases.list_all(platform)}
    assert listed[first].served and listed[first].not_promoted is None
    assert decision.why == listed[second].not_promoted and listed[second].problem is None
    run = tracking_client(platform.tracking).search_model_versions(f"tags.release = '{second}'")[0].run_id
    data = tracking_client(platform.tracking).get_run(run).data
    assert data.tags["comparison.champion"] == first and data.tags["comparison.promoted"] == "false"
    assert data.metrics["comparison/purchase/log_loss_saved"] == 0
    assert releases.label_horizons(platform) == {first: "day", second: "day"}

    assert releases.promote(platform, second).id == second, "by hand it may be served all the same"
    assert next(e for e in releases.list_all(platform) if e.id == second).not_promoted is None


def test_a_champion_of_another_encoder_or_other_definitions_cannot_be_compared(platform, parts, server):
    first = built(platform, parts)
    releases.settle(platform, first, Comparison(None), Decision(True, "the first release"))
    platform.encoder = SmallEncoder()
    platform.encoder.revision = "another"
    comparison = challenger.compare(platform, make_table(), seed=1)
    assert comparison.obstacle and "another" in comparison.obstacle and decide(comparison).promote
    server.set(keys.RELEASE, b'{"id": "r-gone", "path": "/nowhere/r-gone"}')
    comparison = challenger.compare(platform, make_table(), seed=1)
    assert "no release at" in comparison.obstacle and decide(comparison).promote
