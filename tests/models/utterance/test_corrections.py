"""Corrections of what a text asks for, and that the next model answers them."""

import csv

import numpy as np
import pytest

from models.behavior.comparison import MIN_TEXTS
from models.behavior.metrics import log_losses
from models.encoder import load_encoder
from models.runtime.utterance import UtteranceModel
from models.utterance.build import build_utterance
from models.utterance.corrections import HeldOut, agreed, compare_utterance, digest, without_corrected
from models.utterance.dataset import FEEDBACK, Correction, Labelled
from tests.models.utterance.test_build import ENGRAVING, REPAIR

TYPED = "手表坏了能修吗"


def test_most_say_and_the_last_of_as_many():
    given = [
        Correction("Broken  strap", "repair", 1),
        Correction("broken strap", "engraving", 2),
        Correction("ＢＲＯＫＥＮ strap", "repair", 3),
        Correction("刻字", "repair", 4),
        Correction("刻字 ", "engraving", 5),
    ]
    rows = agreed(reversed(given))
    assert [(row.text, row.intent, row.provenance) for row in rows] == [
        ("ＢＲＯＫＥＮ strap", "repair", FEEDBACK),
        ("刻字 ", "engraving", FEEDBACK),
    ]


def test_a_corrected_text_is_in_no_other_set():
    rows = [Labelled("Fix my watch", "repair"), Labelled("a ring", "engraving")]
    assert without_corrected(rows, [Labelled("fix my  WATCH", "engraving")]) == rows[1:]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(device="cpu")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "intent"))
        rows.writerows((text, "engraving") for text in ENGRAVING)
        rows.writerows((text, "repair") for text in REPAIR)
    return path


@pytest.fixture(scope="module")
def before(encoder, labelled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("before")
    build_utterance(encoder, folder, labelled)
    return UtteranceModel.load(folder, encoder.revision)


def answer(model, encoder, text: str) -> str:
    return model.intents[int(model.predict(encoder.embed([text])).argmax())]


def test_the_next_model_answers_a_corrected_text_as_corrected(encoder, labelled, before, tmp_path):
    assert answer(before, encoder, TYPED) == "repair"
    corrections = [Correction(TYPED, "engraving", 1), Correction("nonsense", "an intent of no model", 2)]
    metrics = build_utterance(
        encoder, tmp_path / "model", labelled, corrections=corrections, held_out=tmp_path / "held_out.json"
    )
    after = UtteranceModel.load(tmp_path / "model", encoder.revision)
    assert answer(after, encoder, TYPED) == "engraving"
    assert answer(after, encoder, REPAIR[4]) == "repair"
    assert metrics["held_out"]["rows"] == len(ENGRAVING) + len(REPAIR), "in the place of the text as given"
    assert metrics["feedback"]["rows"] == 1
    held_out = HeldOut.read(tmp_path / "held_out.json")
    assert set(held_out.probabilities) == {digest(TYPED)}
    assert TYPED not in (tmp_path / "held_out.json").read_text("utf-8")


def test_models_are_compared_on_corrections_that_neither_saw(encoder, before):
    texts = [f"请在{thing}上写我的名字" for thing in "金银铜铁木石玉竹布纸"]
    new = [Labelled(text, "repair", provenance=FEEDBACK) for text in texts]
    sure = HeldOut(("repair", "engraving"), {digest(text): [1.0, 1e-9] for text in texts})
    (found,) = compare_utterance(before, before, encoder, new, sure, own_test=False, seed=1)
    assert found.verdict == "better" and found.units == len(texts) >= MIN_TEXTS
    served = before.predict(encoder.embed(texts))[:, before.intents.index("repair")]
    assert found.champion_log_loss == pytest.approx(float(log_losses(np.ones(10), served).mean()), rel=1e-3)
    assert compare_utterance(before, before, encoder, new[:-1], sure, own_test=False, seed=1) == ()
