"""Logs of a JSON object a line, so that one bad line never costs its neighbours."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from spark_jobs.importers.rows import IgnoredRow, NoEvent, Parser, Row, RowError, bad_row, row_error
from spark_jobs.importers.source import MAX_LINE_BYTES

# The rows in one line, given with its number; raises what msgspec does, RowError or NoEvent.
ParseLine = Callable[[int, bytes], Iterable[Row]]
# The event time in what a refused line holds, if at least that can be read.
TimeOfObject = Callable[[Mapping[str, object]], int | None]


def json_parser(parse: ParseLine, time_of: TimeOfObject, columns: Mapping[str, str] | None = None) -> Parser:
    """`columns`: what the log calls a field, for the messages."""

    def rows(lines: list[bytes], first_line: int) -> Iterator[Row]:
        for number, content in enumerate(lines, first_line):
            if not content or content.isspace():
                continue
            try:
                if len(content) > MAX_LINE_BYTES:
                    raise RowError("too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
                try:
                    yield from parse(number, content)
                except msgspec.ValidationError as error:
                    raise row_error(error, loose(content), columns or {}) from None
                except UnicodeDecodeError:
                    raise RowError("encoding", "the line is not UTF-8") from None
                except (msgspec.DecodeError, RecursionError) as error:
                    raise RowError("not_json", f"not a JSON object: {error}") from None
            except NoEvent as ignored:
                yield IgnoredRow(number, str(ignored))
            except RowError as error:
                found = loose(content) if error.code != "too_long" else None
                known = time_of(found) if isinstance(found, Mapping) else None
                raw = content.rstrip(b"\r").decode(errors="backslashreplace")
                yield bad_row(number, error, raw, known)

    return Parser(rows)


def loose(content: bytes) -> object:
    """The line as plain JSON values, to quote in a message what was refused."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def keys_of(line: str) -> set[str]:
    """The keys of the JSON object in a line of the sample; none where it is not one."""
    try:
        return set(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError):
        return set()
