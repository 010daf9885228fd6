"""How a visit unfolds, as data: stages under a goal, steps within a stage, and what is typed.

A visit has a hidden goal, which is what the visitor came for. At every moment it also has a hidden
stage, which is what the visitor is doing just now: the goal sways how one stage follows another, and
the stage alone decides the next step. The numbers are weights of first-order chains, chosen so that a
stage shows in what a visitor does without giving itself away, and that 5 to 15 in a hundred visits
end in a purchase.
"""

from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple

Goal = Literal["buy", "compare", "explore", "get_help", "after_purchase"]
Stage = Literal["explore", "compare", "decide", "get_help", "after_purchase"]
LEAVE = "leave"


class Choice(NamedTuple):
    """Outcomes with weights, prepared for quick drawing."""

    outcomes: tuple[str, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def of(cls, **weights: float) -> "Choice":
        return cls(tuple(weights), tuple(accumulate(weights.values())))

    def draw(self, rng: Random) -> str:
        return self.outcomes[bisect(self.cumulative, rng.random() * self.cumulative[-1])]


_of = Choice.of

FIRST_STAGE: dict[Goal, Choice] = {
    "buy": _of(decide=5, compare=2.2, explore=2.8),
    "compare": _of(compare=7, explore=3),
    "explore": _of(explore=9.5, compare=0.5),
    "get_help": _of(get_help=5.5, compare=2.5, explore=2),
    "after_purchase": _of(after_purchase=8.5, explore=1.5),
}

# The chance, before each step, that one stage gives way to another.
Turns = dict[Stage, tuple[tuple[Stage, float], ...]]
TURNS: dict[Goal, Turns] = {
    "buy": {
        "explore": (("decide", 0.2), ("compare", 0.07)),
        "compare": (("decide", 0.17), ("explore", 0.02)),
        "decide": (("compare", 0.035), ("get_help", 0.015), ("explore", 0.01)),
        "get_help": (("decide", 0.25),),
        "after_purchase": (("explore", 0.12),),
    },
    "compare": {
        "explore": (("compare", 0.22),),
        "compare": (("decide", 0.03), ("explore", 0.03), ("get_help", 0.012)),
        "decide": (("compare", 0.07),),
        "get_help": (("compare", 0.22),),
        "after_purchase": (("explore", 0.12),),
    },
    "explore": {
        "explore": (("compare", 0.025), ("decide", 0.007)),
        "compare": (("explore", 0.11), ("decide", 0.02)),
        "decide": (("explore", 0.09),),
        "get_help": (("explore", 0.2),),
        "after_purchase": (("explore", 0.12),),
    },
    "get_help": {
        "explore": (("get_help", 0.24),),
        "compare": (("get_help", 0.24),),
        "decide": (("get_help", 0.1),),
        "get_help": (("decide", 0.03), ("explore", 0.03), ("compare", 0.02)),
        "after_purchase": (("get_help", 0.12),),
    },
    "after_purchase": {
        "explore": (("after_purchase", 0.2),),
        "compare": (("after_purchase", 0.2),),
        "decide": (("after_purchase", 0.1),),
        "get_help": (("after_purchase", 0.25),),
        "after_purchase": (("explore", 0.035),),
    },
}
# After these steps, whatever the goal, a stage gives way by these chances instead.
TURNS_AFTER: dict[str, Turns] = {
    "add_to_cart": {"explore": (("decide", 0.45),), "compare": (("decide", 0.4),)},
    "remove_from_cart": {"decide": (("compare", 0.35), ("explore", 0.15))},
    "purchase": {"decide": (("after_purchase", 0.3), ("explore", 0.25))},
}

# Steps are event types, and leaving. `start` is before the first event.
STEPS: dict[Stage, dict[str, Choice]] = {
    "explore": {
        "start": _of(view=6, search=2.5, click=2),
        "search": _of(click=4, view=3, search=1.4, leave=1.2),
        "click": _of(view=8, leave=0.6),
        "view": _of(view=6, click=2, search=1.2, wishlist=0.45, add_to_cart=0.16, leave=1.4),
        "wishlist": _of(view=5, click=1, leave=1),
        "add_to_cart": _of(view=5, remove_from_cart=1.2, leave=2.5),
        "remove_from_cart": _of(view=4, leave=2),
        "checkout": _of(view=2, remove_from_cart=1, leave=3),
        "purchase": _of(view=2.5, leave=3.5),
        "message": _of(view=3, leave=2),
    },
    "compare": {
        "start": _of(search=5, view=4),
        "search": _of(click=4, view=3, search=2, leave=0.7),
        "click": _of(view=8, search=1.4, leave=0.5),
        "view": _of(view=6.5, search=1.6, wishlist=0.5, add_to_cart=0.35, message=0.35, leave=1.3),
        "wishlist": _of(view=5, search=1, leave=1),
        "add_to_cart": _of(view=4.5, remove_from_cart=1.8, leave=1.6),
        "remove_from_cart": _of(view=5, leave=1.5),
        "checkout": _of(remove_from_cart=1.5, view=1.5, leave=2),
        "purchase": _of(view=1, leave=4),
        "message": _of(view=3, message=1.3, leave=1.2),
    },
    "decide": {
        "start": _of(search=4, view=5, checkout=0.8),
        "search": _of(click=5, view=3, search=1.2, leave=0.5),
        "click": _of(view=8, search=1, leave=0.4),
        "view": _of(add_to_cart=4.2, view=4, search=1.1, wishlist=0.3, message=0.3, leave=0.75),
        "wishlist": _of(view=4, add_to_cart=1, leave=1),
        "add_to_cart": _of(checkout=5, view=3, remove_from_cart=0.7, search=0.6, leave=1.1),
        "remove_from_cart": _of(view=4, search=1.5, leave=2),
        "checkout": _of(purchase=7, remove_from_cart=0.5, message=0.3, view=0.6, leave=1.2),
        "purchase": _of(view=1, leave=5),
        "message": _of(view=3, message=1, add_to_cart=1, leave=1),
    },
    "get_help": {
        "start": _of(message=3, view=5, search=2),
        "search": _of(view=4, click=3, message=2, leave=0.8),
        "click": _of(view=6, message=2, leave=0.6),
        "view": _of(message=4, view=3, search=0.8, add_to_cart=0.3, leave=1),
        "wishlist": _of(view=3, message=1, leave=1),
        "add_to_cart": _of(checkout=1, message=2, view=2, leave=1.5),
        "remove_from_cart": _of(view=2, message=1, leave=2),
        "checkout": _of(message=3, purchase=2, leave=1.5),
        "purchase": _of(message=1, leave=4),
        "message": _of(message=3.2, view=1.8, leave=2.4),
    },
    "after_purchase": {
        "start": _of(message=5, view=3.5),
        "search": _of(view=3, message=2, leave=1.5),
        "click": _of(view=4, message=2, leave=1),
        "view": _of(message=4, view=1.8, search=0.5, leave=1.5),
        "wishlist": _of(view=2, leave=2),
        "add_to_cart": _of(view=2, leave=2),
        "remove_from_cart": _of(view=2, leave=2),
        "checkout": _of(message=2, leave=2),
        "purchase": _of(leave=4, message=1.2, view=0.8),
        "message": _of(message=4, view=1.4, leave=2.4),
    },
}

# What is asked for when a visitor types, by stage.
QUERY_INTENT: dict[Stage, Choice] = {
    "explore": _of(search=8, price=0.8, compare=0.5),
    "compare": _of(search=4, compare=4, price=1.6, availability=0.3),
    "decide": _of(search=6, price=2.2, availability=1.3, compare=0.5),
    "get_help": _of(search=4, availability=2, price=1),
    "after_purchase": _of(search=5, availability=0.5),
}
MESSAGE_INTENT: dict[Stage, Choice] = {
    "explore": _of(search=3, price=1, other=1.5),
    "compare": _of(compare=5, price=1.5, availability=1, search=1, other=0.5),
    "decide": _of(availability=3, price=3, payment=2, search=0.7, other=0.6),
    "get_help": _of(availability=2.6, payment=2.4, price=1.7, search=1.6, compare=1, other=1.3),
    "after_purchase": _of(order_status=4.5, return_refund=3, complaint=2, payment=0.6, other=0.7),
}

# What a visitor wants at the end is what the last stage served.
GOAL_SERVED: dict[Stage, Goal] = {
    "explore": "explore",
    "compare": "compare",
    "decide": "buy",
    "get_help": "get_help",
    "after_purchase": "after_purchase",
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
PAUSE_SPREAD = 0.8
LONGEST_PAUSE_S = 1_500
MAX_STEPS = 120

# Share of a day's visits by local hour, and how busy each weekday is (Monday first).
HOURS = (3, 2, 1, 1, 1, 2, 4, 7, 9, 11, 12, 12, 13, 12, 11, 11, 12, 13, 15, 18, 21, 20, 14, 7)
WEEKDAYS = (0.95, 0.92, 0.93, 0.97, 1.05, 1.2, 1.15)
