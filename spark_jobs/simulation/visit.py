"""One visit: what a shop sees of it, event by event, and the truth behind each."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from feature_repo.events import Device
from feature_repo.windows import US
from spark_jobs.importers.native import NativeRow
from spark_jobs.simulation.behaviour import Goal, Stage
from spark_jobs.simulation.catalogue import Item
from spark_jobs.simulation.promotions import Day
from spark_jobs.simulation.shoppers import Shopper
from spark_jobs.simulation.vocabulary import Language

WRONG_PRICE_CHANCE = 0.0003
WRONG_PRICE_FACTOR = 100
CATEGORY_LOST_CHANCE = 0.03
BRAND_LOST_CHANCE = 0.025
DEVICE_LOST_CHANCE = 0.03
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Utterance(NamedTuple):
    event_id: str
    user_id: str
    language: Language
    intent: str
    text: str


class Visit:
    """Its own times are true; its events carry the shopper's wrong clock. A bot has no goal or stage."""

    __slots__ = (
        "day",
        "device",
        "events",
        "goal",
        "purchases",
        "session_id",
        "shopper",
        "stage",
        "stages",
        "times_us",
        "utterances",
    )

    def __init__(self, shopper: Shopper, start_us: int, day: Day, goal: Goal | None = None) -> None:
        visitor = shopper.visitor
        visitor.visits += 1
        shopper.visits += 1
        self.shopper = shopper
        self.session_id = f"s-{visitor.user_id}-{visitor.visits}"
        self.day = day
        self.goal = goal
        self.stage: Stage | None = None
        self.device = _device(shopper, start_us)
        self.purchases = 0
        self.events: list[NativeRow] = []
        self.times_us: list[int] = []
        self.stages: list[Stage | None] = []
        self.utterances: list[Utterance] = []

    def add(self, at_us: int, event_type: str, **fields: object) -> NativeRow:
        shopper = self.shopper
        visitor = shopper.visitor
        visitor.events += 1
        event = NativeRow(
            event_id=f"e-{visitor.user_id}-{visitor.events}",
            user_id=visitor.user_id,
            event_type=event_type,
            event_time=EPOCH + timedelta(microseconds=at_us + shopper.clock_skew_us),
            session_id=self.session_id if shopper.sends_session_id else None,
            consent=shopper.consent,
            device=self.device,
            **fields,
        )
        self.events.append(event)
        self.times_us.append(at_us)
        self.stages.append(self.stage)
        return event

    def add_of_item(
        self, at_us: int, event_type: str, item: Item, quantity: int = 1, scenario: str | None = None
    ) -> int:
        """Add an event about an item; returns the price of one piece, which the event may misstate."""
        random = self.shopper.rng.random
        price = self.day.prices[item.number]
        wrong = event_type in ("add_to_cart", "purchase") and random() < WRONG_PRICE_CHANCE
        lost = random()
        self.add(
            at_us,
            event_type,
            item_id=item.item_id,
            category=None if lost < CATEGORY_LOST_CHANCE else item.sent_category,
            brand=None if lost > 1 - BRAND_LOST_CHANCE else item.sent_brand,
            price=price * WRONG_PRICE_FACTOR if wrong else price,
            quantity=quantity if quantity > 1 else None,
            scenario=scenario,
        )
        return price


def _device(shopper: Shopper, start_us: int) -> Device | None:
    """Phones in the evening and at weekends, something larger in office hours; some clients do not say."""
    random = shopper.rng.random
    if not shopper.sends_device or random() < DEVICE_LOST_CHANCE:
        return None
    local_hour = (start_us // (3_600 * US) + shopper.utc_offset_h) % 24
    other = 1 - shopper.mobile_chance
    if local_hour >= 18 or local_hour < 2:
        other *= 0.55
    elif 9 <= local_hour < 17:
        other = min(0.95, other * 1.25)
    return shopper.second_device if random() < other else "mobile"
