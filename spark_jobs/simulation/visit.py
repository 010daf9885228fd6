"""One visit: from a hidden goal to the events that a shop would see of it."""

from dataclasses import dataclass, field

from feature_repo.events import from_us
from feature_repo.windows import US
from spark_jobs.importers.native import NativeRow
from spark_jobs.simulation.behaviour import (
    LEAVE,
    MAX_STEPS,
    MESSAGE_INTENT,
    PAUSE_S,
    QUERY_INTENT,
    STEPS,
    TURN_AFTER_STEPS,
    TURNS,
    Goal,
)
from spark_jobs.simulation.shop import Catalogue, Item, Shopper
from spark_jobs.simulation.vocabulary import MESSAGES, QUERIES, Category, Language

OTHER_LANGUAGE_CHANCE = 0.06
WRONG_PRICE_CHANCE = 0.0003
LONGEST_PAUSE_S = 1_500


@dataclass(slots=True)
class Utterance:
    event_id: str
    language: Language
    intent: str
    text: str


@dataclass(slots=True)
class Visit:
    """A visit and its truth. Its own times are true; its events carry the shopper's wrong clock."""

    shopper: Shopper
    session_id: str
    goal: Goal | None
    goal_at_end: Goal | None
    first_us: int
    last_us: int
    events: list[NativeRow] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)

    def add(self, at_us: int, event_type: str, **fields: object) -> NativeRow:
        shopper = self.shopper
        shopper.events_sent += 1
        event = NativeRow(
            event_id=f"e-{shopper.user_id}-{shopper.events_sent}",
            user_id=shopper.user_id,
            event_type=event_type,
            event_time=from_us(at_us + shopper.clock_skew_us),
            session_id=self.session_id if shopper.sends_session_id else None,
            consent=shopper.consent,
            **fields,
        )
        self.events.append(event)
        self.last_us = at_us
        return event

    @property
    def purchases(self) -> int:
        return sum(event.event_type == "purchase" for event in self.events)


def begin(shopper: Shopper, start_us: int, goal: Goal | None) -> Visit:
    shopper.visits += 1
    session_id = f"s-{shopper.user_id}-{shopper.visits}"
    return Visit(shopper, session_id, goal, goal, start_us, start_us)


def choose_goal(shopper: Shopper) -> Goal:
    """Leanings, and what went before: who bought asks after it, who compared comes back to buy."""
    weights = dict(shopper.goal_leanings)
    if shopper.bought:
        weights["after_purchase"] += 0.25
    if shopper.undecided_about:
        weights["buy"] *= 2.2
        weights["compare"] *= 1.4
    if shopper.cart:
        weights["buy"] *= 1.8
    return shopper.rng.choices(list(weights), list(weights.values()))[0]


def crawl(shopper: Shopper, catalogue: Catalogue, start_us: int) -> Visit:
    """A bot's visit: page after page at an even pace, wanting nothing."""
    rng = shopper.rng
    visit = begin(shopper, start_us, None)
    items = catalogue.all()
    at_us, first = start_us, rng.randrange(len(items))
    pace_s = rng.uniform(0.4, 2.0)
    for n in range(rng.randrange(50, 180)):
        visit.add(at_us, "view", **_of_item(items[(first + n) % len(items)]))
        at_us += int(pace_s * rng.uniform(0.97, 1.03) * US)
    return visit


def shop(shopper: Shopper, catalogue: Catalogue, start_us: int) -> Visit:
    """A person's visit, under a goal that may change on the way."""
    rng = shopper.rng
    visit = begin(shopper, start_us, choose_goal(shopper))
    looked_at = _Attention(visit, catalogue)
    haste = rng.lognormvariate(0, 0.35)
    at_us, step = start_us, "start"
    for count in range(MAX_STEPS):
        step = STEPS[visit.goal_at_end][step].draw(rng)
        if step == LEAVE:
            break
        step = _possible(step, looked_at)
        _perform(step, visit, looked_at, at_us)
        _reconsider(visit, count)
        pause_s = PAUSE_S[step] * haste * rng.lognormvariate(0, 0.8)
        at_us += int(min(pause_s, LONGEST_PAUSE_S) * US) + US // 10
    compared = visit.goal_at_end == "compare"
    shopper.undecided_about = looked_at.category if compared else None
    return visit


