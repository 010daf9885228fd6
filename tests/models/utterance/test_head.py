import numpy as np
import pytest

from models.utterance.dataset import Labelled
from models.utterance.head import train_head


def clusters(intents, per_intent=60, dim=16, noise=0.6):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(intents), dim))
    target = np.repeat(np.arange(len(intents)), per_intent)
    vectors = centres[target] + noise * rng.normal(size=(len(target), dim))
    rows = [Labelled(f"t{i}", intents[t]) for i, t in enumerate(target)]
    return vectors.astype(np.float32), rows, target


@pytest.mark.parametrize("intents", [("a", "b"), ("a", "b", "c", "d")])
def test_learns_clusters_and_says_how_sure_it_is(intents):
    vectors, rows, target = clusters(intents)
    trained = train_head(vectors, rows)
    assert trained.head.intents == intents
    for probabilities in (trained.head.predict(vectors), trained.held_out):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert (probabilities.argmax(axis=1) == target).mean() > 0.9


def test_same_seed_same_head():
    vectors, rows, _ = clusters(("a", "b", "c"))
    first, again = train_head(vectors, rows).head, train_head(vectors, rows).head
    np.testing.assert_array_equal(first.logits(vectors), again.logits(vectors))


def test_an_intent_of_a_single_template_can_be_trained():
    vectors, rows, target = clusters(("a", "b", "c"))
    rows = [Labelled(row.text, row.intent, "", "only" if row.intent == "c" else "") for row in rows]
    trained = train_head(vectors, rows)
    assert (trained.head.predict(vectors).argmax(axis=1) == target).mean() > 0.9
    assert not (trained.held_out[target == 2].argmax(axis=1) == 2).any()
