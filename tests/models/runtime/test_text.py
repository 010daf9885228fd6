import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel

from models.encoder import Encoder, export_onnx
from models.runtime.text import MAX_CHARS, TextEncoder, TextEncoderError, normalize_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT with random weights, exported."""
    words = ["<pad>", "<unk>", "red", "blue", "shoes", "hat", "my", "order"]
    places = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(places, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    model = BertModel(config, add_pooling_layer=False)
    out = tmp_path_factory.mktemp("encoder")
    export_onnx(Encoder(model, tokenizer, 0, "my ", "random", "cpu"), out)
    return out


class CountingSession:
    def __init__(self, session):
        self.session, self.texts = session, 0

    def run(self, outputs, inputs):
        self.texts += len(inputs["input_ids"])
        return self.session.run(outputs, inputs)


def counting(folder, cache_size):
    encoder = TextEncoder.load(folder, cache_size=cache_size)
    encoder._session = CountingSession(encoder._session)
    return encoder


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("  Red \t shoes\n", "red shoes"),
        ("ＩＰＨＯＮＥ　１５", "iphone 15"),
        ("a\u200bb\x00c", "abc"),
        ("退货？", "退货?"),
        ("👍 ok", "👍 ok"),
        ("👍🏽👍🏿 👍", "👍"),
        ("❤️ 🙋🏻\u200d♀️", "❤ 🙋"),
        ("😂🤣😂🤣", "😂🤣😂🤣"),
        ("🇨🇨 1️⃣2️⃣", "🇨🇨 12"),
        ("紅色運動鞋 請問發貨", "红色运动鞋 请问发货"),
        ("乾隆 乾燥 頭髮 發財", "乾隆 干燥 头发 发财"),
        ("ＡＰＰＬＥ 手機殼", "apple 手机壳"),
        ("e\u200b\u0301", "é"),
        ("㌀" * MAX_CHARS, ("アパート" * MAX_CHARS)[:MAX_CHARS]),
        ("", ""),
        ("x" * (MAX_CHARS + 5), "x" * MAX_CHARS),
    ],
)
def test_normalized_text(typed, normal):
    assert normalize_text(typed) == normal
    assert normalize_text(normal) == normal


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="薴"), max_size=12))
def test_a_normalised_text_is_its_own_normal_form(text):
    """But for one character, which simplifies in two steps."""
    normal = normalize_text(text)
    assert normalize_text(normal) == normal
    assert normal == normal.strip() and len(normal) <= MAX_CHARS


def test_one_text_in_two_spellings_has_one_vector(folder):
    encoder = counting(folder, 10)
    vectors = encoder.embed(["Red  shoes", "blue hat", "red shoes"])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert encoder._session.texts == 2
    assert encoder.embed([]).shape == (0, encoder.dim)


def test_a_vector_does_not_depend_on_its_neighbours_or_on_threads(folder):
    texts = ["red", "blue shoes hat order red blue", "hat hat"]
    together = TextEncoder.load(folder, threads=2).embed(texts)
    alone = np.concatenate([TextEncoder.load(folder).embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_cache_answers_again_and_forgets_the_least_recent(folder):
    encoder = counting(folder, 2)
    encoder.embed(["red"])
    encoder.embed(["blue"])
    encoder.embed(["red"])
    encoder.embed(["hat"])
    assert encoder._session.texts == 3
    encoder.embed(["red", "hat"])
    assert encoder._session.texts == 3
    encoder.embed(["blue"])
    assert encoder._session.texts == 4


def test_changing_an_answer_does_not_change_the_cache(folder):
    encoder = TextEncoder.load(folder)
    first = encoder.embed(["red"])
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(encoder.embed(["red"]), kept)


def test_missing_or_foreign_files_are_refused(folder, tmp_path):
    with pytest.raises(TextEncoderError, match=r"no encoder\.json"):
        TextEncoder.load(tmp_path)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    info = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps(info | {"normalization": "none"}))
    with pytest.raises(TextEncoderError, match="export the encoder again"):
        TextEncoder.load(tmp_path)
    (tmp_path / "encoder.json").write_text("{}")
    with pytest.raises(TextEncoderError, match="missing required field"):
        TextEncoder.load(tmp_path)
