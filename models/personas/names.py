"""Names and descriptions of personas, out of what sets their centres apart from the average shopper."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from feature_repo.profiles import PERSONA_INPUTS, PersonaInput

# From so many standard deviations off the average a number is worth a word.
WORTH_A_WORD = 0.4
MAX_ADJECTIVES = 2
MAX_PHRASES = 3
NOUN = "visitor"
AVERAGE_EN, AVERAGE_ZH = "is close to the average shopper", "接近平均水平"


class PersonaText(msgspec.Struct, frozen=True):
    """`top`: the inputs furthest from the average, with their distance in standard deviations."""

    slug: str
    share: float
    en: str
    zh: str
    top: tuple[tuple[str, float], ...]


def slugs_of(centres: np.ndarray, kept: Mapping[int, str]) -> tuple[str, ...]:
    """A name a row of `centres`, in standard deviations; rows in `kept` have theirs. Names differ."""
    taken = set(kept.values())
    names = []
    for row, centre in enumerate(centres):
        name = kept.get(row)
        if name is None:
            name = next(n for n in _candidates(centre) if n not in taken)
            taken.add(name)
        names.append(name)
    return tuple(names)


def describe(slugs: Sequence[str], centres: np.ndarray, sizes: Sequence[int]) -> list[PersonaText]:
    """In the order of the groups; `centres` in standard deviations."""
    total = max(1, sum(sizes))
    return [
        PersonaText(slug, size / total, *_phrases(centre), _top(centre))
        for slug, centre, size in zip(slugs, centres, sizes, strict=True)
    ]


def _candidates(centre: Sequence[float]):
    """Slugs from short to long, then numbered."""
    adjectives = _adjectives(centre)
    noun = _noun(centre)
    for count in range(min(MAX_ADJECTIVES, len(adjectives)), len(adjectives) + 1):
        yield "-".join([*_in_reading_order(adjectives[:count]), noun])
    base = "-".join([*_in_reading_order(adjectives[:MAX_ADJECTIVES]), noun])
    number = 2
    while True:
        yield f"{base}-{number}"
        number += 1


def _ranked(centre: Sequence[float]) -> list[tuple[PersonaInput, float]]:
    pairs = list(zip(PERSONA_INPUTS, map(float, centre), strict=True))
    return sorted(pairs, key=lambda pair: -abs(pair[1]))


def _noun(centre: Sequence[float]) -> str:
    doing = [(i, z) for i, z in _ranked(centre) if i.role == "doing" and z >= WORTH_A_WORD]
    return doing[0][0].high if doing else NOUN


_READING_ORDER = ("loyalty", "time", "taste", "price")


def _adjectives(centre: Sequence[float]) -> list[tuple[str, str]]:
    """(role, word), the strongest first, one a role."""
    found: dict[str, str] = {}
    for given, z in _ranked(centre):
        word = given.high if z > 0 else given.low
        if given.role != "doing" and abs(z) >= WORTH_A_WORD and word and given.role not in found:
            found[given.role] = word
    return list(found.items())


def _in_reading_order(adjectives: list[tuple[str, str]]) -> list[str]:
    return [word for _, word in sorted(adjectives, key=lambda pair: _READING_ORDER.index(pair[0]))]


def _top(centre: Sequence[float]) -> tuple[tuple[str, float], ...]:
    return tuple((given.name, round(z, 2)) for given, z in _ranked(centre)[:MAX_PHRASES])


def _phrases(centre: Sequence[float]) -> tuple[str, str]:
    said = [(i, z) for i, z in _ranked(centre) if abs(z) >= WORTH_A_WORD][:MAX_PHRASES]
    english = [i.high_en if z > 0 else i.low_en for i, z in said] or [AVERAGE_EN]
    chinese = [i.high_zh if z > 0 else i.low_zh for i, z in said] or [AVERAGE_ZH]
    return f"{', '.join(english)}, than the average shopper" if said else english[0], "，".join(chinese)
