"""What the simulated shop sells."""

from bisect import bisect
from itertools import accumulate
from random import Random
from typing import NamedTuple

from spark_jobs.simulation.vocabulary import CATEGORIES, Category

ITEMS_PER_CATEGORY = 40
CATEGORY_NEVER_SENT_SHARE = 0.015
BRAND_NEVER_SENT_SHARE = 0.03


class Item(NamedTuple):
    """`dearness` is where its price lies within its category: 0 the cheapest, 1 the dearest.

    `sent_category` and `sent_brand` are what its pages can tell: None on an item whose data is lacking.
    """

    number: int
    item_id: str
    category: Category
    brand: str
    price_minor: int
    dearness: float
    title_zh: str
    title_en: str
    sent_category: str | None
    sent_brand: str | None


class Shelf:
    """Items of which some are far better known than others: popularity falls with rank as 1/rank."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self._popularity = list(accumulate(1 / (n + 1) for n in range(len(items))))

    def popular(self, rng: Random) -> Item:
        return self._items[bisect(self._popularity, rng.random() * self._popularity[-1])]


class Catalogue:
    def __init__(self, seed: int) -> None:
        rng = Random(f"{seed}/catalogue")
        self.items: list[Item] = []
        self._by_category: dict[str, Shelf] = {}
        self._by_brand: dict[tuple[str, str], Shelf] = {}
        for category in CATEGORIES:
            items = [_item(category, n, rng) for n in range(ITEMS_PER_CATEGORY)]
            self.items += items
            self._by_category[category.path] = Shelf(items)
            for brand in category.brands:
                of_brand = [item for item in items if item.brand == brand]
                self._by_brand[category.path, brand] = Shelf(of_brand or items)

    def shelf(self, category: Category, brand: str | None = None) -> Shelf:
        """The category's items; of one brand where it is named and has any."""
        return self._by_brand[category.path, brand] if brand else self._by_category[category.path]


def _item(category: Category, in_category: int, rng: Random) -> Item:
    brand = rng.choice(category.brands)
    dearness = rng.random()
    # Prices are spread evenly on a ratio scale, and end in .99 or a whole unit.
    whole = round(category.low * (category.high / category.low) ** dearness)
    price_minor = whole * 100 - rng.choice((0, 1, 1))
    position = rng.randrange(len(category.features["zh"]))
    model = f"{chr(65 + in_category % 26)}{in_category + 10}"
    place = CATEGORIES.index(category)
    return Item(
        place * ITEMS_PER_CATEGORY + in_category,
        f"i{place + 10}{in_category:03d}",
        category,
        brand,
        price_minor,
        dearness,
        f"{brand} {model} {category.features['zh'][position]}{category.what['zh']}",
        f"{brand} {model} {category.what['en']}, {category.features['en'][position]}",
        None if rng.random() < CATEGORY_NEVER_SENT_SHARE else category.path,
        None if rng.random() < BRAND_NEVER_SENT_SHARE else brand,
    )
