"""How good an utterance head is on a set of text, with intervals, and whose text it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.document import Section, Table
from models.utterance.dataset import Labelled, distinct
from models.utterance.embedding_cache import embed_cached
from models.utterance.external import EXTERNAL
from models.utterance.head import IntentHead

if TYPE_CHECKING:
    from models.encoder import Encoder

RESAMPLES = 1000
CALIBRATION_BINS = 10
BY_INTENT = ("precision", "recall", "f1")


class Intervals(NamedTuple):
    """95 % intervals; `by_intent`: by figure of BY_INTENT, then by intent."""

    accuracy: list[float]
    macro_f1: list[float]
    by_intent: list[list[list[float | None]]]


def evaluate(
    probabilities: np.ndarray,
    rows: Sequence[Labelled],
    intents: Sequence[str],
    data: str,
    author: str,
) -> dict[str, Any]:
    """Accuracy, macro-F1 (over the intents that occur) and each intent's precision, recall and F1,
    with 95 % bootstrap intervals, resampling whole templates; expected calibration error; accuracy by
    language; confusion, a row an actual intent. A figure nothing can be said of is null.

    `probabilities` [n, intents]; rows of an intent that the head does not know are refused.
    """
    unknown = sorted({row.intent for row in rows} - set(intents))
    if unknown:
        raise ValueError(f"{data}: labels {', '.join(unknown)} are no intents of this model")
    target = np.array([intents.index(row.intent) for row in rows])
    guess = probabilities.argmax(axis=1)
    right = guess == target
    groups = [row.template or row.text for row in rows]
    confusion = _confusion(target, guess, len(intents))
    low_high = _intervals(target, guess, groups, len(intents))
    figures = _by_intent(confusion[None])[0]
    return {
        "data": data,
        "author": author,
        "rows": len(rows),
        "accuracy": round(float(right.mean()), 4),
        "accuracy_95": low_high.accuracy,
        "macro_f1": round(float(_macro_f1(confusion[None])[0]), 4),
        "macro_f1_95": low_high.macro_f1,
        "calibration_error": round(calibration_error(probabilities.max(axis=1), right), 4),
        "accuracy_by_language": {
            language: round(float(right[[r.language == language for r in rows]].mean()), 4)
            for language in sorted({row.language for row in rows} - {""})
        },
        "by_intent": {
            intent: {
                "rows": int((target == i).sum()),
                **{name: _rounded(figures[k, i]) for k, name in enumerate(BY_INTENT)},
                **{f"{name}_95": low_high.by_intent[k][i] for k, name in enumerate(BY_INTENT)},
            }
            for i, intent in enumerate(intents)
            if (target == i).any()
        },
        "intents": list(intents),
        "confusion": confusion.tolist(),
    }


def utterance_lines(metrics: dict[str, dict]) -> list[str]:
    """One line for each text the utterance model was measured on."""
    lines = []
    for measured in metrics.values():
        by_language = ", ".join(f"{k} {v:.3f}" for k, v in measured["accuracy_by_language"].items())
        lines.append(
            f"accuracy {_shown(measured['accuracy'], measured['accuracy_95'])}, macro F1 "
            f"{_shown(measured['macro_f1'], measured['macro_f1_95'])}, {by_language}; "
            f"{measured['rows']} texts [{measured['data']}; author: {measured['author']}"
            + ("; proves nothing about quality]" if measured["author"] == "self-written" else "]")
        )
    return lines


def utterance_section(name: str, measured: dict[str, Any]) -> Section:
    """What was measured on one set of texts, for people."""
    (line,) = utterance_lines({name: measured})
    figures = tuple(
        (intent, str(found["rows"]), *(_shown(found[f], found[f"{f}_95"]) for f in BY_INTENT))
        for intent, found in measured["by_intent"].items()
    )
    counts = zip(measured["intents"], measured["confusion"], strict=True)
    return Section(
        f"Utterance: {name}",
        (line,),
        (
            Table(
                "By intent, with 95 % intervals", ("intent", "texts", "precision", "recall", "F1"), figures
            ),
            Table(
                "Confusion matrix, in texts: a line is what was asked for, a column what was answered",
                ("", *measured["intents"]),
                tuple((intent, *map(str, row)) for intent, row in counts),
            ),
        ),
    )


def _shown(value: float | None, interval: list[float | None]) -> str:
    return "–" if value is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by rows."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(right))


def _confusion(target: np.ndarray, guess: np.ndarray, intents: int) -> np.ndarray:
    """[intents, intents], a row an actual intent."""
    cells = np.bincount(target * intents + guess, minlength=intents * intents)
    return cells.reshape(intents, intents)


def _by_intent(confusion: np.ndarray) -> np.ndarray:
    """[n, 3, intents], BY_INTENT of each of [n, intents, intents]; NaN where nothing can be said."""
    right = np.diagonal(confusion, axis1=1, axis2=2).astype(float)
    actual, guessed = confusion.sum(axis=2), confusion.sum(axis=1)
    wholes = np.stack([guessed, actual, (actual + guessed) / 2], axis=1).astype(float)
    parts = np.broadcast_to(right[:, None], wholes.shape)
    return np.divide(parts, wholes, out=np.full(wholes.shape, np.nan), where=wholes > 0)


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    """[n], over the intents that occur in each."""
    f1, occurs = _by_intent(confusion)[:, 2], confusion.sum(axis=2) > 0
    return np.where(occurs, f1, 0.0).sum(axis=1) / occurs.sum(axis=1)


def _intervals(target: np.ndarray, guess: np.ndarray, groups: list[str], intents: int) -> Intervals:
    """Resamples groups through the confusion matrix each of them adds."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    cells = np.zeros((len(number), intents * intents))
    np.add.at(cells, ([number[group] for group in groups], target * intents + guess), 1)
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(number), np.full(len(number), 1 / len(number)), RESAMPLES)
    confusion = (times @ cells).reshape(RESAMPLES, intents, intents)
    accuracy = np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))
    drawn = _by_intent(confusion)
    return Intervals(
        _bounds(accuracy),
        _bounds(_macro_f1(confusion)),
        [[_bounds(drawn[:, k, i]) for i in range(intents)] for k in range(len(BY_INTENT))],
    )


def _bounds(drawn: np.ndarray) -> list[float | None]:
    drawn = drawn[~np.isnan(drawn)]  # an intent may be missing in a resample
    return [_rounded(b) for b in np.quantile(drawn, (0.025, 0.975))] if len(drawn) else [None, None]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def evaluate_external(
    head: IntentHead, encoder: "Encoder", root: Path, cache: Path | None = None
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
