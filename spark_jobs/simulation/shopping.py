"""A person's visit: a hidden goal, the stages it passes through, and the steps taken in each."""

from math import exp

from feature_repo.windows import US
from spark_jobs.simulation.behaviour import (
    FIRST_STAGE,
    LEAVE,
    LONGEST_PAUSE_S,
    MAX_STEPS,
    PAUSE_S,
    PAUSE_SPREAD,
    STEPS,
    TURNS,
    TURNS_AFTER,
    Goal,
)
from spark_jobs.simulation.catalogue import Catalogue, Item
from spark_jobs.simulation.promotions import Day
from spark_jobs.simulation.shoppers import Shopper
from spark_jobs.simulation.speech import speak
from spark_jobs.simulation.visit import Visit
from spark_jobs.simulation.vocabulary import Category

SIGNS_IN_AT = {"checkout": 0.6, "message": 0.2, "wishlist": 0.2}
DRAWN_TO_PROMOTION = 0.3


def shop(shopper: Shopper, catalogue: Catalogue, start_us: int, day: Day) -> Visit:
    rng = shopper.rng
    shopper.come_back()
    goal = _choose_goal(shopper, day)
    visit = Visit(shopper, start_us, day, goal)
    visit.stage = FIRST_STAGE[goal].draw(rng)
    looked_at = _Attention(visit, catalogue)
    haste = shopper.pace * exp(rng.gauss(0, 0.25))
    at_us, step = start_us, "start"
    for _ in range(MAX_STEPS):
        step = STEPS[visit.stage][step].draw(rng)
        if step == LEAVE:
            break
        step = _possible(step, looked_at)
        _perform(step, visit, looked_at, at_us)
        _turn(looked_at, step)
        pause_s = PAUSE_S[step] * haste * exp(rng.gauss(0, PAUSE_SPREAD))
        at_us += int(min(pause_s, LONGEST_PAUSE_S) * US) + US // 10
    shopper.undecided_about = looked_at.category if visit.stage == "compare" else None
    return visit


def _choose_goal(shopper: Shopper, day: Day) -> Goal:
    """Leanings, and what went before: who bought asks after it, who compared comes back to buy."""
    weights = dict(shopper.goal_leanings)
    if shopper.last_bought:
        weights["after_purchase"] += 0.14
    if shopper.undecided_about:
        weights["buy"] *= 2.2
        weights["compare"] *= 1.4
    if shopper.cart:
        weights["buy"] *= 1.8
    if day.discounts and any(category.path in day.discounts for category in shopper.interests):
        weights["buy"] *= 1 + 0.5 * shopper.promotion_sensitivity
    return shopper.rng.choices(list(weights), list(weights.values()))[0]


class _Attention:
    """What the visitor's eyes are on: a kind of goods, a few candidates, one item."""

    __slots__ = ("candidates", "catalogue", "category", "item", "visit")

    def __init__(self, visit: Visit, catalogue: Catalogue) -> None:
        self.visit, self.catalogue = visit, catalogue
        shopper = visit.shopper
        self.item: Item | None = None
        if visit.goal == "after_purchase" and shopper.last_bought:
            self.category: Category = shopper.last_bought.category
            self.candidates = [shopper.last_bought]
        else:
            back = visit.goal in ("buy", "compare") and shopper.undecided_about
            self.category = back or self._any_interest()
            self.candidates = [self._to_taste() for _ in range(shopper.rng.choice((2, 3, 4)))]

    def next_item(self) -> Item:
        """Explorers roam, comparers go round a few, deciders keep to one."""
        rng, stage = self.visit.shopper.rng, self.visit.stage
        at = rng.random()
        if stage == "explore":
            if at < 0.35:
                self.category = self._any_interest()
            self.item = self._to_taste()
        elif stage == "decide":
            if self.item is None or self.item.category is not self.category:
                self.item = self.candidates[0]
            elif at > 0.65:
                self.item = rng.choice(self.candidates) if at < 0.93 else self._to_taste()
        elif at < 0.8:
            self.item = rng.choice(self.candidates)
        else:
            self.item = self._to_taste()
        return self.item

    def settle(self) -> None:
        """What is compared or bought from now on is what was looked at last."""
        if self.item is not None and self.item.category is not self.candidates[0].category:
            self.category = self.item.category
            others = [self._to_taste() for _ in range(len(self.candidates) - 1)]
            self.candidates = [self.item, *others]

    def _any_interest(self) -> Category:
        shopper, discounts = self.visit.shopper, self.visit.day.discounts
        rng = shopper.rng
        if discounts and rng.random() < DRAWN_TO_PROMOTION * shopper.promotion_sensitivity:
            reduced = [category for category in shopper.interests if category.path in discounts]
            return rng.choice(reduced or shopper.interests)
        return rng.choice(shopper.interests)

    def _to_taste(self) -> Item:
        shopper, category = self.visit.shopper, self.category
        rng, traits = shopper.rng, shopper.traits
        at = rng.random()
        if at < traits.loyal_to_brand:
            return self.catalogue.shelf(category, shopper.brands[category.path]).popular(rng)
        item = self.catalogue.shelf(category).popular(rng)
        if at > 1 - traits.takes_cheapest:
            prices = self.visit.day.prices
            other = self.catalogue.shelf(category).popular(rng)
            return other if prices[other.number] < prices[item.number] else item
        return item


