"""Windows, aggregates and the arithmetic of hops: pure functions of time.

A window `(length, hop)` is sawtooth: at time `t` it covers
`floor((t - length) / hop) * hop <= event_time <= t`, hops aligned to the Unix epoch in UTC. Its head is
exact to the event, its tail moves by whole hops. That is what lets every window be summed from *tiles*:
partial aggregates of one entity over one hop, which add up in any order. (The scheme is known as a
"sawtooth" window: head sliding, tail hopping.)

All times are integers, microseconds since the Unix epoch, unless a name says otherwise.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

US = 1_000_000
DAY_S = 86_400
DAY_US = DAY_S * US

Entity = Literal["user", "item"]


class Window(msgspec.Struct, frozen=True):
    """`length_s` and `hop_s` in seconds; the length is a whole number of hops."""

    name: str
    length_s: int
    hop_s: int

    def __post_init__(self) -> None:
        if self.hop_s <= 0 or self.length_s <= 0 or self.length_s % self.hop_s:
            raise ValueError(
                f"window {self.name}: length {self.length_s}s must be a whole number of hops of {self.hop_s}s"
            )

    def tail(self, as_of: int) -> int:
        """The first instant the window covers at `as_of`."""
        hop = self.hop_s * US
        return (as_of - self.length_s * US) // hop * hop

    def expiry(self, event_time: int) -> int:
        """The first instant at which the window no longer covers an event of `event_time`."""
        hop = self.hop_s * US
        return (event_time // hop + 1) * hop + self.length_s * US


class Aggregate(msgspec.Struct, frozen=True):
    """A number kept per entity: the count of matching events, or the sum of one value over them."""

    name: str
    op: Literal["count", "sum"]
    event_types: tuple[str, ...]
    value: Literal["one", "amount"] = "one"
    unit: str = "events"

    def __post_init__(self) -> None:
        if (self.op == "count") != (self.value == "one"):
            raise ValueError(f"aggregate {self.name}: a count counts events, a sum names its value")

    def feature(self, window: Window) -> str:
        return f"{self.name}_{window.name}"

    def contribution(self, event_type: str, amount: int) -> int:
        """What one event adds; `amount` is its price times quantity in minor units."""
        if event_type not in self.event_types:
            return 0
        return 1 if self.value == "one" else amount


class Tile(NamedTuple):
    """A partial aggregate: `value` of the aggregate at position `aggregate`, from `start` for one hop."""

    hop_s: int
    start: int
    aggregate: int
    value: int


def hops_of(windows: Iterable[Window]) -> tuple[int, ...]:
    """The distinct tile lengths, in seconds, that these windows are summed from, ascending."""
    return tuple(sorted({w.hop_s for w in windows}))


def tile_start(event_time: int, hop_s: int) -> int:
    hop = hop_s * US
    return event_time // hop * hop


def tiles_of_event(
    event_time: int,
    event_type: str,
    amount: int,
    aggregates: tuple[Aggregate, ...],
    hops: tuple[int, ...],
) -> Iterator[Tile]:
    """The tiles that one event adds to; an aggregate it adds nothing to has no tile."""
    for position, aggregate in enumerate(aggregates):
        value = aggregate.contribution(event_type, amount)
        if value:
            for hop_s in hops:
                yield Tile(hop_s, tile_start(event_time, hop_s), position, value)


def window_values(
    tiles: Iterable[Tile], as_of: int, windows: tuple[Window, ...], aggregate_count: int
) -> list[int]:
    """Sum tiles into window values at `as_of`: aggregate-major, `[aggregate][window]` flattened.

    Exact when no event is later than `as_of`; otherwise exact to one hop of each window, since a tile
    that `as_of` falls into is counted whole.
    """
    values = [0] * (aggregate_count * len(windows))
    spans = [(column, w.hop_s, w.tail(as_of)) for column, w in enumerate(windows)]
    for hop_s, start, aggregate, value in tiles:
        if start > as_of:
            continue
        for column, window_hop_s, tail in spans:
            if hop_s == window_hop_s and start >= tail:
                values[aggregate * len(windows) + column] += value
    return values


def needed_since(windows: Iterable[Window], hop_s: int, as_of: int) -> int:
    """The earliest tile start of this hop that any window still needs at `as_of` or later."""
    return min(w.tail(as_of) for w in windows if w.hop_s == hop_s)
