"""Window values of one shopper or item: what the lake has counted, plus what it does not cover yet.

The base is a row of Feast's `user_tiles` or `item_tiles`, computed when the lake held the ledger up to
`covered_epoch`. Live counts are kept by epoch, and those of later epochs are added: no event is in both
or in neither.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from feature_repo.behavior import AGGREGATES, DEFINITIONS_HASH, WINDOWS
from feature_repo.windows import US, window_values
from online_api.feast_rows import decode_timestamp, decode_value, feature_field, timestamp_field

_BASE = ("definitions_hash", "covered_epoch", "newest_event_us", "tiles")
_SHOPPER = (*_BASE, "last_session_us", "last_session_id")


def _fields(view: str, names: Sequence[str]) -> tuple[bytes, ...]:
    return (timestamp_field(view), *(feature_field(view, name) for name in names))


USER_BASE_FIELDS = _fields("user_tiles", _SHOPPER)
ITEM_BASE_FIELDS = _fields("item_tiles", _BASE)

_tiles_decoder = msgspec.json.Decoder(list[tuple[int, int, int, int]])


class LastSession(NamedTuple):
    """A shopper's newest client session, by its newest event; of two at one instant, the greater name."""

    event_time: int
    session_id: str


class Counts(NamedTuple):
    """What is counted of one entity, not yet summed into windows. Tiles: (hop_s, start, aggregate, value).

    `base_as_of` is when the base was computed: it holds the tiles that some window still needs from then
    on. It and `covered_epoch` are None without a base. `live_epoch` is the newest one added to it, and
    `live_seq` the place in the ledger's shard of the last event counted live; None where nothing was, and
    for items.
    """

    tiles: list[tuple[int, int, int, int]]
    newest: int | None
    last_session: LastSession | None
    covered_epoch: int | None
    live_epoch: int | None
    live_seq: int | None
    base_as_of: int | None = None

    @property
    def known(self) -> bool:
        return self.newest is not None

    def windows(self, as_of: int) -> list[int]:
        """In the order of `user_activity` and `item_activity`."""
        return window_values(self.tiles, as_of, WINDOWS, len(AGGREGATES))


def counts(base: Sequence[bytes | None], live: Mapping[bytes, bytes]) -> Counts:
    """`base`: the stored fields USER_BASE_FIELDS or ITEM_BASE_FIELDS. `live`: the whole live hash.

    A base of other definitions counts something else and is as good as absent.
    """
    written, *stored = base
    row = [decode_value(field) if field else None for field in stored]
    base_as_of = decode_timestamp(written) if written else None
    if row[0] != DEFINITIONS_HASH:
        row, base_as_of = [None] * len(row), None
    _, covered, newest, encoded, *session = row
    tiles = _tiles_decoder.decode(encoded) if encoded else []
    times = [] if newest is None else [newest]
    sessions = [LastSession(*session)] if session and None not in session else []
    live_epoch = live_seq = None
    for field, value in live.items():
        epoch, *tile = field.split(b":")
        epoch = int(epoch)
        if covered is not None and epoch <= covered:
            continue
        if live_epoch is None or epoch > live_epoch:
            live_epoch = epoch
        if len(tile) == 3:
            hop_s, index, aggregate = map(int, tile)
            tiles.append((hop_s, index * hop_s * US, aggregate, int(value)))
        elif tile[0] == b"newest":
            times.append(int(value))
        elif tile[0] == b"seq":
            live_seq = max(live_seq or 0, int(value))
        else:
            time, _, session_id = value.partition(b"|")
            sessions.append(LastSession(int(time), session_id.decode()))
    newest, last = max(times, default=None), max(sessions, default=None)
    return Counts(tiles, newest, last, covered, live_epoch, live_seq, base_as_of)
