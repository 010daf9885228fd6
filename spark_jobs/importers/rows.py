"""What reading a line of a log gives: an event, or the reason why there is none."""

import re
from collections.abc import Mapping

import msgspec

from feature_repo.events import Event

SHOWN_CHARS = 80


class ParsedRow(msgspec.Struct, frozen=True, gc=False):
    """`line` counts from 1, a header included. `received_at` None: it arrived as it happened."""

    line: int
    event: Event
    received_at: int | None = None


class BadRow(msgspec.Struct, frozen=True, gc=False):
    """A row no event can be made of; `code` is stable, `reason` names the field and its value."""

    line: int
    code: str
    reason: str
    raw: str


Row = ParsedRow | BadRow


class RowError(ValueError):
    """Raised while one row is turned into an event; it becomes that row's BadRow."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def shown(value: object) -> str:
    """A value as a message quotes it: on one line, and never long."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…")


def event_of(fields: Mapping[str, object], columns: Mapping[str, str] | None = None) -> Event:
    """A validated event. `columns`: what the log calls a field, for the message of a RowError."""
    try:
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError as error:
        raise row_error(error, fields, columns or {}) from None


_AT_FIELD = re.compile(r"(?P<what>.*) - at `\$\.(?P<field>\w+)")
_NAMED_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>.*)`")


def row_error(error: msgspec.ValidationError, fields: object, columns: Mapping[str, str]) -> RowError:
    """What msgspec refused: which field, what it held and what was expected."""
    if not isinstance(fields, Mapping):
        return RowError("not_an_object", f"a row is one JSON object, found {shown(fields)}")
    if match := _NAMED_FIELD.match(str(error)):
        field = match["field"]
        if match["what"] == "contains unknown":
            return RowError("unknown_field", f"{shown(field)} is no field of an event")
        return RowError(f"missing_{field}", f"{columns.get(field, field)} is missing")
    match = _AT_FIELD.match(str(error))
    if match is None:
        return RowError("invalid", str(error))
    field, what = match["field"], match["what"]
    return RowError(f"bad_{field}", f"{columns.get(field, field)} is {shown(fields.get(field))}: {what}")
