"""Features of entities at an instant, read in as few round trips as their keys allow.

Everything is one round trip, except the session of a shopper for whom none is named: which that is takes
reading the shopper first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from feature_repo.aggregates import Activity
from feature_repo.behavior import ACTIVITIES, USER
from feature_repo.windows import US
from models.runtime.text import normalize_text
from online_api import counters, keys, sessions
from online_api.catalogue import Plan, View
from online_api.connection import Command, Steps
from online_api.counters import BASE_FIELDS, Counts, nothing_counted
from online_api.feast_rows import decode_timestamp, decode_value, entity_key
from online_api.sessions import NO_SESSION, Session
from online_api.settings import Settings

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = (
    "PRESENT",
    "NULL_VALUE",
    "NOT_FOUND",
    "OUTSIDE_MAX_AGE",
)

_ACTIVITY_OF = {activity.view: activity for activity in ACTIVITIES}


class Entity(NamedTuple):
    user_id: str | None = None
    session_id: str | None = None
    item_id: str | None = None
    category: str | None = None
    query: str | None = None


class ViewRow(NamedTuple):
    """One view's values for one entity, in the order of the view's features."""

    values: Sequence[Any]
    statuses: Sequence[str]
    event_timestamp: int | None


class LedgerPosition(NamedTuple):
    """How far a shard of the ledger went: the epoch that was open, and the last sequence number given."""

    shard: int
    epoch: int
    seq: int


class Row(NamedTuple):
    """What an entity resolved to. `shopper`, `session`: only where the plan reads them. `known`: how far
    the ledger went when the shopper, and when the session was read; None where not asked for."""

    views: dict[str, ViewRow]
    exact: bool
    session_id: str | None
    shopper: Counts | None
    session: Session | None
    known: tuple[LedgerPosition, LedgerPosition] | None = None


class Resolved(NamedTuple):
    as_of: int
    rows: list[Row]


class _Reads:
    """Commands, each sent once however many entities need it."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.replies: list[Any] = []
        self._position: dict[tuple, int] = {}

    def add(self, *command: Any) -> int:
        position = self._position.setdefault(command, len(self.commands))
        if position == len(self.commands):
            self.commands.append(command)
        return position

    def add_each_trip(self, *command: Any) -> int:
        """Once in each round trip: what it reads may change between two."""
        if command in self.commands[len(self.replies) :]:
            return self.commands.index(command, len(self.replies))
        self.commands.append(command)
        return len(self.commands) - 1

    def flush(self) -> Steps[None]:
        new = self.commands[len(self.replies) :]
        if new:
            self.replies += yield new


def resolve(
    plan: Plan,
    entities: Sequence[Entity],
    as_of: int | None,
    now: int,
    settings: Settings,
    *,
    with_position: bool = False,
) -> Steps[Resolved]:
    """The plan's views for each entity. `as_of` None: by the clock, which is `now` or the newest event.
    `with_position`: also how far the ledger went, of shoppers."""
    reads = _Reads()
    clock = reads.add("GET", keys.CLOCK) if as_of is None and settings.clock == "event" else None
    places = [_Places(plan, entity, settings.shards, reads, with_position) for entity in entities]
    yield from reads.flush()
    if as_of is None:
        newest = None if clock is None else reads.replies[clock]
        as_of = now if newest is None else int(newest)
    shoppers = [place.shopper(reads) for place in places]
    session_ids = [
        entity.session_id or (sessions.current_session(shopper.last_session, as_of) if shopper else None)
        for entity, shopper in zip(entities, shoppers, strict=True)
    ]
    if plan.has("session_activity"):
        for place, session_id in zip(places, session_ids, strict=True):
            place.read_session(session_id, reads)
        yield from reads.flush()
    return Resolved(
        as_of,
        [
            place.row(as_of, shopper, session_id, reads)
            for place, shopper, session_id in zip(places, shoppers, session_ids, strict=True)
        ],
    )


