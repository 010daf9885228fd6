"""RecSys Challenge 2015 (YooChoose): clicks and buys, two files without headers, told by their rows."""

import re

from feature_repo.events import Event
from spark_jobs.importers.delimited import ParseCells, delimited_parser
from spark_jobs.importers.rows import Parser, RowError, event_of, row_digest, shown, whole_number
from spark_jobs.importers.times import from_rfc3339, instant_us

NAME = "yoochoose"
EXPECTS = (
    "CSV without a header, rows of session,2014-04-07T10:51:09.277Z,item,category "
    "or session,time,item,price,quantity"
)

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z"
_CLICK = re.compile(rf"\d+,{_TIME},\d+,(?:S|\d+)", re.ASCII)
_BUY = re.compile(rf"\d+,{_TIME},\d+,\d+,\d+", re.ASCII)
_ONLY_TIME = re.compile(_TIME, re.ASCII)

COLUMN_OF = {"user_id": "session", "session_id": "session", "item_id": "item"}
SPECIAL_OFFER, MISSING = "S", "0"
CATEGORIES = range(1, 13)


def recognises(sample: list[str]) -> bool:
    return any(_CLICK.fullmatch(line) or _BUY.fullmatch(line) for line in sample)


def parser(sample: list[str]) -> Parser:
    first = next(line for line in sample if _CLICK.fullmatch(line) or _BUY.fullmatch(line))
    buys = _BUY.fullmatch(first) is not None
    parse: ParseCells = _buy if buys else _click
    time_of = lambda cells: instant_us(from_rfc3339(cells[1]))  # noqa: E731
    return delimited_parser(5 if buys else 4, parse, time_of, header=False)


def _click(cells: list[str]) -> tuple[Event, None]:
    fields = _fields("view", cells)
    context = cells[3]
    if context == SPECIAL_OFFER:
        fields["scenario"] = "marketing"
    elif context not in ("", MISSING):
        number = whole_number(context)
        if number is None:
            raise RowError("bad_category", f"category is {shown(context)}: expected S or a number")
        fields["category" if number in CATEGORIES else "brand"] = context
    return event_of(fields, COLUMN_OF), None


def _buy(cells: list[str]) -> tuple[Event, None]:
    """Of the log's buys, about half have price 0 and quantity 0, which stand for values not recorded."""
    fields = _fields("purchase", cells)
    for name, cell in (("price", cells[3]), ("quantity", cells[4])):
        number = whole_number(cell)
        if number is None:
            raise RowError(f"bad_{name}", f"{name} is {shown(cell)}: expected a whole number, not negative")
        fields[name] = number or None
    return event_of(fields, COLUMN_OF), None


def _fields(event_type: str, cells: list[str]) -> dict[str, object]:
    session, time, item = cells[:3]
    if not _ONLY_TIME.fullmatch(time):
        raise RowError("bad_event_time", f"timestamp is {shown(time)}: expected as 2014-04-07T10:51:09.277Z")
    fields: dict[str, object] = {
        "event_id": row_digest(cells),
        "event_type": event_type,
        "event_time": time,
        "item_id": item or None,
    }
    if session:
        fields["user_id"] = fields["session_id"] = session
    return fields
