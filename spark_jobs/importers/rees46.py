"""REES46 "eCommerce behavior data": a CSV a month, times to the second, prices in dollars."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path

from feature_repo.events import Event
from spark_jobs.importers.delimited import header_of, read_delimited
from spark_jobs.importers.rows import Row, RowError, event_of, shown
from spark_jobs.importers.source import Progress, head, lines

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
_PRICE = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


def recognises(sample: list[str]) -> bool:
    return sorted(header_of(sample[0])) == sorted(COLUMNS)


def read_rees46(path: Path, progress: Progress | None = None) -> Iterator[Row]:
    header = header_of(head(path)[0])
    in_order = itemgetter(*(header.index(name) for name in COLUMNS))

    def parse(cells: list[str]) -> tuple[Event, int | None]:
        return _event(in_order(cells)), None

    return read_delimited(lines(path, progress), len(COLUMNS), parse)


def _event(cells: tuple[str, ...]) -> Event:
    time, kind, product, _, category, brand, price, user, session = cells
    if kind not in EVENT_TYPE:
        known = ", ".join(EVENT_TYPE)
        raise RowError("bad_event_type", f"event_type is {shown(kind)}: expected one of {known}")
    if not _TIME.fullmatch(time):
        raise RowError("bad_event_time", f"event_time is {shown(time)}: expected as 2019-10-01 00:00:00 UTC")
    fields = {
        "event_id": row_digest(cells),
        "event_type": EVENT_TYPE[kind],
        "event_time": time[:-4] + "Z",
        "price": price_minor(price),
        "item_id": product or None,
        "category": category or None,
        "brand": brand or None,
        "session_id": session or None,
    }
    if user:
        fields["user_id"] = user
    return event_of(fields, COLUMN_OF)


def row_digest(cells: tuple[str, ...]) -> str:
    """An id for a row that has none: equal rows, in one file or in two, are one event."""
    return blake2b("\x1f".join(cells).encode(), digest_size=16).hexdigest()


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
