"""The append-only log of accepted events, and the counts kept with it.

A request's events go, shard by shard, through one script that recognises repeats, appends, and counts for
shoppers and sessions, all at once. The items they concern live in other shards, so those are counted in a
second round trip and only then is the batch no longer pending. Whoever finds a batch pending may count it
again: an item's shard knows which batches it has counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from feature_repo.aggregates import ADDED, Activity
from feature_repo.behavior import ACTIVITIES, DEFINITIONS_HASH, SESSION_AGGREGATES, WINDOWS
from feature_repo.events import EVENT_TYPES, LedgerEvent
from feature_repo.sequence import step_of
from feature_repo.tiles import Tile, Tiling
from feature_repo.windows import US
from online_api import keys
from online_api.connection import Command, Steps
from online_api.partials import MERGES, encode_partial
from online_api.scripts import APPEND, COUNT_ITEMS, RAISE
from online_api.sessions import step_record
from online_api.settings import Settings

# What a late request's stamp may lag behind the newest: it decides how long ids are kept, nothing else.
SLACK_S = 3_600

_TILINGS = tuple((activity, Tiling(activity, WINDOWS)) for activity in ACTIVITIES)
PERSONAL = tuple((activity, tiling) for activity, tiling in _TILINGS if activity.personal)
SHARED = tuple((activity, tiling) for activity, tiling in _TILINGS if not activity.personal)
"""Those of shoppers are counted with the log, in the shopper's shard; the others lie anywhere."""

_encode = msgspec.msgpack.encode
_entry_decoder = msgspec.msgpack.Decoder(LedgerEvent)


def _session_positions(event_type: str, op: str) -> list[str]:
    """Which session aggregates of this operation an event of this type takes part in."""
    matching = (i for i, a in enumerate(SESSION_AGGREGATES) if a.op == op and a.matches(event_type))
    return [str(i) for i in matching]


_SESSION = {
    t: tuple(_session_positions(t, op) for op in ("count", "sum", "min_time", "max_time"))
    for t in EVENT_TYPES
}


class LedgerError(RuntimeError):
    """The ledger in Redis does not fit this process; the message says how to mend it."""


class EntityTiles(NamedTuple):
    """`added`: fields of a live hash and what to add, alternating; `merged`: field, how, with what."""

    name: str
    added: list[str]
    merged: list[str]


class Batch(NamedTuple):
    """Events that one request appended to one shard, consecutive in its log."""

    shard: int
    epoch: int
    first_seq: int
    last_seq: int
    events: Sequence[LedgerEvent]

    @property
    def pending_field(self) -> str:
        return f"{self.epoch}-{self.first_seq}-{self.last_seq}"

    @property
    def name(self) -> str:
        """What an item shard remembers it by, within the epoch."""
        return f"{self.shard}-{self.first_seq}-{self.last_seq}"


class Appended(NamedTuple):
    """`accepted[i]`: whether event i was new. `repeated_in`: shards that had seen some event before and
    have batches of others pending."""

    accepted: list[bool]
    batches: list[Batch]
    repeated_in: list[int]


def append(events: Sequence[LedgerEvent], settings: Settings) -> Steps[list[bool]]:
    """Keep the events and count them; what is answered is whether each was new.

    A repeat is answered only once whatever it repeats is counted for its item too.
    """
    appended = yield from append_to_shards(events, settings)
    if appended.repeated_in:
        yield from recover_pending(settings, appended.repeated_in)
    yield from settle(appended.batches, settings)
    return appended.accepted


def append_to_shards(events: Sequence[LedgerEvent], settings: Settings) -> Steps[Appended]:
    by_shard: dict[int, list[int]] = {}
    for position, event in enumerate(events):
        by_shard.setdefault(keys.shard_of(event.user_id, settings.shards), []).append(position)
    commands = [
        _append_command(shard, [events[i] for i in positions], settings)
        for shard, positions in by_shard.items()
    ]
    replies = yield commands
    accepted = [False] * len(events)
    batches, repeated_in = [], []
    for (shard, positions), reply in zip(by_shard.items(), replies, strict=True):
        epoch, first, last, flags, others = reply
        new = [i for i, flag in zip(positions, flags.decode(), strict=True) if flag == "1"]
        for i in new:
            accepted[i] = True
        if new:
            batches.append(Batch(shard, int(epoch), int(first), int(last), [events[i] for i in new]))
        if others:
            repeated_in.append(shard)
    return Appended(accepted, batches, repeated_in)


def settle(batches: Sequence[Batch], settings: Settings) -> Steps[int]:
    """Count these batches for their items, move the clock, and then let them be pending no more."""
    if not batches:
        return 0
    newest = max(event.event_time for batch in batches for event in batch.events)
    yield [*item_commands(batches, settings), RAISE(keys.CLOCK, newest)]
    yield [("HDEL", keys.pending(batch.shard), batch.pending_field) for batch in batches]
    return len(batches)


