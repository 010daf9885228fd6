"""What the order of a session's events says: declared statistics over its newest steps.

A *step* is an event as three integers: (event time in microseconds, event type, item). Their order as
tuples is the order of a session: events of one instant by type, in the order of EVENT_TYPES, then by
item. A session keeps the STEP_LIMIT greatest of its steps, equal ones as often as they happened. The
greatest of two parts' greatest are those of the whole, so parts merge in any order: days, epochs, late
events.

Sums are of integers and the one division is the last operation, so a number does not depend on who
computes it.
"""

from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple
from zlib import crc32

import msgspec

from feature_repo.events import EVENT_TYPES
from feature_repo.windows import US

STEP_LIMIT = 64
RECENT_PAUSES = 5

EVENT_CODES = {event_type: code for code, event_type in enumerate(EVENT_TYPES)}
NO_ITEM = 0


class Step(NamedTuple):
    """`event_type`: position in EVENT_TYPES. `item`: `item_code` of the item."""

    at_us: int
    event_type: int
    item: int


class SequenceStatistic(msgspec.Struct, frozen=True):
    name: str
    dtype: Literal["int64", "float64"]
    unit: str
    description: str

    @property
    def default(self) -> int | float:
        return 0 if self.dtype == "int64" else 0.0


_OF = f"among the session's newest {STEP_LIMIT} events"

# In the order of `SessionSequence.values`.
SEQUENCE_STATISTICS = (
    SequenceStatistic("session_distinct_item_count", "int64", "items", f"different items {_OF}"),
    SequenceStatistic(
        "session_repeat_view_count", "int64", "events", f"views of an item viewed before {_OF}"
    ),
    SequenceStatistic(
        "session_top_item_view_count", "int64", "events", f"views of the item viewed most {_OF}"
    ),
    SequenceStatistic(
        "session_item_run_length",
        "int64",
        "events",
        f"newest events in a row on one item, passing over those without an item, {_OF}",
    ),
    SequenceStatistic(
        "session_unanswered_search_count",
        "int64",
        "events",
        f"searches since anything was viewed, clicked or done with an item, {_OF}",
    ),
    SequenceStatistic(
        "session_cart_item_count",
        "int64",
        "items",
        f"items added to the cart, and neither removed nor bought since, {_OF}; "
        "a purchase that names no item buys all of them",
    ),
    SequenceStatistic(
        "session_last_pause_s", "float64", "seconds", "between the session's two newest events"
    ),
    SequenceStatistic(
        "session_recent_pause_s",
        "float64",
        "seconds",
        f"mean pause between the session's newest {RECENT_PAUSES + 1} events",
    ),
)

_VIEW, _CLICK, _SEARCH = EVENT_CODES["view"], EVENT_CODES["click"], EVENT_CODES["search"]
_ADD, _REMOVE, _PURCHASE = (EVENT_CODES[t] for t in ("add_to_cart", "remove_from_cart", "purchase"))


def item_code(item_id: str | None) -> int:
    """CRC-32 of the id in UTF-8, at least 1; NO_ITEM where there is none.

    Two items of a session share a code about once in a few million sessions, and are then one item here.
    """
    return NO_ITEM if item_id is None else max(1, crc32(item_id.encode()))


def step_of(event_time: int, event_type: str, item_id: str | None) -> Step:
    return Step(event_time, EVENT_CODES[event_type], item_code(item_id))


def newest_steps(steps: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The session's steps out of those of its parts, in order."""
    return sorted(steps)[-STEP_LIMIT:]


def sequence_values(steps: Iterable[tuple[int, int, int]]) -> list[int | float]:
    """The values of SEQUENCE_STATISTICS after a session's steps, which are in order."""
    sequence = SessionSequence()
    for step in steps:
        sequence.push(step)
    return sequence.values()


class SessionSequence:
    """A session followed step by step, in order."""

    __slots__ = ("_behind", "_statistics", "_steps")

    def __init__(self) -> None:
        self._steps: deque[tuple[int, int, int]] = deque(maxlen=STEP_LIMIT)
        self._statistics = _Statistics()
        self._behind = False

    def push(self, step: tuple[int, int, int]) -> None:
        if len(self._steps) == STEP_LIMIT:
            self._behind = True  # the oldest step goes: what it brought cannot be taken back singly
        elif not self._behind:
            self._statistics.add(*step)
        self._steps.append(step)

    def values(self) -> list[int | float]:
        """Those of SEQUENCE_STATISTICS. Costs the same after any step up to STEP_LIMIT of them, and as
        much as following STEP_LIMIT steps afterwards."""
        if self._behind:
            self._statistics = _Statistics()
            for step in self._steps:
                self._statistics.add(*step)
        return self._statistics.values()


class _Statistics:
    __slots__ = ("cart", "item", "items", "last_us", "pauses", "run", "searches", "top_views", "views")

    def __init__(self) -> None:
        self.items: set[int] = set()
        self.views: dict[int, int] = {}
        self.cart: set[int] = set()
        self.pauses: deque[int] = deque(maxlen=RECENT_PAUSES)
        self.last_us: int | None = None
        self.item = NO_ITEM
        self.run = self.searches = self.top_views = 0

    def add(self, at_us: int, event_type: int, item: int) -> None:
        if self.last_us is not None:
            self.pauses.append(at_us - self.last_us)
        self.last_us = at_us
        if item != NO_ITEM:
            self.items.add(item)
            self.run = self.run + 1 if item == self.item else 1
            self.item = item
            if event_type == _VIEW:
                views = self.views[item] = self.views.get(item, 0) + 1
                self.top_views = max(self.top_views, views)
        if event_type == _SEARCH:
            self.searches += 1
        elif item != NO_ITEM or event_type in (_VIEW, _CLICK):
            self.searches = 0
        if event_type == _ADD:
            self.cart.add(item)
        elif event_type == _PURCHASE and item == NO_ITEM:
            self.cart.clear()
        elif event_type in (_REMOVE, _PURCHASE):
            self.cart.discard(item)

    def values(self) -> list[int | float]:
        pauses = self.pauses
        return [
            len(self.items),
            sum(self.views.values()) - len(self.views),
            self.top_views,
            self.run,
            self.searches,
            len(self.cart),
            pauses[-1] / US if pauses else 0.0,
            sum(pauses) / (len(pauses) * US) if pauses else 0.0,
        ]
