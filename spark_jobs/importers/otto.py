"""OTTO: a JSON object a session, with its events in order; times in milliseconds, no prices."""

from collections.abc import Iterator, Mapping

import msgspec

from feature_repo.events import Event
from spark_jobs.importers.json_lines import json_parser, keys_of, loose
from spark_jobs.importers.rows import (
    NoEvent,
    ParsedRow,
    Parser,
    Row,
    RowError,
    bad_row,
    event_of,
    row_digest,
    row_error,
    shown,
)
from spark_jobs.importers.times import from_ms, instant_us

NAME = "otto"
EXPECTS = (
    'a JSON object a line as {"session": 0, "events": [{"aid": 1, "ts": 1659304800025, "type": "clicks"}]}'
)

EVENT_TYPE = {"clicks": "view", "carts": "add_to_cart", "orders": "purchase"}
COLUMN_OF = {"event_time": "ts", "event_type": "type", "item_id": "aid", "user_id": "session"}


class Action(msgspec.Struct, gc=False):
    aid: int | str
    ts: int
    type: str


class Session(msgspec.Struct, gc=False):
    session: int | str
    events: list[msgspec.Raw]


_session_decoder = msgspec.json.Decoder(Session)
_action_decoder = msgspec.json.Decoder(Action)


def recognises(sample: list[str]) -> bool:
    return any(keys_of(line) >= {"session", "events"} for line in sample)


def parser(sample: list[str]) -> Parser:
    return json_parser(_rows, lambda fields: None, COLUMN_OF)


def _rows(number: int, content: bytes) -> Iterator[Row]:
    """One row an event: what is wrong with one costs none of the others on its line."""
    found = _session_decoder.decode(content)
    if not found.events:
        raise NoEvent("session_without_events")
    user = str(found.session)
    for raw in found.events:
        try:
            yield ParsedRow(number, _event(user, raw))
        except RowError as error:
            text = f'{{"session":{msgspec.json.encode(found.session).decode()},"events":[{_text(raw)}]}}'
            yield bad_row(number, error, text, _time_of(loose(bytes(raw))))


def _event(user: str, raw: msgspec.Raw) -> Event:
    try:
        action = _action_decoder.decode(raw)
    except msgspec.ValidationError as error:
        columns = {"ts": "event_time", "aid": "item_id", "type": "event_type"}
        refusal = row_error(error, loose(bytes(raw)), {})
        prefix, _, field = refusal.code.partition("_")
        if field in columns:
            raise RowError(f"{prefix}_{columns[field]}", refusal.reason) from None
        raise refusal from None
    if action.type not in EVENT_TYPE:
        known = ", ".join(EVENT_TYPE)
        raise RowError("bad_event_type", f"type is {shown(action.type)}: expected one of {known}")
    moment = from_ms(action.ts)
    if moment is None:
        raise RowError("bad_event_time", f"ts is {action.ts}: expected milliseconds since 1970")
    item = str(action.aid)
    fields = {
        "event_id": row_digest((user, item, str(action.ts), action.type)),
        "user_id": user,
        "event_type": EVENT_TYPE[action.type],
        "event_time": moment,
        "item_id": item,
    }
    return event_of(fields, COLUMN_OF)


def _time_of(fields: object) -> int | None:
    time = fields.get("ts") if isinstance(fields, Mapping) else None
    return instant_us(from_ms(time)) if type(time) is int else None


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode(errors="backslashreplace")