def recover_pending(settings: Settings, shards: Iterable[int] | None = None) -> Steps[int]:
    """Finish what requests cut short left pending; answers how many batches that were."""
    shards = range(settings.shards) if shards is None else sorted(shards)
    fields = yield [("HKEYS", keys.pending(shard)) for shard in shards]
    found = [
        (shard, *map(int, field.split(b"-")))
        for shard, names in zip(shards, fields, strict=True)
        for field in names
    ]
    if not found:
        return 0
    logs = yield [
        ("XRANGE", keys.log(shard), f"{epoch}-{first}", f"{epoch}-{last}")
        for shard, epoch, first, last in found
    ]
    batches = [
        Batch(*place, [decode_entry(entry) for _, entry in entries])
        for place, entries in zip(found, logs, strict=True)
    ]
    landed = [batch for batch in batches if not batch.events]
    if landed:
        yield [("HDEL", keys.pending(batch.shard), batch.pending_field) for batch in landed]
    return (yield from settle([batch for batch in batches if batch.events], settings))


def open_ledger(settings: Settings) -> Steps[int]:
    """What a process does before it serves: check that it reads the shards as they were written, and
    finish what a killed one left. Raises LedgerError."""
    # One after the other: a cluster that is still settling may answer a pipeline's commands out of turn.
    yield [("SET", keys.SHARDS, settings.shards, "NX")]
    (shards,) = yield [("GET", keys.SHARDS)]
    if int(shards) != settings.shards:
        raise LedgerError(
            f"the ledger in Redis has {int(shards)} shards and INTENT_SHARDS says {settings.shards}: "
            f"set INTENT_SHARDS={int(shards)}, or use another Redis"
        )
    return (yield from recover_pending(settings))


def decode_entry(fields: dict[bytes, bytes]) -> LedgerEvent:
    return _entry_decoder.decode(fields[b"e"])


def id_expiry_ms(settings: Settings) -> int:
    """After which a shopper's ids may vanish from Redis; 0 (never) where time is not the wall clock's."""
    return (settings.id_memory_s + SLACK_S) * 1_000 if settings.clock == "wall" else 0


def _append_command(shard: int, events: list[LedgerEvent], settings: Settings) -> Command:
    newest_arrival = max(event.received_at for event in events)
    oldest_ms = (newest_arrival - (settings.id_memory_s + SLACK_S) * US) // 1_000
    payload = _encode([_append_arguments(event) for event in events])
    return APPEND(
        keys.meta(shard),
        keys.prefix(shard),
        DEFINITIONS_HASH,
        oldest_ms,
        id_expiry_ms(settings),
        payload,
        *map(_encode, events),
    )


def _append_arguments(event: LedgerEvent) -> tuple:
    arrival_ms, time = str(event.received_at // 1_000), str(event.event_time)
    head = (event.user_id, event.event_id, arrival_ms, time)
    if not event.personal:
        return (*head, "", 0)
    counted = [tiles for _, tiles in entity_tiles(event, PERSONAL)]
    if event.session_id is None:
        return (*head, "", 1, counted)
    of_type, summed, earliest, latest = _SESSION[event.event_type]
    sums = [part for position in of_type for part in (position, "1")]
    if event.amount:
        sums += [part for position in summed for part in (position, str(event.amount))]
    step = step_record(step_of(event.event_time, event.event_type, event.item_id))
    return (*head, event.session_id, 1, counted, sums, earliest, latest, step)


def entity_tiles(
    event: LedgerEvent, tilings: tuple[tuple[Activity, Tiling], ...]
) -> Iterator[tuple[str, EntityTiles]]:
    """What the event adds to live tiles, for each entity it counts for, with what the shard goes by."""
    for activity, tiling in tilings:
        entity = activity.entity_of(event)
        tiles = tiling.tiles(event) if entity else None
        if tiles:
            yield (
                entity[0],
                EntityTiles(keys.tiles_name(activity, entity), *_live_fields(activity, tiles)),
            )


def _live_fields(activity: Activity, tiles: list[Tile]) -> tuple[list[str], list[str]]:
    added, merged = [], []
    for hop_s, start, position, value in tiles:
        op = activity.aggregates[position].op
        field = _field(hop_s, start, position)
        if op in ADDED:
            added += (field, str(value))
        else:
            merged += (field, MERGES[op], encode_partial(op, value))
    return added, merged


@lru_cache(maxsize=65_536)
def _field(hop_s: int, start: int, position: int) -> str:
    return f"{hop_s}:{start // (hop_s * US)}:{position}"


def item_commands(batches: Iterable[Batch], settings: Settings) -> list[Command]:
    """One call for each shard that holds an item of these batches."""
    by_shard: dict[int, list[tuple]] = {}
    for batch in batches:
        parts: dict[int, list[tuple]] = {}
        for event in batch.events:
            for placed_by, (name, added, merged) in entity_tiles(event, SHARED):
                part = parts.setdefault(keys.shard_of(placed_by, settings.shards), [])
                part.append((name, str(event.event_time), added, merged))
        for shard, part in parts.items():
            by_shard.setdefault(shard, []).append((batch.name, str(batch.epoch), part))
    return [
        COUNT_ITEMS(keys.meta(shard), keys.prefix(shard), DEFINITIONS_HASH, _encode(parts))
        for shard, parts in by_shard.items()
    ]
