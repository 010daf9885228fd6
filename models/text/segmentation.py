"""Texts as words: Chinese cut by a dictionary and a hidden Markov model, English lemmatised."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path

import rjieba
import simplemma

from models.runtime.text import normalize_text

MAX_WORD_CHARS = 32
"""A longer run of letters is a paste or a slip of the keyboard."""

MAX_DIGITS = 4
"""A word with more is a number of an order, a parcel or a telephone; `iphone15` and `ps5` are words."""

HAN = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f"
ADDRESS = re.compile(r"\S+@\S+|https?://\S+|www\.\S+")
RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+(?:[-'’&.][^\W_{HAN}]+)*")
NUMERAL = re.compile(r"[\d一二三四五六七八九十百千万两几半多第每]")
POSSESSIVE = re.compile(r"['’]s$")

# The dictionary's classes of Chinese words that name nothing: pronoun, preposition, conjunction, adverb,
# measure, particle, interjection, modal, onomatopoeia, time, location, prefix, suffix, other.
CLOSED_CLASSES = re.compile(r"[cefhkopqtxy]|d[fg]?|r[grz]?|u[dgjlvz]?|tg")
STOP_WORDS = Path(__file__).with_name("stop_words.toml")


class Segmenter:
    """Words of Chinese and English text, also of both in one text."""

    def __init__(self) -> None:
        listed = tomllib.loads(STOP_WORDS.read_text("utf-8"))
        self._lemma = lru_cache(maxsize=65_536)(_lemma)
        english, chinese = listed["en"].split(), listed["zh"].split()
        self._stop_words = frozenset((*english, *map(_lemma, english), *chinese))

    def words(self, text: str) -> list[str]:
        """Every word in order, normalised, English ones as their lemma; no punctuation."""
        return [word for word, _ in self._tagged(text)]

    def content_words(self, text: str) -> list[str]:
        """The words that say what the text is about, in order, each once.

        Left out: stop words, Chinese words of a closed class or of a single character that is no noun,
        bare numbers, single letters, addresses, and words too long or with too many digits to be one.
        """
        found = dict.fromkeys(
            word for word, tag in self._tagged(ADDRESS.sub(" ", text)) if self._is_content(word, tag)
        )
        return list(found)

    def _tagged(self, text: str) -> list[tuple[str, str]]:
        """(word, class); the class of what is not Chinese is `eng`."""
        found = []
        for run in RUN.findall(normalize_text(text)):
            if _is_han(run):
                found += rjieba.tag(run)
            else:
                found.append((self._lemma(POSSESSIVE.sub("", run)), "eng"))
        return found

    def _is_content(self, word: str, tag: str) -> bool:
        if word in self._stop_words or len(word) > MAX_WORD_CHARS:
            return False
        if tag == "eng":
            digits = sum(c.isdigit() for c in word)
            return len(word) > 1 and any(c.isalpha() for c in word) and digits <= MAX_DIGITS
        if CLOSED_CLASSES.fullmatch(tag) or (tag.startswith("m") and NUMERAL.match(word)):
            return False
        return len(word) > 1 or tag in ("n", "nz")


def load_segmenter() -> Segmenter:
    return Segmenter()


def _is_han(run: str) -> bool:
    return bool(re.match(f"[{HAN}]", run))


def _lemma(word: str) -> str:
    """Words with a digit or a hyphen are names of things, and are left as they are."""
    return simplemma.lemmatize(word, "en").lower() if word.isascii() and word.isalpha() else word
