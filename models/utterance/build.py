"""From labelled text to the files a release carries: `head.onnx` and `utterance.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from models.encoder import Encoder
from models.runtime.utterance import UtteranceInfo
from models.utterance.dataset import Labelled, distinct, load_labelled, own_rows, own_test_rows
from models.utterance.embedding_cache import embed_cached
from models.utterance.evaluation import evaluate
from models.utterance.head import IntentHead, train_head, write_head

OWN_AUTHOR = "self-written"


class Trained(NamedTuple):
    head: IntentHead
    metrics: dict[str, Any]
    """`held_out`: rows whose template the head did not see."""


def train_utterance(
    encoder: Encoder,
    rows: Sequence[Labelled],
    data: str,
    author: str,
    cache: Path | None = None,
) -> Trained:
    rows = distinct(rows)
    vectors = embed_cached(encoder, [row.text for row in rows], cache)
    head, held_out = train_head(vectors, rows)
    found = f"{data}, templates held out in turn"
    return Trained(head, {"held_out": evaluate(held_out, rows, head.intents, found, author)})


def build_utterance(
    encoder: Encoder,
    folder: Path,
    labelled: Path | None = None,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Trains on the shop's CSV if one is given, else on the project's own text; writes
    `head.onnx` and `utterance.json` into `folder`; returns the metrics, each naming its data.
    """
    if labelled is not None:
        rows = load_labelled(labelled)
        head, metrics = train_utterance(encoder, rows, labelled.name, "the shop", cache)
    else:
        head, metrics = train_utterance(encoder, own_rows(), "own templates and lines", OWN_AUTHOR, cache)
        test = own_test_rows()
        vectors = embed_cached(encoder, [row.text for row in test], cache)
        metrics["test"] = evaluate(
            head.predict(vectors), test, head.intents, "own hand-written test lines", OWN_AUTHOR
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_head(head, folder / "head.onnx")
    info = UtteranceInfo(head.intents, encoder.revision, encoder.dim, head.temperature, metrics)
    (folder / "utterance.json").write_bytes(msgspec.json.format(msgspec.json.encode(info)))
    return metrics
