"""RetailRocket's events.csv: millisecond times, visitors, items; no prices."""

from datetime import datetime

from feature_repo.events import Event
from spark_jobs.importers.delimited import delimited_parser, header_of
from spark_jobs.importers.rows import Parser, RowError, event_of, row_digest, shown, whole_number
from spark_jobs.importers.times import from_ms, instant_us

NAME = "retailrocket"
COLUMNS = ("timestamp", "visitorid", "event", "itemid", "transactionid")
EXPECTS = "CSV with the header " + ",".join(COLUMNS)

EVENT_TYPE = {"view": "view", "addtocart": "add_to_cart", "transaction": "purchase"}
COLUMN_OF = {"user_id": "visitorid", "item_id": "itemid", "event_time": "timestamp"}


def recognises(sample: list[str]) -> bool:
    return sorted(header_of(sample[0])) == sorted(COLUMNS)


def parser(sample: list[str]) -> Parser:
    header = header_of(sample[0])
    time_at, visitor_at, event_at, item_at, transaction_at = (header.index(name) for name in COLUMNS)

    def parse(cells: list[str]) -> tuple[Event, int | None]:
        time, kind, visitor, item = cells[time_at], cells[event_at], cells[visitor_at], cells[item_at]
        if kind not in EVENT_TYPE:
            raise RowError(
                "bad_event_type", f"event is {shown(kind)}: expected one of {', '.join(EVENT_TYPE)}"
            )
        moment = _moment(time)
        if moment is None:
            raise RowError("bad_event_time", f"timestamp is {shown(time)}: expected milliseconds since 1970")
        fields = {
            "event_id": row_digest((time, visitor, kind, item, cells[transaction_at])),
            "event_type": EVENT_TYPE[kind],
            "event_time": moment,
            "item_id": item or None,
        }
        if visitor:
            fields["user_id"] = visitor
        return event_of(fields, COLUMN_OF), None

    return delimited_parser(len(COLUMNS), parse, lambda cells: instant_us(_moment(cells[time_at])))


def _moment(text: str) -> datetime | None:
    milliseconds = whole_number(text)
    return None if milliseconds is None else from_ms(milliseconds)
