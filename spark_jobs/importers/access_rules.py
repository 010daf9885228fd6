"""Which request of a web server's log is which event: ordered rules, the shop's or the default ones."""

import re
import tomllib
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from feature_repo.events import EventType

# Named groups of a rule's pattern, and the field of the event each gives.
FIELD_OF_GROUP = {
    "item": "item_id",
    "category": "category",
    "brand": "brand",
    "query": "query",
    "text": "text",
    "session": "session_id",
    "user": "user_id",
    "price": "price",
    "quantity": "quantity",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
IGNORE = "ignore"


class RulesError(ValueError):
    """The rules file cannot be used; the message names the rule and what is wrong with it."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url` is searched for in the path and the query string as they stand in the log."""

    event: EventType | Literal["ignore"]
    url: str
    method: str | tuple[str, ...] = ("GET", "POST")


class RulesFile(msgspec.Struct, forbid_unknown_fields=True):
    """`defaults`: whether the default rules follow these."""

    rule: list[Rule]
    defaults: bool = False


class Matcher(msgspec.Struct, frozen=True):
    event: str
    methods: frozenset[str]
    pattern: re.Pattern


# Where shops put their pages: below a language, below /shop, or an API.
_ROOT = r"^(?:/[a-z]{2}(?:[-_][A-Za-z]{2})?)?(?:/(?:shop|store|api(?:/v\d+)?))?"
_END = r"(?:\.html?|\.php|\.aspx?)?/?(?:\?|$)"
_ITEM_PAGE = r"(?:products?|items?|goods|dp|p)"
_QUERY_KEY = r"(?:q|query|keywords?|search|wd|text|s)"
_ITEM_KEY = r"(?:item_id|product_id|item|product|sku|id|pid)"
_ITEM_IN_PATH = r"(?P<item>[^/?]+?)(?:\.html?)?(?:/[^?]*)?(?:\?|$)"
_ITEM_IN_STRING = rf"[^?]*\?(?:.*&)?{_ITEM_KEY}=(?P<item>[^&]+)"
_DONE = r"(?:success|confirmation|confirmed|thank[-_]?you|complete|completed)"

DEFAULT_RULES = (
    Rule("search", rf"{_ROOT}/(?:search|find|s)\b[^?]*\?(?:.*&)?{_QUERY_KEY}=(?P<query>[^&]+)"),
    Rule("search", rf"{_ROOT}/search/(?P<query>[^/?]+)/?(?:\?|$)", "GET"),
    Rule("remove_from_cart", rf"{_ROOT}/(?:cart|basket)(?:/items?)?/{_ITEM_IN_PATH}", "DELETE"),
    Rule("remove_from_cart", rf"{_ROOT}/(?:cart|basket)/(?:remove|delete){_ITEM_IN_STRING}"),
    Rule("remove_from_cart", rf"{_ROOT}/(?:cart|basket)/(?:remove|delete)(?:/{_ITEM_IN_PATH}|{_END})"),
    Rule("add_to_cart", rf"{_ROOT}/(?:cart|basket)/add{_ITEM_IN_STRING}"),
    Rule("add_to_cart", rf"{_ROOT}/(?:cart|basket)/add(?:/{_ITEM_IN_PATH}|{_END})"),
    Rule("add_to_cart", rf"{_ROOT}/(?:cart|basket)(?:/items?)?{_ITEM_IN_STRING}", "POST"),
    Rule("add_to_cart", rf"{_ROOT}/(?:cart|basket)(?:/items?)?(?:/{_ITEM_IN_PATH}|{_END})", ("POST", "PUT")),
    Rule("wishlist", rf"{_ROOT}/(?:wishlist|favou?rites)(?:/add|/items?)?{_ITEM_IN_STRING}", ("POST", "PUT")),
    Rule(
        "wishlist",
        rf"{_ROOT}/(?:wishlist|favou?rites)(?:/add|/items?)?(?:/{_ITEM_IN_PATH}|{_END})",
        ("POST", "PUT"),
    ),
    Rule("purchase", rf"{_ROOT}/(?:checkout|orders?)/(?:[^/?]+/)?{_DONE}(?:/[^?]*)?(?:\?|$)", "GET"),
    Rule("purchase", rf"{_ROOT}/(?:orders?|purchases?|buy){_END}", "POST"),
    Rule("checkout", rf"{_ROOT}/checkout(?:/[^?]*)?(?:\?|$)"),
    Rule("message", rf"{_ROOT}/(?:contact|support|messages?|chat)(?:/[^?]*)?(?:\?|$)", "POST"),
    Rule(
        "view",
        rf"{_ROOT}/{_ITEM_PAGE}(?:\.html?|\.php|\.aspx?)?/?\?(?:.*&)?{_ITEM_KEY}=(?P<item>[^&]+)",
        "GET",
    ),
    Rule("view", rf"{_ROOT}/{_ITEM_PAGE}/{_ITEM_IN_PATH}", "GET"),
    Rule("view", rf"{_ROOT}/(?:category|categories|collections?|c)/(?P<category>[^?]+?)/?(?:\?|$)", "GET"),
)


@lru_cache(maxsize=8)
def matchers(rules_file: str | None) -> tuple[Matcher, ...]:
    """The rules in the text of a file, or the default ones. Raises RulesError."""
    if rules_file is None:
        rules = DEFAULT_RULES
    else:
        try:
            found = msgspec.convert(tomllib.loads(rules_file), RulesFile)
        except tomllib.TOMLDecodeError as error:
            raise RulesError(f"the rules are not TOML: {error}") from None
        except msgspec.ValidationError as error:
            events = ", ".join((*get_args(EventType), IGNORE))
            raise RulesError(f"the rules: {error} (events: {events})") from None
        rules = (*found.rule, *(DEFAULT_RULES if found.defaults else ()))
    return tuple(_matcher(number, rule) for number, rule in enumerate(rules, 1))


def _matcher(number: int, rule: Rule) -> Matcher:
    methods = frozenset((rule.method,) if isinstance(rule.method, str) else rule.method)
    if unknown := methods - set(METHODS):
        raise RulesError(
            f"rule {number}: no method {', '.join(sorted(unknown))}: there are {', '.join(METHODS)}"
        )
    try:
        pattern = re.compile(rule.url)
    except re.error as error:
        raise RulesError(f"rule {number}: its url is no regular expression: {error}") from None
    if unknown := set(pattern.groupindex) - set(FIELD_OF_GROUP):
        known = ", ".join(FIELD_OF_GROUP)
        raise RulesError(f"rule {number}: no field {', '.join(sorted(unknown))}: name groups {known}")
    return Matcher(rule.event, methods, pattern)
