"""What an aggregate is: an operation on one field of the events that pass a filter.

Each operation is mergeable. `partial` is what one event contributes, a tile merges the contributions of
one hop, and a window merges tiles; nothing depends on the order, nor on how events are cut into tiles.

| operation | a partial | merged by | nothing to tell |
|---|---|---|---|
| count, sum | a number | addition | 0 |
| min, max | a number | the smaller, the greater | null |
| last | event time and value | the later, of one instant the greater value | null |
| distinct | the smallest hashes (`feature_repo.sketch`) | union | 0 |
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from feature_repo import sketch
from feature_repo.events import EVENT_TYPES, LedgerEvent

if TYPE_CHECKING:
    from feature_repo.windows import Window

Op = Literal["count", "sum", "min", "max", "last", "distinct"]
Value = int | str | None
Partial = int | tuple[int, int | str] | list[int]

ADDED: tuple[Op, ...] = ("count", "sum")
NUMBERS = ("amount", "price", "quantity")
TEXTS = (
    "user_id", "session_id", "item_id", "category", "brand", "currency",
    "query", "text", "scenario", "consent", "device",
)  # fmt: skip


class Where(msgspec.Struct, frozen=True):
    """A condition on one field of an event: it is there, and among or between what is given."""

    field: str
    among: tuple[str | int, ...] = ()
    at_least: int | None = None
    at_most: int | None = None

    def __post_init__(self) -> None:
        if self.field not in (*NUMBERS, *TEXTS):
            raise ValueError(f"filter on {self.field!r}: events have {', '.join((*NUMBERS, *TEXTS))}")
        if (self.at_least is not None or self.at_most is not None) and self.field not in NUMBERS:
            raise ValueError(f"filter on {self.field}: only {', '.join(NUMBERS)} have an order")

    def holds(self, event: LedgerEvent) -> bool:
        value = getattr(event, self.field)
        return (
            value is not None
            and (not self.among or value in self.among)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )


class Aggregate(msgspec.Struct, frozen=True):
    """A number (`last`: or a text) kept per entity and window. Empty `event_types`: of all; empty
    `windows`, which are names: over all that are declared.
    """

    name: str
    op: Op
    event_types: tuple[str, ...] = EVENT_TYPES
    field: str | None = None
    unit: str = "events"
    where: tuple[Where, ...] = ()
    windows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.op == "count") != (self.field is None):
            raise ValueError(f"aggregate {self.name}: a count counts events, any other names its field")
        allowed = NUMBERS if self.op in ("sum", "min", "max") else (*NUMBERS, *TEXTS)
        if self.field is not None and self.field not in allowed:
            raise ValueError(f"aggregate {self.name}: {self.op} of {self.field!r}, not of {allowed}")
        unknown = sorted(set(self.event_types) - set(EVENT_TYPES))
        if unknown or not self.event_types:
            raise ValueError(f"aggregate {self.name}: no such event types: {unknown}")

    @property
    def is_text(self) -> bool:
        return self.op == "last" and self.field in TEXTS

    @property
    def default(self) -> int | None:
        return None if self.op in ("min", "max", "last") else 0

    def feature(self, window: "Window") -> str:
        return f"{self.name}_{window.name}"

    def windows_of(self, declared: Iterable["Window"]) -> tuple["Window", ...]:
        return tuple(w for w in declared if not self.windows or w.name in self.windows)

    def partial(self, event: LedgerEvent) -> Partial | None:
        """What one event contributes; None for one that does not concern this aggregate."""
        if event.event_type not in self.event_types or not all(w.holds(event) for w in self.where):
            return None
        if self.op == "count":
            return 1
        value = getattr(event, self.field)
        if value is None or (self.op == "sum" and value == 0):
            return None
        if self.op == "last":
            return event.event_time, value
        return [int(sketch.hash_digits(str(value)), 16)] if self.op == "distinct" else value

    def value_of(self, partials: Iterable[Partial]) -> Value:
        return _VALUES[self.op](partials)


def _distinct(partials: Iterable[list[int]]) -> int:
    return sketch.estimate(sketch.merged(_flat(partials)))


def _flat(lists: Iterable[list[int]]) -> Iterator[int]:
    return (number for numbers in lists for number in numbers)


def _last(partials: Iterable[tuple[int, int | str]]) -> int | str | None:
    newest = max((tuple(p) for p in partials), default=None)
    return None if newest is None else newest[1]


_VALUES: dict[Op, Callable] = {
    "count": sum,
    "sum": sum,
    "min": lambda partials: min(partials, default=None),
    "max": lambda partials: max(partials, default=None),
    "last": _last,
    "distinct": _distinct,
}


class Activity(msgspec.Struct, frozen=True):
    """The aggregates kept by one entity, which `keys` name: fields of an event."""

    name: str
    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    noun: str

    def __post_init__(self) -> None:
        names = [a.name for a in self.aggregates]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"{self.name}: aggregates share a name: {', '.join(repeated)}")
        if "user_id" in self.keys[1:]:
            raise ValueError(f"{self.name}: a shopper's counts lie with the shopper, so user_id comes first")

    def windows_of(self, declared: Iterable["Window"]) -> tuple["Window", ...]:
        """Those that some aggregate of it is kept over."""
        return tuple(w for w in declared if any(a.windows_of((w,)) for a in self.aggregates))

    @property
    def view(self) -> str:
        return f"{self.name}_activity"

    @property
    def tiles(self) -> str:
        return f"{self.name}_tiles"

    @property
    def day_tiles(self) -> str:
        return f"{self.name}_day_tiles"

    @property
    def personal(self) -> bool:
        """Whether it is kept of shoppers, and so knows personal events only."""
        return "user_id" in self.keys

    def entity_of(self, event: LedgerEvent) -> tuple[str, ...] | None:
        """Whom an event counts for; None: for nobody."""
        if self.personal and not event.personal:
            return None
        values = tuple(getattr(event, key) for key in self.keys)
        return None if None in values else values
