"""The platform's own format: `Event` fields as JSON lines or CSV, with `received_at` if known."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from feature_repo.events import Event, to_us
from spark_jobs.importers.delimited import RAW_CHARS_OF_TOO_LONG, header_of, read_delimited
from spark_jobs.importers.rows import BadRow, ParsedRow, Row, RowError, event_of, row_error, shown
from spark_jobs.importers.source import MAX_LINE_BYTES, Line, Progress, head, lines

NAME = "native"
EXPECTS = "a JSON object a line with event_id, user_id, event_type, event_time, or CSV with such a header"

Arrival = Annotated[datetime, Meta(tz=True)]
REQUIRED = {"event_id", "user_id", "event_type", "event_time"}
COLUMNS = {*Event.__struct_fields__, "received_at"}


class NativeRow(Event, forbid_unknown_fields=True, kw_only=True, gc=False):
    received_at: Arrival | None = None


_decoder = msgspec.json.Decoder(NativeRow)


def recognises(sample: list[str]) -> bool:
    return _is_header(sample[0]) or any(_is_event(line) for line in sample)


def _is_header(line: str) -> bool:
    names = header_of(line)
    return len(set(names)) == len(names) and REQUIRED <= set(names) <= COLUMNS


def _is_event(line: str) -> bool:
    try:
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw]).keys() >= REQUIRED
    except (msgspec.DecodeError, RecursionError):
        return False


def read_native(path: Path, progress: Progress | None = None) -> Iterator[Row]:
    first = head(path)[0]
    if _is_header(first):
        return _read_csv(lines(path, progress), header_of(first))
    return _read_json(lines(path, progress))


def _read_json(source: Iterator[Line]) -> Iterator[Row]:
    for number, content in source:
        if not content or content.isspace():
            continue
        try:
            yield _json_row(number, content)
        except RowError as error:
            raw = content.rstrip(b"\r").decode(errors="backslashreplace")
            if error.code == "too_long":
                raw = raw[:RAW_CHARS_OF_TOO_LONG]
            yield BadRow(number, error.code, error.reason, raw)


def _json_row(number: int, content: bytes) -> ParsedRow:
    if len(content) > MAX_LINE_BYTES:
        raise RowError("too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        row = _decoder.decode(content)
    except msgspec.ValidationError as error:
        raise row_error(error, _loose(content), {}) from None
    except UnicodeDecodeError:
        raise RowError("encoding", "the line is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise RowError("not_json", f"not a JSON object: {error}") from None
    fields = msgspec.structs.asdict(row)
    received = fields.pop("received_at")
    return ParsedRow(number, Event(**fields), received and to_us(received))


def _loose(content: bytes) -> object:
    """The line as plain JSON values, to quote in a message what was refused."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _read_csv(source: Iterator[Line], columns: list[str]) -> Iterator[Row]:
    def parse(cells: list[str]) -> tuple[Event, int | None]:
        fields = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
        for name in ("price", "quantity"):
            if name in fields:
                fields[name] = _integer(fields[name])
        received = fields.pop("received_at", None)
        return event_of(fields), received and _arrival(received)

    return read_delimited(source, len(columns), parse)


def _integer(text: str) -> int | str:
    """The whole number, or the text as it stands for the event's own validation to refuse."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else text


def _arrival(text: str) -> int:
    try:
        return to_us(msgspec.convert(text, Arrival))
    except msgspec.ValidationError as error:
        raise RowError("bad_received_at", f"received_at is {shown(text)}: {error}") from None
