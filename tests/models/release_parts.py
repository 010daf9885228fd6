"""Small real parts for releases: an encoder that knows six words, a head on it, trained behaviour."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from feature_repo.behavior import EMBEDDING_DIM
from models.behavior.report import BehaviorReport
from models.behavior.train import train_behavior
from models.document import Section
from models.release import Learned, build_release
from models.release_report import without_slices
from models.runtime.text import NORMALIZATION
from models.runtime.utterance import UtteranceInfo
from models.utterance.dataset import Labelled
from models.utterance.evaluation import evaluate
from models.utterance.head import IntentHead, Layer, write_head
from tests.models.behavior.synthetic import INTENTS, Head, make_table

REVISION = "sixwords0001"
WORDS = ("[pad]", "[unk]", "price", "cost", "refund", "return", "shoe", "bag")
ASKS_FOR = {
    "price": "price",
    "cost": "price",
    "refund": "other",
    "return": "other",
    "shoe": "search",
    "bag": "search",
}
PROVENANCE = "made up by this test"
DAY = date(2024, 6, 1)


def write_encoder(encoders: Path, revision: str = REVISION) -> None:
    """A bag of words: each known word is a direction of its own."""
    folder = encoders / revision
    folder.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "middle"], ["total"], keepdims=0),
        helper.make_node("LpNormalization", ["total"], ["embedding"], axis=-1, p=2),
    ]
    constants = {
        "table": np.eye(len(WORDS), EMBEDDING_DIM, dtype=np.float32),
        "last": np.array([2], dtype=np.int64),
        "middle": np.array([1], dtype=np.int64),
    }
    inputs = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        nodes,
        "six_words",
        [helper.make_tensor_value_info(i, TensorProto.INT64, ["n", "length"]) for i in inputs],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", EMBEDDING_DIM])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    info = {
        "revision": revision,
        "dim": EMBEDDING_DIM,
        "prefix": "",
        "max_length": 16,
        "pad_id": 0,
        "normalization": NORMALIZATION,
    }
    (folder / "encoder.json").write_text(json.dumps(info))


def write_utterance(folder: Path) -> None:
    """A head that knows what each word asks for, and takes the words it does not know for none."""
    evidence = np.zeros((EMBEDDING_DIM, len(INTENTS)), dtype=np.float32)
    for word, intent in ASKS_FOR.items():
        evidence[WORDS.index(word), INTENTS.index(intent)] = 8
    nothing = np.zeros(len(INTENTS), dtype=np.float32)
    layers = Layer(evidence, nothing), Layer(np.eye(len(INTENTS), dtype=np.float32), nothing)
    folder.mkdir(parents=True)
    write_head(IntentHead(INTENTS, layers, 1.0), folder / "head.onnx")
    info = UtteranceInfo(INTENTS, REVISION, EMBEDDING_DIM, 1.0, {})
    (folder / "utterance.json").write_bytes(msgspec.json.encode(info))


def utterance_metrics(accuracy: float | None = 0.9) -> dict[str, dict]:
    rows = [Labelled(word, intent, "en") for word, intent in ASKS_FOR.items()]
    sure = np.array([[0.8 if i == row.intent else 0.1 for i in INTENTS] for row in rows])
    return {"held_out": {**evaluate(sure, rows, INTENTS, "six words", "this test"), "accuracy": accuracy}}


class Parts:
    """What a release is built from, in `root`; training is done once. `report` lacks the figures by
    events seen, so that a build has nothing to draw; `full_report` has them."""

    def __init__(self, root: Path) -> None:
        self.encoders, self.behavior, self.utterance = (
            root / name for name in ("encoders", "behavior", "utterance")
        )
        write_encoder(self.encoders)
        write_utterance(self.utterance)
        self.full_report: BehaviorReport = train_behavior(
            make_table(), Head(), self.behavior, seed=1, provenance=PROVENANCE
        )
        self.report = without_slices(self.full_report)

    def build(
        self,
        releases: Path,
        day: date = DAY,
        report: BehaviorReport | None = None,
        accuracy: float | None = 0.9,
        revision: str = REVISION,
        others: Sequence[Section] = (),
        learned: Learned | None = None,
    ) -> Path:
        release_id = build_release(
            self.behavior,
            self.utterance,
            revision,
            report or self.report,
            utterance_metrics(accuracy),
            releases,
            day,
            others,
            learned=learned,
        )
        return releases / release_id
