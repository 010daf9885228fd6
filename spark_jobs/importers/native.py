"""The platform's own format: `Event` fields as JSON lines or CSV, with `received_at` if known."""

from collections.abc import Iterator, Mapping

import msgspec

from feature_repo.events import Event, to_us
from spark_jobs.importers.delimited import delimited_parser, header_of
from spark_jobs.importers.json_lines import json_parser, keys_of
from spark_jobs.importers.rows import ParsedRow, Parser, Row, RowError, event_of, shown
from spark_jobs.importers.times import Instant, from_rfc3339, instant_us

NAME = "native"
EXPECTS = "a JSON object a line with event_id, user_id, event_type, event_time, or CSV with such a header"

REQUIRED = {"event_id", "user_id", "event_type", "event_time"}
COLUMNS = {*Event.__struct_fields__, "received_at"}


class NativeRow(Event, forbid_unknown_fields=True, kw_only=True, gc=False):
    received_at: Instant | None = None


_decoder = msgspec.json.Decoder(NativeRow)


def recognises(sample: list[str]) -> bool:
    return _is_header(sample[0]) or any(keys_of(line) >= REQUIRED for line in sample)


def parser(sample: list[str]) -> Parser:
    if _is_header(sample[0]):
        return _csv_parser(header_of(sample[0]))
    return json_parser(_json_row, _time_of)


def _is_header(line: str) -> bool:
    names = header_of(line)
    return len(set(names)) == len(names) and REQUIRED <= set(names) <= COLUMNS


def _json_row(number: int, content: bytes) -> Iterator[Row]:
    row = _decoder.decode(content)
    fields = msgspec.structs.asdict(row)
    received = fields.pop("received_at")
    yield ParsedRow(number, Event(**fields), None if received is None else to_us(received))


def _time_of(fields: Mapping[str, object]) -> int | None:
    time = fields.get("event_time")
    return instant_us(from_rfc3339(time)) if isinstance(time, str) else None


def _csv_parser(columns: list[str]) -> Parser:
    def parse(cells: list[str]) -> tuple[Event, int | None]:
        fields = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
        for name in ("price", "quantity"):
            if name in fields:
                fields[name] = _integer(fields[name])
        received = fields.pop("received_at", None)
        return event_of(fields), received and _arrival(received)

    time_column = columns.index("event_time")
    return delimited_parser(len(columns), parse, lambda cells: instant_us(from_rfc3339(cells[time_column])))


def _integer(text: str) -> int | str:
    """The whole number, or the text as it stands for the event's own validation to refuse."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else text


def _arrival(text: str) -> int:
    try:
        return to_us(msgspec.convert(text, Instant))
    except msgspec.ValidationError as error:
        raise RowError("bad_received_at", f"received_at is {shown(text)}: {error}") from None