def _possible(step: str, looked_at: _Attention) -> str:
    """The step, or looking on where there is nothing to take, or no heart to take it."""
    visit, item = looked_at.visit, looked_at.item
    shopper = visit.shopper
    if step in ("checkout", "purchase", "remove_from_cart") and not shopper.cart:
        return "view"
    if step in ("add_to_cart", "wishlist", "click") and item is None:
        return "view"
    if step == "add_to_cart":
        fits_budget = 1.25 - 1.1 * max(0.0, item.dearness - shopper.budget)
        off = visit.day.discounts.get(item.category.path, 0)
        tempting = 1 + off / 100 * shopper.promotion_sensitivity
        if shopper.rng.random() > shopper.decisiveness * fits_budget * tempting:
            return "view"
    return step


def _perform(step: str, visit: Visit, looked_at: _Attention, at_us: int) -> None:
    shopper = visit.shopper
    rng = shopper.rng
    if shopper.sign_in == "late" and step in SIGNS_IN_AT and rng.random() < SIGNS_IN_AT[step]:
        shopper.sign_in_now()
    if step == "view":
        visit.add_of_item(at_us, step, looked_at.next_item())
    elif step == "click":
        item = looked_at.next_item()
        reduced = item.category.path in visit.day.discounts and rng.random() < 0.4
        scenario = "marketing" if reduced else rng.choice(("search", "recommendation"))
        visit.add_of_item(at_us, step, item, scenario=scenario)
    elif step in ("search", "message"):
        speak(visit, looked_at.category, at_us, step)
    elif step == "wishlist":
        visit.add_of_item(at_us, step, looked_at.item)
    elif step == "add_to_cart":
        quantity = rng.choice((1, 1, 1, 1, 2, 3)) if looked_at.item.price_minor < 5_000 else 1
        shopper.cart.append((looked_at.item, quantity))
        visit.add_of_item(at_us, step, looked_at.item, quantity)
    elif step == "remove_from_cart":
        item, quantity = shopper.cart.pop(rng.randrange(len(shopper.cart)))
        visit.add_of_item(at_us, step, item, quantity)
    elif step == "checkout":
        visit.add(at_us, step)
    elif step == "purchase":
        for n, (item, quantity) in enumerate(shopper.cart):
            price = visit.add_of_item(at_us + n * 1_000, step, item, quantity)
            shopper.last_bought = item
            shopper.amount_minor += price * quantity
        visit.purchases += len(shopper.cart)
        shopper.cart.clear()


def _turn(looked_at: _Attention, step: str) -> None:
    """Whether the stage gives way to another before the next step."""
    visit = looked_at.visit
    turns = TURNS_AFTER.get(step, {}).get(visit.stage) or TURNS[visit.goal][visit.stage]
    at = visit.shopper.rng.random()
    for stage, chance in turns:
        if at < chance:
            visit.stage = stage
            if stage in ("compare", "decide"):
                looked_at.settle()
            return
        at -= chance
