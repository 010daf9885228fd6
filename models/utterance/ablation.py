"""What words, parts of speech and dependency cues add to the utterance model beside its embedding.

    python -m models.utterance.ablation --data ../shared/data --cache .cache/vectors --out ablation.json

Every variant is trained on the project's own text, as the served model is, and measured on own templates
held out in turn, on own test lines, and on other authors' sets. Needs the parsers that `models.text.cues`
names.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline

from models.encoder import load_encoder
from models.text.cues import Parse, ParserUnavailable, dependency_cues, load_parser, root_of, tag_shares
from models.text.segmentation import load_segmenter
from models.utterance.dataset import Labelled, distinct, own_rows, own_test_rows
from models.utterance.embedding_cache import embed_cached
from models.utterance.external import EXTERNAL
from models.utterance.head import FOLDS, IntentHead, fit_layers

HELD_OUT = "own, templates held out"
WORD_DIMENSIONS = 100
ROOT_LEMMAS = 60
RESAMPLES = 2000


class Corpus(NamedTuple):
    """One set of texts with all that a variant may look at."""

    rows: list[Labelled]
    vectors: np.ndarray
    words: list[list[str]]
    parses: list[Parse]

    def at(self, places: np.ndarray) -> "Corpus":
        def pick(values: list) -> list:
            return [values[i] for i in places]

        return Corpus(pick(self.rows), self.vectors[places], pick(self.words), pick(self.parses))


class Block(Protocol):
    """Inputs learnt from a training corpus: returns what makes them for any corpus, float32 [n, width]."""

    def __call__(self, training: Corpus) -> Callable[[Corpus], np.ndarray]: ...


def word_block(training: Corpus) -> Callable[[Corpus], np.ndarray]:
    """TF-IDF of words and pairs of words, reduced by truncated singular value decomposition."""
    tfidf = TfidfVectorizer(analyzer=_grams, min_df=2, sublinear_tf=True)
    model = make_pipeline(tfidf, TruncatedSVD(WORD_DIMENSIONS, random_state=0))
    model.fit(training.words)
    return lambda corpus: model.transform(corpus.words).astype(np.float32)


def _grams(words: list[str]) -> list[str]:
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]


def tag_block(training: Corpus) -> Callable[[Corpus], np.ndarray]:
    return lambda corpus: np.stack([tag_shares(parse) for parse in corpus.parses])


def cue_block(training: Corpus) -> Callable[[Corpus], np.ndarray]:
    """The cues, and which of the commonest lemmas stands at the root."""
    common = [lemma for lemma, _ in Counter(map(_root_lemma, training.parses)).most_common(ROOT_LEMMAS)]

    def cues(corpus: Corpus) -> np.ndarray:
        pairs = zip(corpus.rows, corpus.parses, strict=True)
        grammar = np.stack([dependency_cues(row.text, parse) for row, parse in pairs])
        roots = np.array([[_root_lemma(p) == lemma for lemma in common] for p in corpus.parses])
        return np.hstack([grammar, roots.astype(np.float32)])

    return cues


def _root_lemma(parse: Parse) -> str:
    root = root_of(parse)
    return root.lemma if root else ""


def control_block(training: Corpus) -> Callable[[Corpus], np.ndarray]:
    """As many more inputs as `word_block` has, that say nothing new: directions of the embedding."""
    directions = np.random.default_rng(0).normal(size=(training.vectors.shape[1], WORD_DIMENSIONS))
    return lambda corpus: (corpus.vectors @ directions).astype(np.float32)


ALONE = "embedding alone"
VARIANTS: dict[str, tuple[Block, ...]] = {
    ALONE: (),
    "+ nothing new (control)": (control_block,),
    "+ words": (word_block,),
    "+ parts of speech": (tag_block,),
    "+ dependency cues": (cue_block,),
    "+ parts of speech and cues": (tag_block, cue_block),
    "+ all": (word_block, tag_block, cue_block),
}


def guesses(
    blocks: Sequence[Block],
    training: Corpus,
    tests: dict[str, Corpus],
    intents: list[str],
    seeds: Sequence[int],
) -> dict[str, np.ndarray]:
    """Place of the guessed intent, [seeds, rows] of each test set."""
    made = [block(training) for block in blocks]

    def inputs(corpus: Corpus) -> np.ndarray:
        return np.hstack([corpus.vectors, *(make(corpus) for make in made)])

    seen, target = inputs(training), _targets(training, intents)
    asked = {name: inputs(corpus) for name, corpus in tests.items()}
    heads = [IntentHead(tuple(intents), fit_layers(seen, target, len(intents), seed), 1.0) for seed in seeds]
    return {
        name: np.stack([head.logits(values).argmax(axis=1) for head in heads])
        for name, values in asked.items()
    }


def held_out_guesses(
    blocks: Sequence[Block], own: Corpus, intents: list[str], seeds: Sequence[int]
) -> np.ndarray:
    """As `train_head` splits: a row is judged by heads that never saw its template. [seeds, rows]"""
    found = np.zeros((len(seeds), len(own.rows)), dtype=int)
    groups = _groups(own)
    for seen, unseen in GroupKFold(FOLDS).split(own.vectors, groups=groups):
        tests = {"": own.at(unseen)}
        found[:, unseen] = guesses(blocks, own.at(seen), tests, intents, seeds)[""]
    return found


def ablate(
    own: Corpus,
    tests: dict[str, Corpus],
    seeds: Sequence[int],
    variants: dict[str, tuple[Block, ...]] = VARIANTS,
) -> list[dict]:
    """A row per set and variant: accuracy and macro F1 (means over seeds), and the gain over the
    embedding alone with its 95 % interval.
    """
    intents = list(dict.fromkeys(row.intent for row in own.rows))
    corpora = {HELD_OUT: own, **tests}
    right: dict[tuple[str, str], np.ndarray] = {}
    measured = []
    for variant, blocks in variants.items():
        found = guesses(blocks, own, tests, intents, seeds)
        found[HELD_OUT] = held_out_guesses(blocks, own, intents, seeds)
        for name, corpus in corpora.items():
            target = _targets(corpus, intents)
            right[name, variant] = (found[name] == target).astype(float)
            gain = right[name, variant] - right[name, ALONE]
            measured.append(
                {
                    "set": name,
                    "rows": len(corpus.rows),
                    "variant": variant,
                    "accuracy": round(float(right[name, variant].mean()), 4),
                    "macro_f1": round(float(np.mean([_macro_f1(target, one) for one in found[name]])), 4),
                    "gain": round(float(gain.mean()), 4),
                    "gain_95": paired_interval(gain, _groups(corpus)),
                }
            )
    order = list(corpora)
    return sorted(measured, key=lambda row: order.index(row["set"]))


def paired_interval(gain: np.ndarray, groups: Sequence[str]) -> list[float]:
    """95 % bootstrap interval of the mean of `gain` [seeds, rows]: seeds are resampled, and groups of
    rows (own templates; single texts of others' sets).
    """
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    places = np.array([number[group] for group in groups])
    sums = np.stack([np.bincount(places, weights=one, minlength=len(number)) for one in gain])
    sizes = np.bincount(places, minlength=len(number))
    rng = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES):
        times = rng.multinomial(len(number), np.full(len(number), 1 / len(number)))
        seeds = rng.integers(len(gain), size=len(gain))
        means.append(float(sums[seeds].mean(axis=0) @ times) / float(sizes @ times))
    return [round(float(bound), 4) for bound in np.quantile(means, (0.025, 0.975))]


def _targets(corpus: Corpus, intents: list[str]) -> np.ndarray:
    return np.array([intents.index(row.intent) for row in corpus.rows])


def _groups(corpus: Corpus) -> list[str]:
    return [row.template or row.text for row in corpus.rows]


def _macro_f1(target: np.ndarray, guess: np.ndarray) -> float:
    scores = []
    for intent in np.unique(target):
        hits = np.sum((target == intent) & (guess == intent))
        scores.append(2 * hits / (np.sum(target == intent) + np.sum(guess == intent)))
    return float(np.mean(scores))


def as_table(rows: Sequence[dict]) -> str:
    """Markdown: a line per set and variant."""
    lines = ["| set | texts | inputs | accuracy | macro F1 | gain (95 %) |", "|---|---|---|---|---|---|"]
    for row in rows:
        low, high = row["gain_95"]
        gain = "" if row["variant"] == ALONE else f"{row['gain']:+.4f} ({low:+.4f} to {high:+.4f})"
        lines.append(
            f"| {row['set']} | {row['rows']} | {row['variant']} | {row['accuracy']:.4f} | "
            f"{row['macro_f1']:.4f} | {gain} |"
        )
    return "\n".join(lines)


def corpora_of(sets: dict[str, list[Labelled]], cache: Path | None) -> dict[str, Corpus]:
    parse, segmenter, encoder = load_parser(), load_segmenter(), load_encoder()
    found = {}
    for name, rows in sets.items():
        texts = [row.text for row in rows]
        words = [segmenter.words(text) for text in texts]
        found[name] = Corpus(rows, embed_cached(encoder, texts, cache), words, parse(texts))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--data", type=Path, required=True, help="folder of the other authors' sets")
    arguments.add_argument("--cache", type=Path, help="folder in which vectors are kept between runs")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--out", type=Path, help="write the figures there too, as JSON")
    options = arguments.parse_args()
    external = {
        name: [Labelled(r.text, r.intent, r.language) for r in distinct(read(options.data))]
        for name, (read, _) in EXTERNAL.items()
        if (options.data / name).is_dir()
    }
    try:
        corpora = corpora_of({"": own_rows(), "own, test lines": own_test_rows(), **external}, options.cache)
    except ParserUnavailable as error:
        sys.exit(str(error))
    rows = ablate(corpora.pop(""), corpora, range(options.seeds))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    print(as_table(rows))


if __name__ == "__main__":
    main()
