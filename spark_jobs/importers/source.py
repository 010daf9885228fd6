"""Reading a log's bytes: plain or gzip, a block at a time, with the file's own line numbers."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 18
HEAD_LINES = 20

# Told how many bytes of the file have been read so far; the whole is the file's size.
Progress = Callable[[int], None]
Line = tuple[int, bytes]

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_CONTAINERS = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first",
    b"PAR1": "a Parquet file: export it as CSV or JSON lines",
    b"\xff\xfe": "UTF-16 text: convert it to UTF-8 first",
    b"\xfe\xff": "UTF-16 text: convert it to UTF-8 first",
}


class UnreadableLog(ValueError):
    """The file cannot be read as text at all; one line says why and what to do."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The content to read, and the file itself, whose position is the progress."""
    if path.is_dir():
        raise UnreadableLog(f"{path} is a folder: give one log file")
    if path.exists() and not path.is_file():
        raise UnreadableLog(f"{path} is not a regular file: save the log to a file first")
    try:
        with path.open("rb", buffering=0) as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            yield (gzip.GzipFile(fileobj=file) if packed else file), file
    except FileNotFoundError:
        raise UnreadableLog(f"{path} does not exist") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableLog(f"{path} is damaged gzip ({error}): fetch it again") from None
    except OSError as error:
        raise UnreadableLog(f"{path} cannot be read: {error.strerror or error}") from None


def head(path: Path) -> list[str]:
    """The first lines that are not blank, stripped; what is not UTF-8 in them shows as U+FFFD."""
    with _opened(path) as (content, _):
        start = content.read(MAX_LINE_BYTES + 1)
    if not start:
        raise UnreadableLog(f"{path} is empty")
    for magic, what in _CONTAINERS.items():
        if start.startswith(magic):
            raise UnreadableLog(f"{path} is {what}")
    if b"\0" in start:
        raise UnreadableLog(f"{path} is a binary file: a log is UTF-8 text")
    if len(start) > MAX_LINE_BYTES and b"\n" not in start:
        raise UnreadableLog(f"{path}: no line end in {MAX_LINE_BYTES} bytes: not a log")
    texts = start.removeprefix(_BOM).decode(errors="replace").split("\n")
    lines = [line.strip() for line in texts if line.strip()]
    if not lines:
        raise UnreadableLog(f"{path} holds only blank lines")
    return lines[:HEAD_LINES]


def lines(path: Path, progress: Progress | None = None) -> Iterator[Line]:
    """Every line with its number, blank ones too; no more than a block is held.

    A line longer than MAX_LINE_BYTES is cut at one byte more than that, so that it can be told.
    """
    number, rest = 0, b""
    with _opened(path) as (content, file):
        while block := content.read(BLOCK_BYTES):
            if number == 0 and not rest:
                block = block.removeprefix(_BOM)
            parts = (rest + block).split(b"\n")
            rest = parts.pop()[: MAX_LINE_BYTES + 1]
            for part in parts:
                number += 1
                yield number, part[: MAX_LINE_BYTES + 1]
            if progress:
                progress(file.tell())
    if rest:
        yield number + 1, rest
