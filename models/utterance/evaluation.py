"""How good an utterance head is on a set of text, with intervals, and whose text it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.encoder import Encoder
from models.utterance.dataset import Labelled, distinct
from models.utterance.embedding_cache import embed_cached
from models.utterance.external import EXTERNAL
from models.utterance.head import IntentHead

RESAMPLES = 1000
CALIBRATION_BINS = 10


def evaluate(
    probabilities: np.ndarray,
    rows: Sequence[Labelled],
    intents: Sequence[str],
    data: str,
    author: str,
) -> dict[str, Any]:
    """Accuracy and macro-F1 (over the intents that occur) with 95 % bootstrap intervals,
    resampling whole templates; expected calibration error; accuracy by language; confusion.

    `probabilities` [n, intents]; rows of an intent that the head does not know are refused.
    """
    unknown = sorted({row.intent for row in rows} - set(intents))
    if unknown:
        raise ValueError(f"{data}: labels {', '.join(unknown)} are no intents of this model")
    target = np.array([intents.index(row.intent) for row in rows])
    guess = probabilities.argmax(axis=1)
    right = guess == target
    groups = [row.template or row.text for row in rows]
    low_high = _intervals(target, guess, groups, len(intents))
    confusion = _confusion(target, guess, len(intents))
    return {
        "data": data,
        "author": author,
        "rows": len(rows),
        "accuracy": round(float(right.mean()), 4),
        "accuracy_95": low_high["accuracy"],
        "macro_f1": round(float(_macro_f1(confusion)), 4),
        "macro_f1_95": low_high["macro_f1"],
        "calibration_error": round(calibration_error(probabilities.max(axis=1), right), 4),
        "accuracy_by_language": {
            language: round(float(right[[r.language == language for r in rows]].mean()), 4)
            for language in sorted({row.language for row in rows} - {""})
        },
        "recall_by_intent": {
            intent: round(float(right[target == i].mean()), 4)
            for i, intent in enumerate(intents)
            if (target == i).any()
        },
        "confusion": confusion.tolist(),
    }


def utterance_lines(metrics: dict[str, dict]) -> list[str]:
    """One line for each text the utterance model was measured on."""
    lines = []
    for measured in metrics.values():
        low, high = measured["accuracy_95"]
        by_language = ", ".join(f"{k} {v:.3f}" for k, v in measured["accuracy_by_language"].items())
        lines.append(
            f"accuracy {measured['accuracy']:.3f} ({low:.3f} to {high:.3f}), macro F1 "
            f"{measured['macro_f1']:.3f}, {by_language}; {measured['rows']} texts "
            f"[{measured['data']}; author: {measured['author']}"
            + ("; proves nothing about quality]" if measured["author"] == "self-written" else "]")
        )
    return lines


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by rows."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(right))


def _confusion(target: np.ndarray, guess: np.ndarray, intents: int) -> np.ndarray:
    """[intents, intents], a row an actual intent."""
    cells = np.bincount(target * intents + guess, minlength=intents * intents)
    return cells.reshape(intents, intents)


def _macro_f1(confusion: np.ndarray) -> float:
    actual, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * np.diag(confusion) / np.maximum(actual + guessed, 1)
    return float(f1[actual > 0].mean())


def _intervals(
    target: np.ndarray, guess: np.ndarray, groups: list[str], intents: int
) -> dict[str, list[float]]:
    """Resamples groups through the confusion matrix each of them adds."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    cells = np.zeros((len(number), intents * intents))
    np.add.at(cells, ([number[group] for group in groups], target * intents + guess), 1)
    rng = np.random.default_rng(0)
    draws: dict[str, list[float]] = {"accuracy": [], "macro_f1": []}
    for _ in range(RESAMPLES):
        times = rng.multinomial(len(number), np.full(len(number), 1 / len(number)))
        confusion = (times @ cells).reshape(intents, intents)
        draws["accuracy"].append(np.trace(confusion) / confusion.sum())
        draws["macro_f1"].append(_macro_f1(confusion))
    return {
        name: [round(float(bound), 4) for bound in np.quantile(values, (0.025, 0.975))]
        for name, values in draws.items()
    }


def evaluate_external(
    head: IntentHead, encoder: Encoder, root: Path, cache: Path | None = None
) -> dict[str, dict[str, Any]]:
    """The head on each other author's set found under `root`; absent ones are left out."""
    results = {}
    for name, (read, author) in EXTERNAL.items():
        if not (root / name).is_dir():
            continue
        # labels are not templates: a row stands for itself in the intervals
        rows = [Labelled(r.text, r.intent, r.language) for r in distinct(read(root))]
        vectors = embed_cached(encoder, [row.text for row in rows], cache)
        results[name] = evaluate(head.predict(vectors), rows, head.intents, name, author)
    return results
