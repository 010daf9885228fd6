"""Who visits the simulated shop, and what it sells."""

from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import NamedTuple

from spark_jobs.simulation.behaviour import HOURS, Goal
from spark_jobs.simulation.vocabulary import CATEGORIES, Category, Language

ITEMS_PER_CATEGORY = 40
BOT_SHARE = 0.02
CHINESE_SHARE = 0.55
UTC_OFFSET_H: dict[Language, int] = {"zh": 8, "en": -5}


class Item(NamedTuple):
    """`dearness` is where its price lies within its category: 0 the cheapest, 1 the dearest."""

    item_id: str
    category: Category
    brand: str
    price_minor: int
    dearness: float
    title_zh: str
    title_en: str


class Catalogue:
    """Items by category, some of them far better known than others."""

    def __init__(self, rng: Random) -> None:
        self.items = {
            category.path: [_item(category, n, rng) for n in range(ITEMS_PER_CATEGORY)]
            for category in CATEGORIES
        }
        # Popularity falls with rank as 1/rank.
        self._popularity = list(accumulate(1 / (n + 1) for n in range(ITEMS_PER_CATEGORY)))

    def popular(self, category: Category, rng: Random) -> Item:
        return rng.choices(self.items[category.path], cum_weights=self._popularity)[0]

    def all(self) -> list[Item]:
        return [item for items in self.items.values() for item in items]


def _item(category: Category, number: int, rng: Random) -> Item:
    brand = rng.choice(category.brands)
    dearness = rng.random()
    # Prices are spread evenly on a ratio scale, and end in .99 or a whole unit.
    whole = round(category.low * (category.high / category.low) ** dearness)
    price_minor = whole * 100 - rng.choice((0, 1, 1))
    position = rng.randrange(len(category.features["zh"]))
    model = f"{chr(65 + number % 26)}{number + 10}"
    return Item(
        f"i{CATEGORIES.index(category) + 10}{number:03d}",
        category,
        brand,
        price_minor,
        dearness,
        f"{brand} {model} {category.features['zh'][position]}{category.what['zh']}",
        f"{brand} {model} {category.what['en']}, {category.features['en'][position]}",
    )


@dataclass(slots=True)
class Shopper:
    """A visitor's lasting traits, and below them what the visits so far left behind."""

    user_id: str
    rng: Random
    language: Language
    is_bot: bool
    visits_per_day: float
    decisiveness: float
    budget: float
    goal_leanings: dict[Goal, float]
    interests: list[Category]
    hours: list[float]
    consent: str | None
    sends_session_id: bool
    clock_skew_us: int

    events_sent: int = 0
    visits: int = 0
    cart: list[tuple[Item, int]] = field(default_factory=list)
    bought: list[Item] = field(default_factory=list)
    undecided_about: Category | None = None
    free_from_us: int = 0


def new_shopper(number: int, seed: int) -> Shopper:
    """The same number and seed make the same shopper, however many others there are."""
    rng = Random(f"{seed}/shopper/{number}")
    language: Language = "zh" if rng.random() < CHINESE_SHARE else "en"
    is_bot = rng.random() < BOT_SHARE
    habit = rng.choice((0, 0, 0, -9, 3))
    hours = [HOURS[(h + UTC_OFFSET_H[language] - habit) % 24] for h in range(24)]
    return Shopper(
        user_id=f"u{number:06d}",
        rng=rng,
        language=language,
        is_bot=is_bot,
        visits_per_day=0.6 if is_bot else min(rng.gammavariate(1.2, 1.15), 6.0),
        decisiveness=rng.lognormvariate(0, 0.45),
        budget=rng.betavariate(2.2, 2.2),
        goal_leanings={
            "buy": 0.19 * rng.lognormvariate(0, 0.5),
            "compare": 0.22 * rng.lognormvariate(0, 0.4),
            "explore": 0.42 * rng.lognormvariate(0, 0.4),
            "get_help": 0.10 * rng.lognormvariate(0, 0.4),
            "after_purchase": 0.06,
        },
        interests=rng.sample(CATEGORIES, rng.choice((2, 3, 3, 4, 5))),
        hours=list(accumulate(hours)),
        consent="aggregate" if rng.random() < 0.03 else None,
        sends_session_id=rng.random() >= 0.04,
        clock_skew_us=rng.randrange(5_000_000, 90_000_000) if rng.random() < 0.01 else 0,
    )
