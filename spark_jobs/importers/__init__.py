"""Logs in: one module a format, each parsing rows into events and doing nothing else.

`recognise` finds the format from the content; `blocks_of` reads the file in blocks of whole rows, which
may be parsed apart: files may exceed memory. `open_log` parses them one after another.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from spark_jobs.importers import (
    access_log,
    native,
    otto,
    rees46,
    retailrocket,
    taobao,
    ubi,
    yoochoose,
)
from spark_jobs.importers.access_rules import RulesError
from spark_jobs.importers.rows import BadRow, IgnoredRow, ParsedRow, Parser, Row, shown
from spark_jobs.importers.source import Block, Progress, UnreadableLog, blocks, head

__all__ = [
    "FORMATS",
    "BadRow",
    "Block",
    "Format",
    "IgnoredRow",
    "Log",
    "ParsedRow",
    "Progress",
    "Row",
    "RulesError",
    "UnknownFormat",
    "UnreadableLog",
    "blocks_of",
    "open_log",
    "parser_of",
    "recognise",
]


class UnknownFormat(ValueError):
    """The content is of no known format, or not of the one asked for."""


class Format(NamedTuple):
    """`expects` describes the format in one line; `recognises` and `parser` are given the first lines."""

    name: str
    expects: str
    recognises: Callable[[list[str]], bool]
    parser: Callable[..., Parser]


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format(module.NAME, module.EXPECTS, module.recognises, module.parser)
        for module in (native, rees46, retailrocket, yoochoose, taobao, otto, ubi, access_log)
    )
}


class Log(msgspec.Struct, frozen=True):
    """How a file is to be read, for whatever process reads a block of it. `rules`: see access_rules."""

    format: str
    sample: tuple[str, ...]
    rules: str | None = None


def recognise(path: str | Path, format: str = "auto", rules: str | None = None) -> Log:
    """The format of a log, from its content; one other than `auto` must fit the content.

    Raises UnknownFormat, UnreadableLog, or RulesError for rules that cannot be used.
    """
    sample = head(Path(path))
    if format != "auto" and format not in FORMATS:
        raise UnknownFormat(f"no format is called {shown(format)}: there are {', '.join(FORMATS)}")
    asked = FORMATS.values() if format == "auto" else [FORMATS[format]]
    found = next((f for f in asked if f.recognises(sample)), None)
    if found is None and format == "auto":
        expected = "; ".join(f"{f.name} ({f.expects})" for f in FORMATS.values())
        raise UnknownFormat(f"{path} is of no known format: expected {expected}; found {shown(sample[0])}")
    if found is None:
        expected = FORMATS[format].expects
        raise UnknownFormat(f"{path} is not a {format} log: expected {expected}; found {shown(sample[0])}")
    if rules is not None and found.name != access_log.NAME:
        raise RulesError(f"rules are for access logs, and {path} is a {found.name} log")
    log = Log(found.name, tuple(sample), rules)
    parser_of(log)
    return log


@lru_cache(maxsize=4)
def parser_of(log: Log) -> Parser:
    found, sample = FORMATS[log.format], list(log.sample)
    return found.parser(sample, log.rules) if log.rules is not None else found.parser(sample)


def blocks_of(log: Log, path: str | Path, progress: Progress | None = None) -> Iterator[Block]:
    """Raises UnreadableLog also later, where a file proves damaged further on."""
    return blocks(Path(path), progress, parser_of(log).whole_rows)


def open_log(
    path: str | Path, format: str = "auto", progress: Progress | None = None, rules: str | None = None
) -> tuple[Format, Iterator[Row]]:
    """The format and the rows of a log. Refusals come at once, as from `recognise`."""
    log = recognise(path, format, rules)
    parse = parser_of(log)
    found = blocks_of(log, path, progress)
    return FORMATS[log.format], (
        row for block in found for row in parse.rows(block.lines(), block.first_line)
    )
