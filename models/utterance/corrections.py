"""Corrections of utterance intents as training text, and what a new head makes of them.

Of several corrections of one text (in its normalised form) the intent that most of them name holds, and
of intents named equally often the one named last. A corrected text leaves every other set it was in, so
that it is trained on as corrected, and never tested on as well.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.behavior.comparison import MIN_TEXTS, UTTERANCE, TargetComparison, compared
from models.runtime.text import normalize_text
from models.runtime.utterance import UtteranceModel
from models.utterance.dataset import FEEDBACK, Correction, Labelled, own_test_rows
from models.utterance.embedding_cache import embed_cached

if TYPE_CHECKING:
    from models.encoder import Encoder


class HeldOut(msgspec.Struct, frozen=True):
    """Probabilities of `intents` for corrected texts, by the texts' digests, from heads that did not see
    them."""

    intents: tuple[str, ...]
    probabilities: dict[str, list[float]]

    @classmethod
    def read(cls, path: Path) -> "HeldOut":
        return msgspec.json.decode(path.read_bytes(), type=cls)


def agreed(corrections: Iterable[Correction]) -> list[Labelled]:
    """One row a text, in the order in which texts were first corrected."""
    by_text: dict[str, list[Correction]] = defaultdict(list)
    for correction in sorted(corrections, key=lambda c: c.given_at):
        by_text[normalize_text(correction.text)].append(correction)
    rows = []
    for given in by_text.values():
        votes, last = Counter(c.intent for c in given), {c.intent: c.given_at for c in given}
        intent = max(votes, key=lambda i: (votes[i], last[i]))
        rows.append(Labelled(given[-1].text, intent, provenance=FEEDBACK))
    return rows


def without_corrected(rows: Iterable[Labelled], corrected: Iterable[Labelled]) -> list[Labelled]:
    texts = {normalize_text(row.text) for row in corrected}
    return [row for row in rows if normalize_text(row.text) not in texts]


def write_held_out(path: Path, intents: Sequence[str], rows: Sequence[Labelled], p: np.ndarray) -> None:
    found = {digest(row.text): p[i].tolist() for i, row in enumerate(rows) if row.provenance == FEEDBACK}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(HeldOut(tuple(intents), found)))


def digest(text: str) -> str:
    return hashlib.blake2b(normalize_text(text).encode(), digest_size=16).hexdigest()


def compare_utterance(
    champion: UtteranceModel,
    challenger: UtteranceModel,
    encoder: "Encoder",
    new: Sequence[Labelled],
    held_out: HeldOut,
    own_test: bool,
    seed: int,
    cache: Path | None = None,
) -> tuple[TargetComparison, ...]:
    """On the corrections `new` to the champion, for which the challenger is represented by heads that did
    not see them either, and, where the models are of the project's own text, on its test lines."""
    found = []
    unseen = [
        row for row in new if digest(row.text) in held_out.probabilities and row.intent in champion.intents
    ]
    if len(unseen) >= MIN_TEXTS:
        p = np.array([held_out.probabilities[digest(row.text)] for row in unseen])
        theirs = champion.predict(embed_cached(encoder, [row.text for row in unseen], cache))
        before, now = _right(theirs, unseen, champion.intents), _right(p, unseen, held_out.intents)
        found.append(_compared(f"{UTTERANCE}: new corrections", before, now, seed))
    if own_test and set(champion.intents) == set(challenger.intents):
        test = [row for row in own_test_rows() if digest(row.text) not in held_out.probabilities]
        vectors = embed_cached(encoder, [row.text for row in test], cache)
        before = _right(champion.predict(vectors), test, champion.intents)
        now = _right(challenger.predict(vectors), test, challenger.intents)
        found.append(_compared(f"{UTTERANCE}: test lines", before, now, seed))
    return tuple(found)


def _right(p: np.ndarray, rows: Sequence[Labelled], intents: Sequence[str]) -> np.ndarray:
    """The probability given to each row's intent."""
    at: Mapping[str, int] = {intent: i for i, intent in enumerate(intents)}
    return np.array([p[n, at[row.intent]] for n, row in enumerate(rows)], dtype=np.float64)


def _compared(name: str, before: np.ndarray, now: np.ndarray, seed: int) -> TargetComparison:
    return compared(name, np.ones(len(before)), before, now, np.arange(len(before)), seed)
