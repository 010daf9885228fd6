"""The whole of it with the packaged encoder and a shop's own small list."""

from pathlib import Path

import numpy as np
import pytest

from models.encoder import load_encoder
from models.runtime.utterance import UtteranceModel, UtteranceModelError
from models.utterance.build import build_utterance
from models.utterance.embedding_cache import embed_cached
from models.utterance.external import BITEXT, EXTERNAL

SHARED = Path(__file__).parents[4] / "shared" / "data"
ENGRAVING = [
    "can you engrave a name on the ring",
    "engraving price for a watch",
    "刻字要多久",
    "戒指可以刻字吗",
    "I want my initials engraved",
    "what fonts for engraving",
]
REPAIR = [
    "my watch stopped, can you repair it",
    "repair a broken clasp",
    "手表坏了能修吗",
    "修一条项链多少钱",
    "fix the chain of my necklace",
    "battery change for my watch",
]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(device="cpu")


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "shop.csv"
    lines = [f"{text},engraving" for text in ENGRAVING] + [f"{text},repair" for text in REPAIR]
    lines = [line.replace("stopped, can", "stopped can") for line in lines]
    path.write_text("\n".join(["text,intent", *lines]), "utf-8")
    return path


def test_a_shops_list_becomes_a_model_that_serves_it(encoder, labelled, tmp_path):
    metrics = build_utterance(encoder, tmp_path / "model", labelled)
    assert metrics["held_out"]["rows"] == 12
    assert metrics["held_out"]["author"] == "the shop"
    served = UtteranceModel.load(tmp_path / "model", encoder.revision)
    assert served.intents == ("engraving", "repair")
    probabilities = served.predict(encoder.embed(["please engrave this", "项链断了帮我修"]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities.argmax(axis=1).tolist() == [0, 1]


def test_a_model_of_another_encoder_is_refused(encoder, labelled, tmp_path):
    build_utterance(encoder, tmp_path / "model", labelled)
    with pytest.raises(UtteranceModelError, match="build the utterance model again"):
        UtteranceModel.load(tmp_path / "model", "another")
    with pytest.raises(UtteranceModelError, match=r"no utterance\.json"):
        UtteranceModel.load(tmp_path, encoder.revision)


class CountingEncoder:
    def __init__(self, encoder):
        self.encoder, self.revision, self.dim = encoder, encoder.revision, encoder.dim
        self.asked = []

    def embed(self, texts):
        self.asked += texts
        return self.encoder.embed(texts)


def test_cached_vectors_are_not_computed_again(encoder, tmp_path):
    counting = CountingEncoder(encoder)
    first = embed_cached(counting, ["red shoes", "hat"], tmp_path)
    again = embed_cached(counting, ["HAT", "scarf", "red shoes"], tmp_path)
    assert counting.asked == ["red shoes", "hat", "scarf"]
    np.testing.assert_array_equal(again[[2, 0]], first)
    (tmp_path / f"{encoder.revision}.npz").write_bytes(b"PK cut short")
    np.testing.assert_allclose(embed_cached(counting, ["hat"], tmp_path), first[1:], atol=1e-5)


@pytest.mark.skipif(not SHARED.is_dir(), reason="other authors' sets (../shared/data) are absent")
def test_other_authors_sets_are_read_and_mapped():
    sizes = {name: len(read(SHARED)) for name, (read, _) in EXTERNAL.items()}
    assert sizes["wands"] == 480
    assert min(sizes.values()) > 100
    bitext = EXTERNAL["bitext"][0](SHARED)
    assert {row.template for row in bitext} == set(BITEXT)
    tracked = {row.intent for row in bitext if row.template == "track_order"}
    assert tracked == {"order_status"}