class _Places:
    """Where among the replies one entity's data are."""

    def __init__(self, plan: Plan, entity: Entity, shards: int, reads: _Reads, with_position: bool) -> None:
        self._plan, self._entity, self._shards = plan, entity, shards
        self._stored: dict[str | tuple[str, ...], tuple[int, int]] = {}
        self._live: dict[str, int] = {}
        self._session = None
        self._with_position = with_position and entity.user_id is not None
        self._known: list[int] = []
        self._read_position(reads)
        wants_session = plan.has("session_activity")
        names_session = wants_session and entity.session_id is None
        for activity in ACTIVITIES:
            if plan.has(activity.view) or (activity == USER and names_session):
                self._read_tiles(activity, reads)
        if entity.user_id is not None and entity.session_id is not None and wants_session:
            self.read_session(entity.session_id, reads)
        for join_key in ("user_id", "item_id", "query"):
            self._read_batch(join_key, reads)

    def _read_tiles(self, activity: Activity, reads: _Reads) -> None:
        """One HMGET reads the base and, where it lies there too, every batch view of the entity."""
        entity = {key: getattr(self._entity, key) for key in activity.keys}
        if None in entity.values():
            return
        self._read_stored(entity, BASE_FIELDS[activity.name], reads)
        self._stored[activity.name] = (self._stored[activity.keys][0], 0)
        place = keys.live_tiles(self._shards, activity, tuple(entity.values()))
        self._live[activity.name] = reads.add("HGETALL", place)

    def _read_batch(self, join_key: str, reads: _Reads) -> None:
        value = getattr(self._entity, join_key)
        if value is not None and (join_key,) not in self._stored:
            value = normalize_text(value) if join_key == "query" else value
            self._read_stored({join_key: value}, (), reads)

    def _read_stored(self, entity: dict[str, str], base: tuple[bytes, ...], reads: _Reads) -> None:
        join_keys = tuple(entity)
        views = [v for v in self._plan.views if v.source == "batch" and v.join_keys == join_keys]
        fields = [*base, *(field for view in views for field in view.fields)]
        if not fields:
            return
        position, start = reads.add("HMGET", entity_key(entity), *fields), len(base)
        self._stored[join_keys] = (position, 0)
        for view in views:
            self._stored[view.name] = (position, start)
            start += len(view.fields)

    def read_session(self, session_id: str | None, reads: _Reads) -> None:
        user_id = self._entity.user_id
        if self._session is None and session_id is not None and user_id is not None:
            self._read_position(reads)
            stored = entity_key({"user_id": user_id, "session_id": session_id})
            live = keys.session_state(self._shards, user_id, session_id)
            self._session = (
                reads.add("HMGET", stored, *sessions.BASE_FIELDS),
                reads.add("HGETALL", live),
            )

    def _read_position(self, reads: _Reads) -> None:
        if self._with_position:
            shard = keys.shard_of(self._entity.user_id, self._shards)
            self._known.append(reads.add_each_trip("HMGET", keys.meta(shard), "epoch", "seq"))

    def _positions(self, reads: _Reads) -> tuple[LedgerPosition, LedgerPosition] | None:
        if not self._with_position:
            return None
        shard = keys.shard_of(self._entity.user_id, self._shards)
        first, last = (reads.replies[at] for at in (self._known[0], self._known[-1]))
        return _position(shard, *first), _position(shard, *last)

    def shopper(self, reads: _Reads) -> Counts | None:
        return self._counts(USER, reads)

    def _counts(self, activity: Activity, reads: _Reads) -> Counts | None:
        if activity.name not in self._live:
            return None
        position, _ = self._stored[activity.name]
        base = reads.replies[position][: len(BASE_FIELDS[activity.name])]
        return counters.counts(activity, base, reads.replies[self._live[activity.name]])

    def row(self, as_of: int, shopper: Counts | None, session_id: str | None, reads: _Reads) -> Row:
        session = None
        if self._session is not None:
            stored, live = self._session
            session = sessions.session(reads.replies[stored], reads.replies[live])
        views, newest = {}, []
        for view in self._plan.views:
            activity = _ACTIVITY_OF.get(view.name)
            if activity is not None:
                counted = shopper if activity == USER else self._counts(activity, reads)
                views[view.name] = _windowed(view, activity, counted, as_of)
                newest += [counted.newest, counted.base_as_of] if counted else []
            elif view.name == "session_activity":
                views[view.name] = _session(view, session or NO_SESSION, as_of)
                newest.append(session and session.last_event)
            else:
                views[view.name] = self._batch(view, as_of, reads)
                newest.append(views[view.name].event_timestamp)
        exact = all(time is None or time <= as_of for time in newest)
        return Row(views, exact, session_id, shopper, session, self._positions(reads))

    def _batch(self, view: View, as_of: int, reads: _Reads) -> ViewRow:
        place = self._stored.get(view.name)
        if place is None:
            return ViewRow((None,) * len(view.features), (NOT_FOUND,) * len(view.features), None)
        position, start = place
        *stored, time = reads.replies[position][start : start + len(view.fields)]
        written = None if time is None else decode_timestamp(time)
        if written is None or written > as_of:  # nothing stored, or nothing yet at that instant
            stored, written = [None] * len(stored), None
        values = [decode_value(field) if field else None for field in stored]
        stale = written is not None and _too_old(written, as_of, view.ttl_s)
        statuses = [
            NOT_FOUND
            if field is None
            else NULL_VALUE
            if value is None
            else OUTSIDE_MAX_AGE
            if stale
            else PRESENT
            for field, value in zip(stored, values, strict=True)
        ]
        return ViewRow(values, statuses, written)


def _position(shard: int, epoch: bytes | None, seq: bytes | None) -> LedgerPosition:
    return LedgerPosition(shard, int(epoch or 1), int(seq or 0))


def _windowed(view: View, activity: Activity, counted: Counts | None, as_of: int) -> ViewRow:
    values = (counted or nothing_counted(activity)).windows(as_of)
    return ViewRow(values, [NULL_VALUE if v is None else PRESENT for v in values], as_of)


def _session(view: View, session: Session, as_of: int) -> ViewRow:
    """A session that ended longer ago than the view's age limit is told as what it was, when it was."""
    last = session.last_event
    stale = last is not None and _too_old(last, as_of, view.ttl_s)
    status, time = (OUTSIDE_MAX_AGE, last) if stale else (PRESENT, as_of)
    return ViewRow(session.values(), (status,) * len(view.features), time)


def _too_old(time: int, as_of: int, ttl_s: int | None) -> bool:
    return ttl_s is not None and as_of - time > ttl_s * US


def entities_of(columns: Mapping[str, Sequence[str | None]]) -> list[Entity]:
    """One entity per row of the columns, which are of one length."""
    names = list(columns)
    return [Entity(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]
