"""The campaign calendar: on some days some prices fall, and more people come and buy."""

from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple

from spark_jobs.simulation.catalogue import Catalogue
from spark_jobs.simulation.vocabulary import CATEGORIES

DEPARTMENTS = tuple(dict.fromkeys(category.path.split(".")[0] for category in CATEGORIES))
WHOLE_SHOP_CHANCE = 0.15
MOST_A_WEEK = 2
NAMES = {
    "": ("全场特惠", "Everything on offer"),
    "electronics": ("数码狂欢", "Gadget days"),
    "computers": ("电脑焕新季", "Desk refresh"),
    "appliances": ("家电节", "Kitchen and home days"),
    "apparel": ("换季穿搭", "New season"),
    "beauty": ("美妆周", "Glow days"),
    "home": ("安家节", "Nesting days"),
    "kids": ("童趣节", "Play days"),
    "sport": ("运动季", "Move more"),
    "grocery": ("尝鲜日", "Tasting days"),
    "pets": ("萌宠节", "Whisker days"),
}


class Promotion(NamedTuple):
    """`department` is the first level of a category path, or empty for the whole shop.

    It holds from the first day to the last, both included, by UTC. `traffic_lift` is how many times
    as often a shopper of average sensitivity comes.
    """

    promotion_id: str
    department: str
    first_day: date
    last_day: date
    discount_percent: int
    traffic_lift: float

    def covers(self, path: str) -> bool:
        return path.startswith(self.department)


class Day(NamedTuple):
    """A day's promotions as the visits of that day meet them; prices by item number."""

    promotions: tuple[Promotion, ...]
    traffic_lift: float
    discounts: dict[str, int]
    prices: list[int]


class Calendar:
    """Promotions drawn week by week, so that a longer run has those of a shorter one too."""

    def __init__(self, seed: int, catalogue: Catalogue) -> None:
        self._seed, self._catalogue = seed, catalogue
        self.on = lru_cache(maxsize=None)(self._on)

    def between(self, first: date, last: date) -> list[Promotion]:
        """Those that hold on any of these days, by their first day."""
        # One begins at most six days into its week and lasts at most four.
        weeks = range((first - timedelta(days=4)).toordinal() // 7, last.toordinal() // 7 + 1)
        drawn = (p for week in weeks for p in _of_week(self._seed, week))
        holding = (p for p in drawn if p.first_day <= last and p.last_day >= first)
        return sorted(holding, key=lambda p: (p.first_day, p.promotion_id))

    def _on(self, day: date) -> Day:
        promotions = tuple(self.between(day, day))
        discounts = {
            category.path: max((p.discount_percent for p in promotions if p.covers(category.path)), default=0)
            for category in CATEGORIES
        }
        prices = [
            item.price_minor * (100 - discounts[item.category.path]) // 100 for item in self._catalogue.items
        ]
        lift = max((p.traffic_lift for p in promotions), default=1.0)
        return Day(promotions, lift, {path: off for path, off in discounts.items() if off}, prices)


def _of_week(seed: int, week: int) -> list[Promotion]:
    rng = Random(f"{seed}/promotions/{week}")
    promotions = []
    for n in range(rng.randint(1, MOST_A_WEEK)):
        whole_shop = rng.random() < WHOLE_SHOP_CHANCE
        department = "" if whole_shop else rng.choice(DEPARTMENTS)
        first = date.fromordinal(week * 7 + rng.randrange(7))
        days = rng.choice((1, 2, 3, 4))
        discount = rng.choice((10, 15, 20, 25, 30, 40))
        lift = 1 + discount / 100 * (1.3 if whole_shop else 0.7)
        last = first + timedelta(days=days - 1)
        promotions.append(Promotion(f"p{week}-{n}", department, first, last, discount, round(lift, 2)))
    return promotions
