"""Windows and the arithmetic of hops: pure functions of time.

A window `(length, hop)` is sawtooth: at time `t` it covers
`floor((t - length) / hop) * hop <= event_time <= t`, hops aligned to the Unix epoch in UTC. Its head is
exact to the event, its tail moves by whole hops. That is what lets every window be put together from tiles
(`feature_repo.tiles`). (The scheme is known as a "sawtooth" window: head sliding, tail hopping.)

All times are integers, microseconds since the Unix epoch, unless a name says otherwise.
"""

from collections.abc import Iterable

import msgspec

US = 1_000_000
DAY_S = 86_400
DAY_US = DAY_S * US


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


def hops_of(windows: Iterable[Window]) -> tuple[int, ...]:
    """The distinct tile lengths, in seconds, that these windows are summed from, ascending."""
    return tuple(sorted({w.hop_s for w in windows}))


def tile_start(event_time: int, hop_s: int) -> int:
    hop = hop_s * US
    return event_time // hop * hop


def needed_since(windows: Iterable[Window], hop_s: int, as_of: int) -> int:
    """The earliest tile start of this hop that any window still needs at `as_of` or later."""
    return min(w.tail(as_of) for w in windows if w.hop_s == hop_s)
