import msgspec
import numpy as np
import pytest

from models.runtime.utterance import UtteranceInfo, UtteranceModel, UtteranceModelError
from models.utterance.head import IntentHead, Layer, write_head

RNG = np.random.default_rng(0)
HEAD = IntentHead(
    ("buy", "leave", "ask"),
    (
        Layer(RNG.normal(size=(8, 4)).astype("f4"), RNG.normal(size=4).astype("f4")),
        Layer(RNG.normal(size=(4, 3)).astype("f4"), RNG.normal(size=3).astype("f4")),
    ),
    1.7,
)


@pytest.fixture
def folder(tmp_path):
    write_head(HEAD, tmp_path / "head.onnx")
    info = UtteranceInfo(HEAD.intents, "rev1", 8, HEAD.temperature, {})
    (tmp_path / "utterance.json").write_bytes(msgspec.json.encode(info))
    return tmp_path


def test_served_probabilities_are_those_of_the_head(folder):
    model = UtteranceModel.load(folder, "rev1")
    vectors = RNG.normal(size=(5, 8)).astype("f4")
    assert model.intents == HEAD.intents
    np.testing.assert_allclose(model.predict(vectors), HEAD.predict(vectors), atol=1e-6)
    np.testing.assert_allclose(model.predict(vectors).sum(axis=1), 1, atol=1e-6)


def test_vectors_of_another_size_are_refused(folder):
    with pytest.raises(ValueError, match=r"expected \(n, 8\)"):
        UtteranceModel.load(folder, "rev1").predict(np.zeros((2, 9), "f4"))


def test_another_encoders_vectors_are_refused(folder):
    with pytest.raises(UtteranceModelError, match="revision rev1, not rev2"):
        UtteranceModel.load(folder, "rev2")


def test_a_damaged_description_is_refused(folder):
    (folder / "utterance.json").write_text('{"intents": []}')
    with pytest.raises(UtteranceModelError, match=r"utterance\.json"):
        UtteranceModel.load(folder, "rev1")
