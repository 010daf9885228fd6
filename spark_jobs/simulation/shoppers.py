"""Who visits the simulated shop: lasting traits, and what the visits so far left behind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Literal

from feature_repo.events import Device
from spark_jobs.simulation.behaviour import HOURS, Goal
from spark_jobs.simulation.catalogue import Item
from spark_jobs.simulation.personas import PERSONAS, Persona
from spark_jobs.simulation.vocabulary import CATEGORIES, Category, Language

Kind = Literal["person", "crawler", "burst_scraper", "price_poller"]
SignIn = Literal["always", "late", "never"]

BOT_SHARE = 0.02
BOT_KINDS: tuple[tuple[Kind, int], ...] = (("crawler", 4), ("burst_scraper", 3), ("price_poller", 3))
BOT_VISITS_PER_DAY = 0.55
SIGN_IN: tuple[tuple[SignIn, int], ...] = (("always", 62), ("late", 16), ("never", 22))
CHINESE_SHARE = 0.55
UTC_OFFSET_H: dict[Language, int] = {"zh": 8, "en": -5}

# Over weeks: who is not here yet, who stops coming, and how fast.
JOINS_LATER_SHARE = 0.18
JOINS_WITHIN_DAYS = 25
LAPSE_PER_DAY = 0.006
LAPSE_WHEN_DISAPPOINTED = 0.1
FADE_PER_DAY = 0.86
WON_BACK_PER_DAY = 0.012


@dataclass(slots=True)
class Visitor:
    """Whom the shop takes a shopper for: an account, or what a cookie says."""

    user_id: str
    events: int = 0
    visits: int = 0


@dataclass(slots=True)
class Shopper:
    """A person or a bot. `hours` are cumulative weights of the UTC hours.

    `joins_on` and `lapsing_since` count days from the first day of the run; None is never.
    """

    account: Visitor
    rng: Random
    kind: Kind
    persona: str
    traits: Persona
    language: Language
    visits_per_day: float
    decisiveness: float
    budget: float
    promotion_sensitivity: float
    pace: float
    goal_leanings: dict[Goal, float]
    interests: list[Category]
    brands: dict[str, str]
    hours: list[float]
    utc_offset_h: int
    mobile_chance: float
    second_device: Device
    sign_in: SignIn
    keeps_cookie: float
    consent: str | None
    sends_session_id: bool
    sends_device: bool
    clock_skew_us: int
    joins_on: int

    visitor: Visitor
    cart: list[tuple[Item, int]] = field(default_factory=list)
    last_bought: Item | None = None
    undecided_about: Category | None = None
    disappointed: bool = False
    free_from_us: int = 0
    fade: float = 1.0
    lapsing_since: int | None = None
    visits: int = 0
    purchases: int = 0
    amount_minor: int = 0
    first_visit_us: int | None = None
    last_visit_us: int | None = None

    @property
    def is_bot(self) -> bool:
        return self.kind != "person"

    def come_back(self) -> None:
        """Begin a visit: as the same visitor where a cookie is left, else as a new one."""
        if self.sign_in == "always":
            return
        if self.visits and self.rng.random() < self.keeps_cookie:
            return
        # The cart went with the cookie.
        self.visitor = _unknown(self.rng)
        self.cart.clear()

    def sign_in_now(self) -> None:
        self.visitor = self.account

    def keenness(self, day: int, traffic_lift: float) -> float:
        """How much of the usual urge to visit is there on this day of the run; call once a day."""
        if day < self.joins_on:
            return 0.0
        rng = self.rng
        if self.lapsing_since is None:
            chance = LAPSE_PER_DAY * self.traits.lapse
            if rng.random() < (LAPSE_WHEN_DISAPPOINTED if self.disappointed else chance):
                self.lapsing_since = day
            self.disappointed = False
        elif rng.random() < WON_BACK_PER_DAY * (traffic_lift**2 if traffic_lift > 1 else 0.5):
            self.lapsing_since, self.fade = None, 1.0
        else:
            self.fade *= FADE_PER_DAY
        return self.fade * (1 + (traffic_lift - 1) * self.promotion_sensitivity)


def new_shopper(number: int, seed: int) -> Shopper:
    """The same number and seed make the same shopper, however many others there are."""
    rng = Random(f"{seed}/shopper/{number}")
    account = Visitor(f"u{number:06d}")
    is_bot = rng.random() < BOT_SHARE
    kind = _weighted(rng, BOT_KINDS) if is_bot else "person"
    persona = _weighted(rng, ((name, persona.share) for name, persona in PERSONAS.items()))
    traits = PERSONAS[persona]
    language: Language = "zh" if rng.random() < CHINESE_SHARE else "en"
    habit = rng.choice((0, 0, 0, -9, 3))
    offset = UTC_OFFSET_H[language]
    hours = accumulate(HOURS[(h + offset - habit) % 24] for h in range(24))
    buy, compare, explore, get_help = (x * rng.lognormvariate(0, 0.4) for x in traits.leanings)
    sign_in = "always" if kind in ("crawler", "price_poller") else _weighted(rng, SIGN_IN)
    return Shopper(
        account=account,
        rng=rng,
        kind=kind,
        persona="" if is_bot else persona,
        traits=traits,
        language=language,
        visits_per_day=BOT_VISITS_PER_DAY if is_bot else _visits_per_day(rng, traits),
        decisiveness=traits.decisiveness * rng.lognormvariate(0, 0.35),
        budget=rng.betavariate(*traits.budget),
        promotion_sensitivity=traits.promotion_sensitivity * rng.lognormvariate(0, 0.3),
        pace=traits.pace * rng.lognormvariate(0, 0.25),
        goal_leanings={
            "buy": buy,
            "compare": compare,
            "explore": explore,
            "get_help": get_help,
            "after_purchase": 0.06,
        },
        interests=rng.sample(CATEGORIES, rng.choice((2, 3, 3, 4, 5))),
        brands={category.path: rng.choice(category.brands) for category in CATEGORIES},
        hours=list(hours),
        utc_offset_h=offset,
        mobile_chance=min(0.97, max(0.03, traits.mobile + rng.gauss(0, 0.22))),
        second_device="desktop" if rng.random() < 0.88 else rng.choice(("tablet", "tablet", "other")),
        sign_in="never" if kind == "burst_scraper" else sign_in,
        keeps_cookie=0.0 if is_bot else rng.choice((0.0, 0.0, 0.4, 0.75)),
        consent="aggregate" if rng.random() < 0.03 else None,
        sends_session_id=rng.random() >= 0.04,
        sends_device=not is_bot and rng.random() >= 0.04,
        clock_skew_us=rng.randrange(5_000_000, 90_000_000) if rng.random() < 0.01 else 0,
        joins_on=_joins_on(rng),
        visitor=account,
    )


def _visits_per_day(rng: Random, traits: Persona) -> float:
    return min(traits.visits * rng.gammavariate(1.2, 1.45), 6.0)


def _joins_on(rng: Random) -> int:
    later = rng.random() < JOINS_LATER_SHARE
    return 1 + int(rng.expovariate(1 / JOINS_WITHIN_DAYS)) if later else 0


def _unknown(rng: Random) -> Visitor:
    return Visitor(f"v{rng.getrandbits(64):016x}")


def _weighted(rng: Random, choices: Iterable[tuple[str, float]]) -> str:
    names, weights = zip(*choices, strict=True)
    return rng.choices(names, weights)[0]
