"""How a visit unfolds, as data: which step follows which under each hidden goal, and what is typed.

The numbers are weights of a first-order chain. They were chosen so that a goal shows in what a
shopper does without giving itself away, and that 5 to 15 in a hundred visits end in a purchase.
"""

from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple

Goal = Literal["buy", "compare", "explore", "get_help", "after_purchase"]
LEAVE = "leave"


class Choice(NamedTuple):
    """Outcomes with weights, prepared for quick drawing."""

    outcomes: tuple[str, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def of(cls, **weights: float) -> "Choice":
        return cls(tuple(weights), tuple(accumulate(weights.values())))

    def draw(self, rng: Random) -> str:
        at = rng.random() * self.cumulative[-1]
        for outcome, bound in zip(self.outcomes, self.cumulative, strict=True):
            if at < bound:
                return outcome
        return self.outcomes[-1]


_of = Choice.of

# Steps are event types, and leaving. `start` is before the first event.
STEPS: dict[Goal, dict[str, Choice]] = {
    "buy": {
        "start": _of(search=5, view=4, checkout=0.8),
        "search": _of(click=5, view=3, search=1.2, leave=0.5),
        "click": _of(view=8, search=1, leave=0.4),
        "view": _of(add_to_cart=3.4, view=4, search=1.4, wishlist=0.3, message=0.3, leave=0.9),
        "wishlist": _of(view=4, add_to_cart=1, leave=1),
        "add_to_cart": _of(checkout=5, view=3, remove_from_cart=0.7, search=0.6, leave=1.1),
        "remove_from_cart": _of(view=4, search=1.5, leave=2),
        "checkout": _of(purchase=6.5, remove_from_cart=0.5, message=0.3, view=0.6, leave=1.4),
        "purchase": _of(view=1.2, leave=5),
        "message": _of(view=3, message=1, add_to_cart=1, leave=1),
    },
    "compare": {
        "start": _of(search=5, view=4),
        "search": _of(click=4, view=3, search=2, leave=0.7),
        "click": _of(view=8, search=1.4, leave=0.5),
        "view": _of(view=6.5, search=1.6, wishlist=0.5, add_to_cart=0.45, message=0.35, leave=1.3),
        "wishlist": _of(view=5, search=1, leave=1),
        "add_to_cart": _of(view=4.5, remove_from_cart=1.8, checkout=0.8, leave=1.6),
        "remove_from_cart": _of(view=5, leave=1.5),
        "checkout": _of(purchase=3, remove_from_cart=1.5, view=1.5, leave=2),
        "purchase": _of(view=1, leave=4),
        "message": _of(view=3, message=1.3, leave=1.2),
    },
    "explore": {
        "start": _of(view=6, search=2.5, click=2),
        "search": _of(click=4, view=3, search=1.4, leave=1.2),
        "click": _of(view=8, leave=0.6),
        "view": _of(view=6, click=2, search=1.2, wishlist=0.45, add_to_cart=0.16, leave=1.4),
        "wishlist": _of(view=5, click=1, leave=1),
        "add_to_cart": _of(view=5, remove_from_cart=1.2, checkout=0.35, leave=2.5),
        "remove_from_cart": _of(view=4, leave=2),
        "checkout": _of(purchase=2, view=2, remove_from_cart=1, leave=3),
        "purchase": _of(view=1, leave=4),
        "message": _of(view=3, leave=2),
    },
    "get_help": {
        "start": _of(message=3, view=5, search=2),
        "search": _of(view=4, click=3, message=2, leave=0.8),
        "click": _of(view=6, message=2, leave=0.6),
        "view": _of(message=4, view=3, search=0.8, add_to_cart=0.3, leave=1),
        "wishlist": _of(view=3, message=1, leave=1),
        "add_to_cart": _of(checkout=1, message=2, view=2, leave=1.5),
        "remove_from_cart": _of(view=2, message=1, leave=2),
        "checkout": _of(message=3, purchase=2.5, leave=1.5),
        "purchase": _of(message=1, leave=4),
        "message": _of(message=3.2, view=1.8, leave=2.4),
    },
    "after_purchase": {
        "start": _of(message=5, view=3.5),
        "search": _of(view=3, message=2, leave=1.5),
        "click": _of(view=4, message=2, leave=1),
        "view": _of(message=4, view=1.8, search=0.5, add_to_cart=0.12, leave=1.5),
        "wishlist": _of(view=2, leave=2),
        "add_to_cart": _of(checkout=1, view=2, leave=2),
        "remove_from_cart": _of(view=2, leave=2),
        "checkout": _of(purchase=3, leave=2),
        "purchase": _of(leave=4, message=1),
        "message": _of(message=4, view=1.4, leave=2.4),
    },
}

# What is asked for when a shopper types, by goal.
QUERY_INTENT: dict[Goal, Choice] = {
    "buy": _of(search=6, price=2.2, availability=1.3, compare=0.5),
    "compare": _of(search=4, compare=4, price=1.6, availability=0.3),
    "explore": _of(search=8, price=0.8, compare=0.5),
    "get_help": _of(search=4, availability=2, price=1),
    "after_purchase": _of(search=5, availability=0.5),
}
MESSAGE_INTENT: dict[Goal, Choice] = {
    "buy": _of(availability=3, price=3, payment=2, search=0.7, other=0.6),
    "compare": _of(compare=5, price=1.5, availability=1, search=1, other=0.5),
    "explore": _of(search=3, price=1, other=1.5),
    "get_help": _of(availability=2.6, payment=2.4, price=1.7, search=1.6, compare=1, other=1.3),
    "after_purchase": _of(order_status=4.5, return_refund=3, complaint=2, payment=0.6, other=0.7),
}

# Median seconds until the next step, after each.
PAUSE_S = {
    "search": 11.0,
    "click": 5.0,
    "view": 24.0,
    "wishlist": 8.0,
    "add_to_cart": 13.0,
    "remove_from_cart": 9.0,
    "checkout": 48.0,
    "purchase": 30.0,
    "message": 40.0,
}
MAX_STEPS = 120
# A goal may turn into another at each step, once a visit has gone on for a while.
TURN_AFTER_STEPS = 4
TURNS: dict[Goal, tuple[Goal, float]] = {
    "buy": ("explore", 0.01),
    "compare": ("buy", 0.04),
    "explore": ("buy", 0.01),
    "get_help": ("explore", 0.01),
}

# Share of a day's visits by local hour, and how busy each weekday is (Monday first).
HOURS = (3, 2, 1, 1, 1, 2, 4, 7, 9, 11, 12, 12, 13, 12, 11, 11, 12, 13, 15, 18, 21, 20, 14, 7)
WEEKDAYS = (0.95, 0.92, 0.93, 0.97, 1.05, 1.2, 1.15)
