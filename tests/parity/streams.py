"""Generated events, crowded onto the edges of hops and days."""

import random
from collections.abc import Sequence

from feature_repo.behavior import HOPS_S
from feature_repo.events import EVENT_TYPES, LedgerEvent
from feature_repo.windows import US


def instant(rng: random.Random, first_us: int, last_us: int) -> int:
    """An instant in [first_us, last_us), half of the time on a hop's edge or a microsecond off it."""
    at = rng.randrange(first_us, last_us)
    if rng.random() < 0.5:
        hop = rng.choice(HOPS_S) * US
        at = at // hop * hop + rng.choice((-1, 0, 0, 1))
    return min(max(at, first_us), last_us - 1)


def random_events(
    seed: int,
    count: int,
    first_us: int,
    last_us: int,
    *,
    users: Sequence[str] = ("u1", "u2", "顾客"),
    items: Sequence[str | None] = ("i1", "i2", None),
    sessions: Sequence[str | None] = ("s1", "s2", None, None),
    categories: Sequence[str | None] = ("shoes", "鞋", None),
) -> list[LedgerEvent]:
    """Half of them in the last two days, some at one and the same instant, in no order."""
    rng, events = random.Random(seed), []
    recent_us = max(first_us, last_us - 2 * 86_400 * US)
    for n in range(count):
        at = instant(rng, rng.choice((first_us, recent_us)), last_us)
        if events and rng.random() < 0.1:
            at = rng.choice(events).event_time
        price = rng.choice((None, rng.randrange(10_000)))
        events.append(
            LedgerEvent(
                event_id=f"e{n}",
                user_id=rng.choice(users),
                event_type=rng.choice(EVENT_TYPES),
                event_time=at,
                claimed_time=at,
                received_at=at,
                session_id=rng.choice(sessions),
                item_id=rng.choice(items),
                category=rng.choice(categories),
                brand=rng.choice(("a", "b", None)),
                price=price,
                currency="USD",
                quantity=rng.randrange(1, 4),
                query=None,
                text=None,
                scenario=rng.choice(("search", "recommendation", None)),
                consent=rng.choice(("personalize", "personalize", "personalize", "aggregate")),
            )
        )
    return events
