"""REES46 "eCommerce behavior data": a CSV a month, times to the second, prices in dollars."""

import re
from datetime import datetime
from functools import lru_cache
from operator import itemgetter

from feature_repo.events import Event
from spark_jobs.importers.delimited import delimited_parser, header_of
from spark_jobs.importers.rows import Parser, RowError, event_of, price_minor, row_digest, shown
from spark_jobs.importers.times import from_rfc3339, instant_us

NAME = "rees46"
COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
EXPECTS = "CSV with the header " + ",".join(COLUMNS)

EVENT_TYPE = {
    "view": "view",
    "cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "purchase": "purchase",
}
# What the log calls a field of the event.
COLUMN_OF = {
    "item_id": "product_id",
    "category": "category_code",
    "session_id": "user_session",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", re.ASCII)


def recognises(sample: list[str]) -> bool:
    return sorted(header_of(sample[0])) == sorted(COLUMNS)


def parser(sample: list[str]) -> Parser:
    header = header_of(sample[0])
    in_order = itemgetter(*(header.index(name) for name in COLUMNS))
    time_column = header.index("event_time")

    def parse(cells: list[str]) -> tuple[Event, int | None]:
        return _event(in_order(cells)), None

    def time_of(cells: list[str]) -> int | None:
        return instant_us(_moment(cells[time_column]))

    return delimited_parser(len(COLUMNS), parse, time_of)


def _event(cells: tuple[str, ...]) -> Event:
    time, kind, product, _, category, brand, price, user, session = cells
    if kind not in EVENT_TYPE:
        known = ", ".join(EVENT_TYPE)
        raise RowError("bad_event_type", f"event_type is {shown(kind)}: expected one of {known}")
    moment = _moment(time)
    if moment is None:
        raise RowError("bad_event_time", f"event_time is {shown(time)}: expected as 2019-10-01 00:00:00 UTC")
    fields = {
        "event_id": row_digest(cells),
        "event_type": EVENT_TYPE[kind],
        "event_time": moment,
        "price": price_minor(price),
        "item_id": product or None,
        "category": category or None,
        "brand": brand or None,
        "session_id": session or None,
    }
    if user:
        fields["user_id"] = user
    return event_of(fields, COLUMN_OF)


@lru_cache(maxsize=1 << 12)
def _moment(text: str) -> datetime | None:
    return from_rfc3339(text[:-4] + "Z") if _TIME.fullmatch(text) else None
