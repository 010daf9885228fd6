"""User Behavior Insights (OpenSearch): queries and events as JSON lines, bulk action lines or not.

A search is known by its query id and its text: its query document and the search event that the page
sent are one event, whichever comes first.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from feature_repo.events import Event
from spark_jobs.importers.json_lines import json_parser, keys_of
from spark_jobs.importers.rows import NoEvent, ParsedRow, Parser, Row, RowError, event_of, row_digest, shown
from spark_jobs.importers.times import from_ms, from_rfc3339, instant_us
from spark_jobs.importers.user_agents import device_of

NAME = "ubi"
EXPECTS = "a JSON object a line with query_id and user_query, or with action_name, client_id and timestamp"

EVENT_TYPE = {
    **dict.fromkeys(("search", "on_search", "query"), "search"),
    **dict.fromkeys(("click", "item_click", "product_click", "result_click", "click_through"), "click"),
    **dict.fromkeys(("view", "item_view", "product_view", "view_item", "product_detail"), "view"),
    **dict.fromkeys(("add_to_cart", "cart", "addtocart"), "add_to_cart"),
    "remove_from_cart": "remove_from_cart",
    **dict.fromkeys(("wishlist", "add_to_wishlist", "favorite", "favourite"), "wishlist"),
    **dict.fromkeys(("checkout", "begin_checkout"), "checkout"),
    **dict.fromkeys(("purchase", "buy", "order"), "purchase"),
}
COLUMN_OF = {"user_id": "client_id", "item_id": "object_id", "event_time": "timestamp", "query": "user_query"}

# How OpenSearch's bulk interface introduces the document on the next line.
_BULK_ACTIONS = {"index", "create"}
_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$", re.ASCII)
_NAME = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)

_decoder = msgspec.json.Decoder(dict[str, object])


def recognises(sample: list[str]) -> bool:
    return any(
        keys >= {"action_name", "client_id", "timestamp"} or keys >= {"query_id", "user_query", "timestamp"}
        for keys in map(keys_of, sample)
    )


def parser(sample: list[str]) -> Parser:
    return json_parser(_rows, _time_of, COLUMN_OF)


def _rows(number: int, content: bytes) -> Iterator[Row]:
    document = _decoder.decode(content)
    if len(document) == 1 and document.keys() <= _BULK_ACTIONS:
        return
    yield ParsedRow(number, _event(document))


def _event(document: Mapping[str, object]) -> Event:
    moment = _moment(document.get("timestamp"))
    event_type = _event_type(document)
    attributes = _mapping(document.get("event_attributes"))
    text = _text_of(document) if event_type == "search" else None
    query_id = document.get("query_id")
    if event_type == "search" and query_id:
        event_id = row_digest(("query", str(query_id), text or ""))
    else:
        event_id = row_digest((msgspec.json.encode(document, order="sorted").decode(),))
    about = _mapping(attributes.get("object"))
    fields = {
        "event_id": event_id,
        "event_type": event_type,
        "event_time": moment,
        "session_id": _id(document.get("session_id") or attributes.get("session_id")),
        "item_id": None if event_type == "search" else _id(about.get("object_id")),
        "price": _price(_mapping(about.get("object_detail")).get("price")),
        "query": text or None,
        "scenario": "search" if event_type == "search" or query_id else None,
        "device": device_of(str(attributes.get("browser") or "")),
    }
    user = document.get("client_id") or document.get("user_id")
    if user is not None and user != "":
        fields["user_id"] = _id(user)
    return event_of(fields, COLUMN_OF)


def _event_type(document: Mapping[str, object]) -> str:
    if "action_name" not in document:
        if "user_query" in document:
            return "search"
        raise RowError("missing_event_type", "neither action_name nor user_query: no event and no query")
    name = document["action_name"]
    if not isinstance(name, str) or not name:
        raise RowError("bad_event_type", f"action_name is {shown(name)}: expected a name")
    if name.lower() not in EVENT_TYPE:
        known = name.lower() if _NAME.fullmatch(name.lower()) else "other"
        raise NoEvent(f"action_{known}")
    return EVENT_TYPE[name.lower()]


def _text_of(document: Mapping[str, object]) -> str | None:
    """What was searched for. A search event says it in its message, where that is a query's."""
    message = document.get("message")
    if document.get("message_type") == "QUERY" and isinstance(message, str) and message:
        return message
    text = document.get("user_query")
    return text if isinstance(text, str) else None


def _moment(value: object) -> datetime:
    """RFC 3339, the same with an offset without a colon, or milliseconds since 1970."""
    moment = None
    if type(value) is int:
        moment = from_ms(value)
    elif isinstance(value, str):
        moment = from_rfc3339(_OFFSET.sub(r"\1:\2", value))
    if moment is None:
        if value is None:
            raise RowError("missing_event_time", "timestamp is missing")
        raise RowError(
            "bad_event_time",
            f"timestamp is {shown(value)}: expected as 2024-12-10T00:01:29.378Z, with +0000, or milliseconds",
        )
    return moment


def _price(value: object) -> int | None:
    """Whole minor units, as the sample applications write them; other notations have no stated unit."""
    if value is None:
        return None
    if type(value) is not int:
        raise RowError("bad_price", f"price is {shown(value)}: expected a whole number of minor units")
    return value


def _time_of(document: Mapping[str, object]) -> int | None:
    try:
        return instant_us(_moment(document.get("timestamp")))
    except RowError:
        return None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _id(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
