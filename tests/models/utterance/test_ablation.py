import numpy as np
import pytest

from models.text.cues import Token
from models.utterance.ablation import (
    HELD_OUT,
    VARIANTS,
    WORD_DIMENSIONS,
    Corpus,
    ablate,
    as_table,
    control_block,
    paired_interval,
    word_block,
)
from models.utterance.dataset import Labelled

WITHOUT_WORDS = {name: blocks for name, blocks in VARIANTS.items() if word_block not in blocks}


@pytest.fixture(scope="module")
def corpus():
    """The intent is the root's lemma; vectors say nothing."""
    rng = np.random.default_rng(0)
    lemmas = ["pay", "send"] * 60
    rows = [Labelled(f"{lemma} {i}", lemma, "en", f"t{i // 4}") for i, lemma in enumerate(lemmas)]
    parses = [[Token(lemma, "VERB", "root", 0, "")] for lemma in lemmas]
    vectors = rng.normal(size=(len(rows), 4)).astype(np.float32)
    words = [[f"w{word}" for word in rng.integers(150, size=10)] for _ in rows]
    return Corpus(rows, vectors, words, parses)


def test_what_helps_is_told_from_what_does_not(corpus):
    rows = ablate(corpus, {"other": corpus.at(np.arange(40))}, [0], WITHOUT_WORDS)
    assert [(r["set"], r["variant"]) for r in rows] == [
        (s, v) for s in (HELD_OUT, "other") for v in WITHOUT_WORDS
    ]
    held_out = {r["variant"]: r for r in rows if r["set"] == HELD_OUT}
    assert held_out["+ dependency cues"]["accuracy"] > 0.95
    assert held_out["+ dependency cues"]["gain_95"][0] > 0.2
    low, high = held_out["+ parts of speech"]["gain_95"]
    assert low <= 0.1 and high >= -0.1
    assert as_table(rows).count("\n") == len(rows) + 1


def test_intervals_resample_whole_groups():
    """Twenty texts of one template say no more than one text does."""
    gain = np.repeat([[1.0, -1.0, 1.0, 0.0]], 5, axis=1)
    low, high = paired_interval(gain, np.repeat(["a", "b", "c", "d"], 5).tolist())
    assert low <= -0.25 and high == 1.0
    alone = paired_interval(gain, [str(i) for i in range(20)])
    assert alone[1] - alone[0] < high - low


def test_intervals_resample_seeds():
    """A gain that one seed has and another has not is no certain gain."""
    groups = [str(i) for i in range(20)]
    assert paired_interval(np.array([[1.0] * 20, [-1.0] * 20]), groups) == [-1.0, 1.0]
    assert paired_interval(np.ones((2, 20)), groups) == [1.0, 1.0]


def test_words_become_as_many_inputs_as_the_control_has(corpus):
    made = word_block(corpus)(corpus)
    assert made.shape == control_block(corpus)(corpus).shape == (len(corpus.rows), WORD_DIMENSIONS)
