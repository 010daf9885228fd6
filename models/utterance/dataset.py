"""Labelled text: the project's own templates and free lines, or a shop's CSV."""

import csv
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.runtime.text import normalize_text

DATA = Path(__file__).with_name("data")
INTENTS = (
    "search",
    "compare",
    "price",
    "availability",
    "order_status",
    "return_refund",
    "payment",
    "complaint",
    "other",
)
LANGUAGES = ("en", "zh")
FEEDBACK = "feedback"
FRAMED = 0.2
"""Share of the texts that get a greeting, a plea or a thank-you around them."""

ROWS_PER_INTENT = 180
"""Texts aimed at for an intent in a language; `search`, the widest, gets twice as many."""

SLOT = re.compile(r"\{(\w+)\}")


class LabelledDataError(ValueError):
    """A labelled file cannot be used; the message names the file, line and remedy."""


class Labelled(msgspec.Struct, frozen=True):
    text: str
    intent: str
    language: str = ""
    template: str = ""
    """Texts made from one template share it and are never split between train and test."""
    provenance: str = ""
    """FEEDBACK: a correction by a user of the API."""


class Correction(msgspec.Struct, frozen=True):
    """What a text really asked for, said by a user of the API; `given_at` in microseconds."""

    text: str
    intent: str
    given_at: int


def own_rows(seed: int = 0) -> list[Labelled]:
    """The default training text: each free line once, each template filled several times."""
    rng = np.random.default_rng(seed)
    slots = tomllib.loads((DATA / "slots.toml").read_text("utf-8"))
    rows = [
        row
        for language in LANGUAGES
        for intent, lines in _sections(DATA / f"{language}.txt").items()
        for row in _filled(intent, language, lines, slots, rng)
    ]
    return distinct(rows)


def own_test_rows() -> list[Labelled]:
    """Hand-written lines that share no template with `own_rows`."""
    return load_labelled(DATA / "test.csv")


def distinct(rows: Sequence[Labelled]) -> list[Labelled]:
    """The first row of each normalised text."""
    seen: dict[str, Labelled] = {}
    for row in rows:
        seen.setdefault(normalize_text(row.text), row)
    return list(seen.values())


def _sections(path: Path) -> dict[str, list[tuple[int, str]]]:
    sections: dict[str, list[tuple[int, str]]] = {}
    intent = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if line.startswith("# "):
            intent = line[2:].strip()
        elif line.strip():
            sections.setdefault(intent, []).append((number, line.strip()))
    return sections


def _filled(
    intent: str,
    language: str,
    lines: list[tuple[int, str]],
    slots: dict[str, dict[str, list[str]]],
    rng: np.random.Generator,
) -> list[Labelled]:
    frames = slots["frames"][language]
    templates = sum(bool(SLOT.search(line)) for _, line in lines)
    wanted = ROWS_PER_INTENT * (2 if intent == "search" else 1) - (len(lines) - templates)
    repeats = max(1, -(-wanted // templates)) if templates else 1
    rows = []
    for number, line in lines:
        for _ in range(repeats if SLOT.search(line) else 1):
            text = _fill(line, slots[language], rng)
            if rng.random() < FRAMED:
                text = frames[rng.integers(len(frames))].format(text)
            rows.append(Labelled(text, intent, language, f"{language}:{number}"))
    return rows


def _fill(line: str, slots: dict[str, list[str]], rng: np.random.Generator) -> str:
    """Two slots of one name get two different words."""
    used: set[str] = set()

    def word(match: re.Match) -> str:
        choices = [w for w in slots[match[1]] if w not in used]
        chosen = choices[rng.integers(len(choices))]
        used.add(chosen)
        return chosen

    return SLOT.sub(word, line)


def load_labelled(path: Path | str) -> list[Labelled]:
    """Reads a UTF-8 CSV with the columns `text` and `intent`, and optionally `language`.

    Raises LabelledDataError for a missing column, an empty cell, one text under two intents,
    or fewer than two intents, naming the line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            missing = [name for name in ("text", "intent") if name not in header]
            if missing:
                raise LabelledDataError(
                    f"{path}: no column {' or '.join(missing)}; the first line must name the "
                    f"columns text and intent, it reads {','.join(header)!r}"
                )
            rows = _checked(path, reader)
    except UnicodeDecodeError as error:
        raise LabelledDataError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise LabelledDataError(f"{path}: cannot be read ({error})") from error
    intents = {row.intent for row in rows}
    if len(intents) < 2:
        raise LabelledDataError(
            f"{path}: {len(rows)} labelled lines with {len(intents)} intent(s); at least 2 needed"
        )
    return rows


def _checked(path: Path, reader: csv.DictReader) -> list[Labelled]:
    rows: list[Labelled] = []
    seen: dict[str, Labelled] = {}
    for cells in reader:
        text, intent = (cells["text"] or "").strip(), (cells["intent"] or "").strip()
        if not text or not intent:
            empty = "text" if not text else "intent"
            raise LabelledDataError(f"{path}, line {reader.line_num}: empty {empty}")
        row = Labelled(text, intent, (cells.get("language") or "").strip())
        before = seen.setdefault(normalize_text(text), row)
        if before.intent != intent:
            raise LabelledDataError(
                f"{path}, line {reader.line_num}: {text!r} is labelled {intent!r} here and "
                f"{before.intent!r} before; keep one"
            )
        rows.append(row)
    return rows
