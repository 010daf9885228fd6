"""What reading a log gives: events, the reasons why there are none, and what is not meant to be one."""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from feature_repo.events import Event

SHOWN_CHARS = 80
RAW_CHARS_OF_TOO_LONG = 1_000


class ParsedRow(msgspec.Struct, frozen=True, gc=False):
    """`line` counts from 1, a header included. `received_at` None: it arrived as it happened."""

    line: int
    event: Event
    received_at: int | None = None


class BadRow(msgspec.Struct, frozen=True, gc=False):
    """A row no event can be made of; `code` is stable, `reason` names the field and its value.

    `event_time` in microseconds, where at least that could be read.
    """

    line: int
    code: str
    reason: str
    raw: str
    event_time: int | None = None


class IgnoredRow(msgspec.Struct, frozen=True, gc=False):
    """A row that is well-formed and no shopper's event; `reason` is counted."""

    line: int
    reason: str


Row = ParsedRow | BadRow | IgnoredRow


class Parser(NamedTuple):
    """`rows`: those in consecutive lines of a log, given with the number of the first. `whole_rows`: how
    many bytes of whole lines are whole rows, where a row may take several lines."""

    rows: Callable[[list[bytes], int], Iterable[Row]]
    whole_rows: Callable[[bytes], int] | None = None


class RowError(ValueError):
    """Raised while one row is turned into an event; it becomes that row's BadRow."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class NoEvent(Exception):
    """Raised for a row that becomes an IgnoredRow; its text is the reason."""


def bad_row(line: int, error: RowError, raw: str, event_time: int | None = None) -> BadRow:
    if error.code == "too_long":
        raw = raw[:RAW_CHARS_OF_TOO_LONG]
    return BadRow(line, error.code, error.reason, raw, event_time)


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


def row_digest(cells: Iterable[str]) -> str:
    """An id for a row that has none: equal rows, in one file or in two, are one event."""
    return blake2b("\x1f".join(cells).encode(errors="surrogatepass"), digest_size=16).hexdigest()


_PRICE = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


@lru_cache(maxsize=1 << 16)
def price_minor(text: str) -> int | None:
    """Hundredths of the currency, exactly; an empty price is absent."""
    if not text:
        return None
    if not _PRICE.fullmatch(text):
        raise RowError("bad_price", f"price is {shown(text)}: expected as 35.79, not negative")
    minor = Decimal(text).scaleb(2)
    if minor != int(minor):
        raise RowError("bad_price", f"price is {shown(text)}: it has parts of a hundredth")
    return int(minor)


def whole_number(text: str) -> int | None:
    """The number that the decimal digits name; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


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
