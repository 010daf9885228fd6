"""Rows of a comma-separated log (RFC 4180), so that one bad row never costs its neighbours."""

import csv
from collections.abc import Callable, Iterator

from feature_repo.events import Event
from spark_jobs.importers.rows import ParsedRow, Parser, Row, RowError, bad_row
from spark_jobs.importers.source import MAX_LINE_BYTES

# A quoted field that runs on for more lines than this is taken for a quote that was never closed.
MAX_ROW_LINES = 100

# Cells of a row to the event and its arrival; raises RowError.
ParseCells = Callable[[list[str]], tuple[Event, int | None]]
# The event time in the cells of a row that is refused, if at least that can be read.
TimeOfCells = Callable[[list[str]], int | None]


def header_of(line: str) -> list[str]:
    """The column names in a header line; none where it is no header."""
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        return []


def delimited_parser(width: int, parse: ParseCells, time_of: TimeOfCells, header: bool = True) -> Parser:
    """Reads rows of `width` cells; with a `header`, the first line of the log that is not blank is one."""

    expected = "the header has" if header else "a row has"

    def rows(lines: list[bytes], first_line: int) -> Iterator[Row]:
        position = _after_header(lines) if header and first_line == 1 else 0
        while position < len(lines):
            content = lines[position]
            if not content or content.isspace():
                position += 1
                continue
            number, taken, cells, raw = first_line + position, 1, None, ""
            try:
                raw, cells, taken = _cells(lines, position)
                if len(cells) != width:
                    raise RowError("columns", f"{len(cells)} columns, {expected} {width}")
                yield ParsedRow(number, *parse(cells))
            except RowError as error:
                raw = raw or content.rstrip(b"\r").decode(errors="backslashreplace")
                known = time_of(cells) if cells is not None and len(cells) == width else None
                yield bad_row(number, error, raw, known)
            position += taken

    return Parser(rows, whole_rows)


def whole_rows(content: bytes) -> int:
    """How many bytes of these lines are whole rows: a quote may be open at the end of the last."""
    if b'"' not in content:
        return len(content)
    lines = [line[: MAX_LINE_BYTES + 1] for line in content.split(b"\n")[:-1]]
    position = 0
    while position < len(lines):
        if lines[position].count(b'"') % 2:
            try:
                position += _cells(lines, position)[2]
                continue
            except UnclosedAtEnd:
                return len(content) - sum(map(len, lines[position:])) - len(lines[position:])
            except RowError:
                pass
        position += 1
    return len(content)


class UnclosedAtEnd(RowError):
    """The lines ended within a quoted field, which more of them might have closed."""


def _after_header(lines: list[bytes]) -> int:
    return next((n + 1 for n, line in enumerate(lines) if line and not line.isspace()), len(lines))


def _cells(lines: list[bytes], position: int) -> tuple[str, list[str], int]:
    """A row's text, its cells, and how many lines it takes: a quoted field may go on over several."""
    text = _text(lines[position])
    if '"' not in text:
        return text, text.split(","), 1
    try:
        return text, _split(text), 1
    except csv.Error as error:
        if text.count('"') % 2 == 0:
            raise RowError("quoting", f"quotes are not as in CSV: {error}") from None
    refusal = RowError
    taken = 1
    while taken <= MAX_ROW_LINES and len(text) <= MAX_LINE_BYTES:
        if position + taken == len(lines):
            refusal = UnclosedAtEnd
            break
        following = lines[position + taken]
        taken += 1
        try:
            text += "\n" + _text(following)
            if text.count('"') % 2 == 0:
                return text, _split(text), taken
        except (RowError, csv.Error):
            break
    raise refusal("quoting", "a quote opens a field and is never closed")


def _text(content: bytes) -> str:
    if len(content) > MAX_LINE_BYTES:
        raise RowError("too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        return content.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise RowError("encoding", f"byte {error.start + 1} of the line is not UTF-8") from None


def _split(text: str) -> list[str]:
    rows = list(csv.reader([text], strict=True))
    if len(rows) != 1:
        raise csv.Error("a line end outside quotes")
    return rows[0]
