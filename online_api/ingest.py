"""A batch of events at the door: each is kept, recognised as a repeat, or refused with its reason."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from feature_repo.events import (
    MAX_BATCH_EVENTS,
    Event,
    LedgerEvent,
    Refusal,
    admit,
    arrival_on_event_clock,
    to_us,
)
from online_api import keys, metrics
from online_api.connection import AsyncRedis
from online_api.errors import ApiError, validation_detail
from online_api.ledger import append
from online_api.settings import Settings
from online_api.wire import EventBatch, EventsAnswer, Rejected, UndecodedBatch


class _Identified(msgspec.Struct):
    event_id: Any = None


_batch_decoder = msgspec.json.Decoder(EventBatch)
_undecoded_decoder = msgspec.json.Decoder(UndecodedBatch)
_event_decoder = msgspec.json.Decoder(Event)
_identified_decoder = msgspec.json.Decoder(_Identified)


class Admitted(NamedTuple):
    events: list[LedgerEvent]
    rejected: list[Rejected]


class Ingest:
    def __init__(self, redis: AsyncRedis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    async def post(self, body: bytes, now: int) -> EventsAnswer:
        """Once this answers, the accepted events are in the ledger and in every count."""
        events, rejected = decode_batch(body)
        clock = await self._event_clock() if self._settings.clock == "event" else None
        admitted = self.admit(events, now, clock)
        rejected = sorted([*rejected, *admitted.rejected], key=lambda r: r.index)
        accepted = await self._redis.do(append(admitted.events, self._settings)) if admitted.events else []
        self._count(admitted.events, accepted, rejected)
        return EventsAnswer(sum(accepted), len(accepted) - sum(accepted), rejected)

    def admit(self, events: Iterable[tuple[int, Event]], now: int, clock: int | None) -> Admitted:
        """Stamp each event, by `now` or, where time is the newest event's, by `clock` as it moves along."""
        policy, by_event = self._settings.door, self._settings.clock == "event"
        admitted, rejected = [], []
        for index, event in events:
            arrival: int | Refusal = now
            if by_event:
                claimed = to_us(event.event_time)
                arrival = arrival_on_event_clock(clock, claimed, self._settings.clock_max_jump_s)
            stamped = arrival if isinstance(arrival, Refusal) else admit(event, arrival, policy)
            if isinstance(stamped, Refusal):
                rejected.append(Rejected(index, event.event_id, stamped.code, stamped.message))
            else:
                admitted.append(stamped)
                clock = stamped.event_time if clock is None else max(clock, stamped.event_time)
        return Admitted(admitted, rejected)

    async def _event_clock(self) -> int | None:
        (clock,) = await self._redis.run([("GET", keys.CLOCK)])
        return None if clock is None else int(clock)

    def _count(self, events: list[LedgerEvent], accepted: list[bool], rejected: list[Rejected]) -> None:
        metrics.EVENTS_ACCEPTED.inc(sum(accepted))
        metrics.EVENTS_DUPLICATE.inc(len(accepted) - sum(accepted))
        for refusal in rejected:
            metrics.EVENTS_REJECTED.labels(refusal.code).inc()
        unpriced = sum(
            1
            for event, new in zip(events, accepted, strict=True)
            if new and event.event_type == "purchase" and event.price is None
        )
        if unpriced:
            metrics.PURCHASES_UNPRICED.inc(unpriced)


def decode_batch(body: bytes) -> tuple[list[tuple[int, Event]], list[Rejected]]:
    """The well-formed events with their index, and a rejection for each of the others.

    Raises ApiError when the body as a whole is not a batch.
    """
    try:
        return list(enumerate(_batch_decoder.decode(body).events)), []
    except (msgspec.ValidationError, UnicodeDecodeError):
        pass
    except msgspec.DecodeError as error:
        raise ApiError(400, "malformed_json", str(error)) from error
    try:
        items = _undecoded_decoder.decode(body).events
    except msgspec.ValidationError as error:
        detail = validation_detail(error)
        message = f'{detail.message}: send {{"events": [...]}}'
        raise ApiError(400, detail.code, message, detail.field) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "malformed_json", str(error)) from error
    if len(items) > MAX_BATCH_EVENTS:
        message = f"{len(items)} events in one request; send at most {MAX_BATCH_EVENTS}"
        raise ApiError(413, "batch_too_large", message, "events")
    events, rejected = [], []
    for index, item in enumerate(items):
        try:
            events.append((index, _event_decoder.decode(item)))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            detail = validation_detail(error)
            rejected.append(Rejected(index, _event_id(item), detail.code, detail.message))
    return events, rejected


def _event_id(item: msgspec.Raw) -> str | None:
    try:
        found = _identified_decoder.decode(item).event_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, str) else None
