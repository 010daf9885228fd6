"""Window values of one entity: what the lake has counted, plus what it does not cover yet.

The base is a row of Feast's view of its tiles, such as `user_tiles`, computed when the lake held the
ledger up to `covered_epoch`. Live tiles are kept by epoch, and those of later epochs are merged in: no
event is in both or in neither.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from feature_repo.aggregates import Activity, Value
from feature_repo.behavior import ACTIVITIES, DEFINITIONS_HASH, USER, WINDOWS
from feature_repo.tiles import Tile, window_values
from feature_repo.windows import US
from online_api.feast_rows import decode_timestamp, decode_value, feature_field, timestamp_field
from online_api.partials import decode_partial

_BASE = ("definitions_hash", "covered_epoch", "newest_event_us", "tiles")
_SHOPPER = (*_BASE, "last_session_us", "last_session_id")


def _fields(view: str, names: Sequence[str]) -> tuple[bytes, ...]:
    return (timestamp_field(view), *(feature_field(view, name) for name in names))


BASE_FIELDS = {a.name: _fields(a.tiles, _SHOPPER if a == USER else _BASE) for a in ACTIVITIES}

_tiles_decoder = msgspec.json.Decoder(list[tuple[int, int, int, int | list]])


class LastSession(NamedTuple):
    """A shopper's newest client session, by its newest event; of two at one instant, the greater name."""

    event_time: int
    session_id: str


class Counts(NamedTuple):
    """What is counted of one entity, not yet merged into windows.

    `base_as_of` is when the base was computed: it holds the tiles that some window still needs from then
    on. It and `covered_epoch` are None without a base. `live_epoch` is the newest one added to it, and
    `live_seq` the place in the ledger's shard of the last event counted live; None where nothing was, and
    for all but shoppers.
    """

    activity: Activity
    tiles: list[Tile]
    newest: int | None
    last_session: LastSession | None
    covered_epoch: int | None
    live_epoch: int | None
    live_seq: int | None
    base_as_of: int | None = None

    @property
    def known(self) -> bool:
        return self.newest is not None

    def windows(self, as_of: int) -> list[Value]:
        """In the order of the activity's view."""
        return window_values(self.tiles, as_of, WINDOWS, self.activity.aggregates)


def nothing_counted(activity: Activity) -> Counts:
    return Counts(activity, [], None, None, None, None, None)


def counts(activity: Activity, base: Sequence[bytes | None], live: Mapping[bytes, bytes]) -> Counts:
    """`base`: the activity's stored BASE_FIELDS. `live`: the whole live hash.

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
            partial = decode_partial(activity.aggregates[aggregate], value)
            tiles.append((hop_s, index * hop_s * US, aggregate, partial))
        elif tile[0] == b"newest":
            times.append(int(value))
        elif tile[0] == b"seq":
            live_seq = max(live_seq or 0, int(value))
        else:
            time, _, session_id = value.partition(b"|")
            sessions.append(LastSession(int(time), session_id.decode()))
    newest, last = max(times, default=None), max(sessions, default=None)
    return Counts(activity, tiles, newest, last, covered, live_epoch, live_seq, base_as_of)
