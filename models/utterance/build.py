"""From labelled text to the files a release carries: `head.onnx` and `utterance.json`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from models.runtime.utterance import UtteranceInfo
from models.utterance.corrections import agreed, without_corrected, write_held_out
from models.utterance.dataset import (
    FEEDBACK,
    Correction,
    Labelled,
    distinct,
    load_labelled,
    own_rows,
    own_test_rows,
)
from models.utterance.embedding_cache import embed_cached
from models.utterance.evaluation import evaluate
from models.utterance.head import IntentHead, train_head, write_head

if TYPE_CHECKING:
    from models.encoder import Encoder

OWN_AUTHOR = "self-written"
CORRECTED_BY = "users of the API"
CORRECTION_WEIGHT = 10
"""A correction counts as so many rows: one text among thousands would hardly change the head."""


class Trained(NamedTuple):
    head: IntentHead
    metrics: dict[str, Any]
    """`held_out`: rows whose template the head did not see; `feedback`: the corrections among them."""
    rows: Sequence[Labelled]
    held_out: np.ndarray
    """Probabilities of every row by a head that saw neither it nor its template."""


def train_utterance(
    encoder: "Encoder",
    rows: Sequence[Labelled],
    data: str,
    author: str,
    cache: Path | None = None,
) -> Trained:
    rows = distinct(rows)
    vectors = embed_cached(encoder, [row.text for row in rows], cache)
    corrected = [i for i, row in enumerate(rows) if row.provenance == FEEDBACK]
    weighted = [*range(len(rows)), *(corrected * (CORRECTION_WEIGHT - 1))]
    head, held_out = train_head(vectors[weighted], [rows[i] for i in weighted])
    held_out = held_out[: len(rows)]
    found = f"{data}{f' and {len(corrected)} corrections' if corrected else ''}, templates held out in turn"
    metrics = {"held_out": evaluate(held_out, rows, head.intents, found, author)}
    if corrected:
        texts = [rows[i] for i in corrected]
        name = f"{len(corrected)} corrected texts, held out in turn"
        metrics["feedback"] = evaluate(held_out[corrected], texts, head.intents, name, CORRECTED_BY)
    return Trained(head, metrics, rows, held_out)


def build_utterance(
    encoder: "Encoder",
    folder: Path,
    labelled: Path | None = None,
    cache: Path | None = None,
    corrections: Sequence[Correction] = (),
    held_out: Path | None = None,
) -> dict[str, Any]:
    """Trains on the shop's CSV if one is given, else on the project's own text, and on corrections of
    intents that these know; writes `head.onnx` and `utterance.json` into `folder`; returns the
    metrics, each naming its data. `held_out`: a file to keep what heads that did not see the corrections
    answer for them.
    """
    if labelled is not None:
        given, data, author = load_labelled(labelled), labelled.name, "the shop"
    else:
        given, data, author = own_rows(), "own templates and lines", OWN_AUTHOR
    known = {row.intent for row in given}
    corrected = agreed(c for c in corrections if c.intent in known)
    rows = [*without_corrected(given, corrected), *corrected]
    trained = train_utterance(encoder, rows, data, author, cache)
    head, metrics = trained.head, trained.metrics
    if labelled is None:
        test = without_corrected(own_test_rows(), corrected)
        vectors = embed_cached(encoder, [row.text for row in test], cache)
        metrics["test"] = evaluate(
            head.predict(vectors), test, head.intents, "own hand-written test lines", OWN_AUTHOR
        )
    if held_out is not None:
        write_held_out(held_out, head.intents, trained.rows, trained.held_out)
    folder.mkdir(parents=True, exist_ok=True)
    write_head(head, folder / "head.onnx")
    info = UtteranceInfo(head.intents, encoder.revision, encoder.dim, head.temperature, metrics)
    (folder / "utterance.json").write_bytes(msgspec.json.format(msgspec.json.encode(info)))
    return metrics
