"""Taobao's UserBehavior.csv: no header, times in seconds, four behaviours; no prices, no sessions."""

import re
from datetime import datetime

from feature_repo.events import Event
from spark_jobs.importers.delimited import delimited_parser
from spark_jobs.importers.rows import Parser, RowError, event_of, row_digest, shown, whole_number
from spark_jobs.importers.times import from_ms, instant_us

NAME = "taobao"
EXPECTS = "CSV without a header, rows of user,item,category,pv|buy|cart|fav,unix seconds"

EVENT_TYPE = {"pv": "view", "buy": "purchase", "cart": "add_to_cart", "fav": "wishlist"}
COLUMN_OF = {"user_id": "user", "item_id": "item"}
_ROW = re.compile(r"\d+,\d+,\d+,(?:pv|buy|cart|fav),-?\d+", re.ASCII)


def recognises(sample: list[str]) -> bool:
    return any(_ROW.fullmatch(line) for line in sample)


def parser(sample: list[str]) -> Parser:
    return delimited_parser(5, _parse, lambda cells: instant_us(_moment(cells[4])), header=False)


def _parse(cells: list[str]) -> tuple[Event, None]:
    user, item, category, kind, time = cells
    if kind not in EVENT_TYPE:
        raise RowError(
            "bad_event_type", f"behaviour is {shown(kind)}: expected one of {', '.join(EVENT_TYPE)}"
        )
    moment = _moment(time)
    if moment is None:
        raise RowError("bad_event_time", f"timestamp is {shown(time)}: expected seconds since 1970")
    fields = {
        "event_id": row_digest(cells),
        "event_type": EVENT_TYPE[kind],
        "event_time": moment,
        "item_id": item or None,
        "category": category or None,
    }
    if user:
        fields["user_id"] = user
    return event_of(fields, COLUMN_OF), None


def _moment(text: str) -> datetime | None:
    seconds = whole_number(text)
    return None if seconds is None else from_ms(seconds * 1_000)
