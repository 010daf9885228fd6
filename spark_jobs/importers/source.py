"""Reading a log's bytes: plain or gzip, a block of lines at a time, with the file's own line numbers."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 18
HEAD_LINES = 20

# Told how many bytes of the file have been read so far; the whole is the file's size.
Progress = Callable[[int], None]

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


class Block(NamedTuple):
    """Consecutive whole lines, the last possibly without its line end; `first_line` counts from 1."""

    first_line: int
    content: bytes

    def lines(self) -> list[bytes]:
        """Each line, blank ones too; a longer one is cut at one byte more than MAX_LINE_BYTES."""
        lines = self.content.split(b"\n")
        if not lines[-1]:
            lines.pop()
        if len(self.content) > MAX_LINE_BYTES:
            lines = [line[: MAX_LINE_BYTES + 1] for line in lines]
        return lines


def blocks(
    path: Path,
    progress: Progress | None = None,
    whole_rows: Callable[[bytes], int] | None = None,
) -> Iterator[Block]:
    """The file in blocks of whole rows, of which no more than one is held.

    `whole_rows` tells how many bytes of some lines are whole rows, where a row may take several lines.
    """
    number, held, unended, begun = 1, b"", b"", False
    with _opened(path) as (content, file):
        while piece := content.read(BLOCK_BYTES):
            if not begun:
                piece, begun = piece.removeprefix(_BOM), True
            first, last = piece.find(b"\n"), piece.rfind(b"\n")
            if first < 0:
                unended = (unended + piece)[: MAX_LINE_BYTES + 1]
            else:
                lines = held + (unended + piece[:first])[: MAX_LINE_BYTES + 1] + piece[first : last + 1]
                unended = piece[last + 1 :][: MAX_LINE_BYTES + 1]
                end = len(lines) if whole_rows is None else whole_rows(lines)
                held = lines[end:]
                if end:
                    yield Block(number, lines[:end])
                    number += lines.count(b"\n", 0, end)
            if progress:
                progress(file.tell())
    if held or unended:
        yield Block(number, held + unended)
