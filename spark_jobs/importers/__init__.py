"""Logs in: one module a format, each parsing rows into events and doing nothing else.

`open_log` finds the format from the content and reads row by row: files may exceed memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from spark_jobs.importers import native, rees46
from spark_jobs.importers.rows import BadRow, ParsedRow, Row, shown
from spark_jobs.importers.source import Progress, UnreadableLog, head

__all__ = [
    "FORMATS",
    "BadRow",
    "Format",
    "ParsedRow",
    "Progress",
    "Row",
    "UnknownFormat",
    "UnreadableLog",
    "detect",
    "open_log",
]


class UnknownFormat(ValueError):
    """The content is of no known format, or not of the one asked for."""


class Format(NamedTuple):
    """`expects` describes the format in one line; `recognises` is asked about the first lines."""

    name: str
    expects: str
    recognises: Callable[[list[str]], bool]
    read: Callable[[Path, Progress | None], Iterator[Row]]


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format(native.NAME, native.EXPECTS, native.recognises, native.read_native),
        Format(rees46.NAME, rees46.EXPECTS, rees46.recognises, rees46.read_rees46),
    )
}


def detect(path: str | Path) -> Format:
    """The format of a log, from its content; raises UnknownFormat or UnreadableLog."""
    sample = head(Path(path))
    for candidate in FORMATS.values():
        if candidate.recognises(sample):
            return candidate
    expected = "; ".join(f"{f.name} ({f.expects})" for f in FORMATS.values())
    raise UnknownFormat(f"{path} is of no known format: expected {expected}; found {shown(sample[0])}")


def open_log(
    path: str | Path, format: str = "auto", progress: Progress | None = None
) -> tuple[Format, Iterator[Row]]:
    """The format and the rows of a log; a `format` other than `auto` must fit the content.

    Refusals come at once; UnreadableLog also later, where a file proves damaged further on.
    """
    path = Path(path)
    if format == "auto":
        found = detect(path)
    elif format not in FORMATS:
        raise UnknownFormat(f"no format is called {shown(format)}: there are {', '.join(FORMATS)}")
    else:
        found = FORMATS[format]
        sample = head(path)
        if not found.recognises(sample):
            raise UnknownFormat(
                f"{path} is not a {format} log: expected {found.expects}; found {shown(sample[0])}"
            )
    return found, found.read(path, progress)
