"""Rows of a comma-separated log (RFC 4180), so that one bad row never costs its neighbours."""

import csv
from collections import deque
from collections.abc import Callable, Iterator

from feature_repo.events import Event
from spark_jobs.importers.rows import BadRow, ParsedRow, Row, RowError
from spark_jobs.importers.source import MAX_LINE_BYTES, Line

# A quoted field that runs on for more lines than this is taken for a quote that was never closed.
MAX_ROW_LINES = 100
RAW_CHARS_OF_TOO_LONG = 1_000

# Cells of a row, as many as the header has, to the event and its arrival; raises RowError.
ParseCells = Callable[[list[str]], tuple[Event, int | None]]


def header_of(line: str) -> list[str]:
    """The column names in a header line; none where it is no header."""
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        return []


def read_delimited(lines: Iterator[Line], width: int, parse: ParseCells) -> Iterator[Row]:
    """The rows after the header, which `lines` begins with; blank lines are no rows."""
    waiting: deque[Line] = deque()
    before_header = True
    while line := waiting.popleft() if waiting else next(lines, None):
        number, content = line
        if not content or content.isspace():
            continue
        if before_header:
            before_header = False
            continue
        raw = ""
        try:
            raw, cells = _cells(content, lines, waiting)
            if len(cells) != width:
                raise RowError("columns", f"{len(cells)} columns, the header has {width}")
            yield ParsedRow(number, *parse(cells))
        except RowError as error:
            raw = raw or content.rstrip(b"\r").decode(errors="backslashreplace")
            if error.code == "too_long":
                raw = raw[:RAW_CHARS_OF_TOO_LONG]
            yield BadRow(number, error.code, error.reason, raw)


def _cells(content: bytes, lines: Iterator[Line], waiting: deque[Line]) -> tuple[str, list[str]]:
    """A row's text and cells. A quoted field may take further lines; unused ones are put back."""
    raw = _text(content)
    if '"' not in raw:
        return raw, raw.split(",")
    try:
        return raw, _split(raw)
    except csv.Error as error:
        if raw.count('"') % 2 == 0:
            raise RowError("quoting", f"quotes are not as in CSV: {error}") from None
    taken: list[Line] = []
    text = raw
    while len(taken) < MAX_ROW_LINES and len(text) <= MAX_LINE_BYTES:
        following = waiting.popleft() if waiting else next(lines, None)
        if following is None:
            break
        taken.append(following)
        try:
            text += "\n" + _text(following[1])
            if text.count('"') % 2 == 0:
                return text, _split(text)
        except (RowError, csv.Error):
            break
    waiting.extendleft(reversed(taken))
    raise RowError("quoting", "a quote opens a field and is never closed")


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
