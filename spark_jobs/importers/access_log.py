"""Web-server access logs, common or combined: requests that a rule knows become events.

What a shop's pages are called is for `access_rules`; here are the lines, and which requests are not a
shopper's at all: errors, robots that say so, assets. Those are counted and left out.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from feature_repo.events import Event
from spark_jobs.importers.access_rules import FIELD_OF_GROUP, IGNORE, METHODS, Matcher, matchers
from spark_jobs.importers.rows import (
    IgnoredRow,
    NoEvent,
    ParsedRow,
    Parser,
    Row,
    RowError,
    bad_row,
    event_of,
    price_minor,
    row_digest,
    shown,
    whole_number,
)
from spark_jobs.importers.source import MAX_LINE_BYTES
from spark_jobs.importers.times import instant_us
from spark_jobs.importers.user_agents import device_of, is_robot

NAME = "access_log"
EXPECTS = (
    'lines as 1.2.3.4 - - [10/Oct/2023:13:55:36 +0000] "GET /product/1 HTTP/1.1" 200 512 "-" "Mozilla/5.0"'
)

# Between quotes; a quote or a backslash within stands behind a backslash.
_QUOTED = r'[^"\\]*(?:\\.[^"\\]*)*'
_LINE = re.compile(
    r"(?P<address>\S+) \S+ (?P<user>.*?) \[(?P<time>[^\]]+)\]"
    rf' "(?P<request>{_QUOTED})" (?P<status>\d{{3}}) (?:\d+|-)'
    rf'(?: "(?P<referer>{_QUOTED})" "(?P<agent>{_QUOTED})"(?: .*)?)?',
    re.ASCII,
)
_ASSET = re.compile(
    r"^[^?]*\.(?:css|js|mjs|map|png|jpe?g|gif|svg|webp|avif|ico|bmp|woff2?|ttf|otf|eot|mp4|webm|mp3|pdf"
    r"|xml|txt|webmanifest|wasm|zip|gz)(?:\?|$)",
    re.IGNORECASE,
)
_BYTES = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
# Pages that are looked at: a redirect away from one is followed by the request that counts.
_LOOKED_AT = ("view", "search", "click")


class Match(NamedTuple):
    """What a rule makes of a request: an event type and fields, decoded."""

    event: str
    fields: dict[str, object]


def recognises(sample: list[str]) -> bool:
    return any(_LINE.fullmatch(line) for line in sample)


def parser(sample: list[str], rules: str | None = None) -> Parser:
    known = matchers(rules)

    @lru_cache(maxsize=1 << 15)
    def match(method: str, target: str) -> Match | None:
        return _match(known, method, target)

    def rows(lines: list[bytes], first_line: int) -> Iterator[Row]:
        for number, content in enumerate(lines, first_line):
            if not content or content.isspace():
                continue
            text = content.decode(errors="backslashreplace").rstrip("\r")
            found = None
            try:
                if len(content) > MAX_LINE_BYTES:
                    raise RowError("too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
                found = _LINE.fullmatch(text)
                if found is None:
                    raise RowError("not_access_log", f"not a line of an access log: {shown(text)}")
                yield ParsedRow(number, _event(text, found, match))
            except NoEvent as ignored:
                yield IgnoredRow(number, str(ignored))
            except RowError as error:
                known_time = found and instant_us(_moment(found["time"]))
                yield bad_row(number, error, text, known_time)

    return Parser(rows)


def _event(text: str, line: re.Match[str], match) -> Event:
    status, agent = line["status"], line["agent"] or ""
    if status[0] not in "23":
        raise NoEvent(f"status_{status[0]}xx")
    if is_robot(agent):
        raise NoEvent("robot")
    method, _, rest = line["request"].partition(" ")
    target = rest.rpartition(" ")[0] if " HTTP/" in rest else rest
    if not target:
        raise RowError("bad_request", f"request is {shown(line['request'])}: expected as GET /path HTTP/1.1")
    if method not in METHODS:
        raise NoEvent("method")
    if _ASSET.match(target):
        raise NoEvent("asset")
    found = match(method, target)
    if found is None:
        raise NoEvent("no_rule")
    if found.event == IGNORE:
        raise NoEvent("rule")
    if status[0] == "3" and status != "304" and found.event in _LOOKED_AT:
        raise NoEvent("redirect")
    moment = _moment(line["time"])
    if moment is None:
        raise RowError(
            "bad_event_time", f"time is {shown(line['time'])}: expected as 10/Oct/2023:13:55:36 +0000"
        )
    fields = {
        "event_id": row_digest((text,)),
        "user_id": _user(line["user"], line["address"], agent),
        "event_type": found.event,
        "event_time": moment,
        "device": device_of(agent),
        **found.fields,
    }
    return event_of(fields)


def _match(rules: tuple[Matcher, ...], method: str, target: str) -> Match | None:
    if "://" in target[:10]:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    if "\\" in target:
        target = _BYTES.sub(lambda run: _utf8(run[0]), target)
    for rule in rules:
        if method in rule.methods and (found := rule.pattern.search(target)):
            in_path = target.find("?")
            return Match(rule.event, _fields(found, in_path if in_path >= 0 else len(target), rule.event))
    return None


def _fields(found: re.Match[str], path_end: int, event: str) -> dict[str, object]:
    """The named groups, percent-decoded; a plus sign is a space only behind the question mark."""
    fields: dict[str, object] = {}
    for group, text in found.groupdict().items():
        if not text:
            continue
        decoded = (unquote if found.start(group) < path_end else unquote_plus)(text).strip()
        if not decoded:
            continue
        field = FIELD_OF_GROUP[group]
        if field == "price":
            fields[field] = price_minor(decoded)
        elif field == "quantity":
            number = whole_number(decoded)
            fields[field] = decoded if number is None else number
        else:
            fields[field] = decoded
    if event == "search":
        fields["scenario"] = "search"
    return fields


def _utf8(escaped: str) -> str:
    """Bytes that the server wrote as \\xhh."""
    return bytes.fromhex(escaped.replace("\\x", "")).decode(errors="replace")


def _user(name: str, address: str, agent: str) -> str:
    """Who logged in, else a digest of where the request came from and with what browser."""
    return name if name not in ("-", "", '""') else _visitor(address, agent)


@lru_cache(maxsize=1 << 15)
def _visitor(address: str, agent: str) -> str:
    return "visitor-" + blake2b(f"{address}\x1f{agent}".encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=1 << 12)
def _moment(text: str) -> datetime | None:
    """Of 10/Oct/2023:13:55:36 +0000; months are English whatever the machine's language."""
    try:
        day, month, rest = text.split("/", 2)
        year, clock = rest.split(":", 1)
        clock, offset = clock.split(" ")
        return datetime.fromisoformat(f"{year}-{_MONTHS[month]:02d}-{day}T{clock}{offset}")
    except (ValueError, KeyError):
        return None