class _Attention:
    """What the visitor's eyes are on: a kind of goods, a few candidates, one item."""

    def __init__(self, visit: Visit, catalogue: Catalogue) -> None:
        self.visit, self.catalogue = visit, catalogue
        shopper = visit.shopper
        rng = shopper.rng
        self.item: Item | None = None
        self.category: Category
        if visit.goal == "after_purchase" and shopper.bought:
            self.category = shopper.bought[-1].category
            self.candidates = [shopper.bought[-1]]
        else:
            back = visit.goal in ("buy", "compare") and shopper.undecided_about
            self.category = back or rng.choice(shopper.interests)
            count = rng.choice((2, 3, 4))
            self.candidates = [catalogue.popular(self.category, rng) for _ in range(count)]

    def next_item(self) -> Item:
        shopper, goal = self.visit.shopper, self.visit.goal_at_end
        rng = shopper.rng
        if goal == "explore":
            if rng.random() < 0.35:
                self.category = rng.choice(shopper.interests)
            self.item = self.catalogue.popular(self.category, rng)
        elif rng.random() < 0.8:
            self.item = rng.choice(self.candidates)
        else:
            self.item = self.catalogue.popular(self.category, rng)
        return self.item


def _possible(step: str, looked_at: _Attention) -> str:
    """The step, or looking on where there is nothing to take, or no heart to take it."""
    shopper, item = looked_at.visit.shopper, looked_at.item
    if step in ("checkout", "purchase", "remove_from_cart") and not shopper.cart:
        return "view"
    if step in ("add_to_cart", "wishlist", "click") and item is None:
        return "view"
    if step == "add_to_cart":
        fits_budget = 1.25 - 1.1 * max(0.0, item.dearness - shopper.budget)
        if shopper.rng.random() > 0.9 * shopper.decisiveness * fits_budget:
            return "view"
    return step


def _perform(step: str, visit: Visit, looked_at: _Attention, at_us: int) -> None:
    shopper = visit.shopper
    rng = shopper.rng
    if step in ("search", "message"):
        _speak(visit, looked_at.category, at_us, step)
    elif step == "click":
        scenario = rng.choice(("search", "recommendation"))
        visit.add(at_us, step, scenario=scenario, **_of_item(looked_at.next_item()))
    elif step == "view":
        visit.add(at_us, step, **_of_item(looked_at.next_item()))
    elif step == "wishlist":
        visit.add(at_us, step, **_of_item(looked_at.item))
    elif step == "add_to_cart":
        quantity = rng.choice((1, 1, 1, 1, 2, 3)) if looked_at.item.price_minor < 5_000 else 1
        shopper.cart.append((looked_at.item, quantity))
        visit.add(at_us, step, **_of_item(looked_at.item, quantity, rng.random()))
    elif step == "remove_from_cart":
        item, quantity = shopper.cart.pop(rng.randrange(len(shopper.cart)))
        visit.add(at_us, step, **_of_item(item, quantity))
    elif step == "checkout":
        visit.add(at_us, step)
    elif step == "purchase":
        for n, (item, quantity) in enumerate(shopper.cart):
            visit.add(at_us + n * 1_000, step, **_of_item(item, quantity, rng.random()))
            shopper.bought.append(item)
        shopper.cart.clear()


def _reconsider(visit: Visit, steps: int) -> None:
    goal, chance = TURNS.get(visit.goal_at_end, (visit.goal_at_end, 0.0))
    if steps >= TURN_AFTER_STEPS and visit.shopper.rng.random() < chance:
        visit.goal_at_end = goal


def _of_item(item: Item, quantity: int = 1, luck: float = 1.0) -> dict[str, object]:
    """`luck` below WRONG_PRICE_CHANCE makes the price a hundred times too high, a feed's error."""
    wrong = 100 if luck < WRONG_PRICE_CHANCE else 1
    return {
        "item_id": item.item_id,
        "category": item.category.path,
        "brand": item.brand,
        "price": item.price_minor * wrong,
        "quantity": quantity if quantity > 1 else None,
    }


def _speak(visit: Visit, category: Category, at_us: int, kind: str) -> None:
    shopper, goal = visit.shopper, visit.goal_at_end
    rng = shopper.rng
    language = shopper.language
    if rng.random() < OTHER_LANGUAGE_CHANCE:
        language = "en" if language == "zh" else "zh"
    intents, texts = (QUERY_INTENT, QUERIES) if kind == "search" else (MESSAGE_INTENT, MESSAGES)
    intent = intents[goal].draw(rng)
    brand, other = rng.sample(category.brands, 2)
    text = rng.choice(texts[intent][language]).format(
        what=category.what[language],
        brand=brand,
        other=other,
        feature=rng.choice(category.features[language]),
        price=int(category.low + (category.high - category.low) * shopper.budget) // 10 * 10 + 10,
        order=rng.randrange(10_000_000, 99_999_999),
        n=rng.randrange(2, 15),
    )
    if kind == "search":
        event = visit.add(at_us, kind, query=text, scenario="search")
    else:
        event = visit.add(at_us, kind, text=text, scenario="service")
    visit.utterances.append(Utterance(event.event_id, language, intent, text))
