"""What a shop tells about itself beside its log: its catalogue and its tree of categories, as CSV files.

Every fault is one line that names the file, the line and the column.
"""

import csv
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import MAX_ID_CHARS, MAX_PRICE_MINOR
from spark_jobs.lake import Lake
from spark_jobs.transforms.category_tree import Cycle, Placed, levels_by_parent

CATALOGUE_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price_minor", pa.int64()),
        ("line", pa.int64()),
    ]
)
CATEGORY_NAMES, PARENT_NAMES = ("category", "categoryid"), ("parent", "parentid")
PATH_SEPARATORS = str.maketrans({">": "/", "＞": "/", "／": "/"})
CHUNK_ROWS, KEPT_CATALOGUES = 50_000, 3


class ShopFileError(ValueError):
    """A catalogue or a tree of categories that cannot be read."""


def catalogue_parquet(lake: Lake, path: Path) -> Path:
    """The catalogue as a Parquet file in the lake, where every worker reaches it: CATALOGUE_SCHEMA, a row
    a line. A file read before is not read again. Raises ShopFileError.
    """
    folder = lake.root / "reference"
    converted = folder / f"catalogue-{_digest(path)}.parquet"
    if not converted.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{converted.name}.{uuid.uuid4().hex}"
        try:
            with pq.ParquetWriter(partial, CATALOGUE_SCHEMA, compression="zstd") as writer:
                for chunk in _chunks(_catalogue_rows(path)):
                    columns = zip(*chunk, strict=True)
                    writer.write_table(pa.table(list(map(list, columns)), schema=CATALOGUE_SCHEMA))
            os.replace(partial, converted)
        finally:
            partial.unlink(missing_ok=True)
        _keep_newest(folder)
    return converted


def placed_categories(path: Path) -> list[Placed]:
    """A shop's tree from a CSV of `category,path` or of `category,parent`. Raises ShopFileError."""
    rows = _rows(path)
    _, header = next(rows)
    names = [name.strip().lower() for name in header]
    category = _position(path, names, CATEGORY_NAMES)
    if "path" in names:
        return list(_by_path(path, rows, category, names.index("path")))
    parent = next((names.index(name) for name in PARENT_NAMES if name in names), None)
    if parent is None:
        raise ShopFileError(f"{path}, line 1: there is neither a column path nor a column parent")
    return _by_parent(path, rows, category, parent)


# -- the tree -------------------------------------------------------------------------------------


def _by_path(path: Path, rows: Iterator[tuple[int, list[str]]], category: int, at: int) -> Iterator[Placed]:
    seen: dict[str, tuple[int, list[str]]] = {}
    for line, row in rows:
        name = _filled(path, line, "category", row[category])
        given = _filled(path, line, "path", row[at])
        levels = [level.strip() for level in given.translate(PATH_SEPARATORS).split("/") if level.strip()]
        if not levels:
            raise ShopFileError(f"{path}, line {line}, column path: {given} names no level")
        before, known = seen.setdefault(name, (line, levels))
        if known != levels:
            raise ShopFileError(f"{path}, line {line}, column path: {name} has another path on line {before}")
        if before == line:
            yield Placed(name, levels, line)


def _by_parent(path: Path, rows: Iterator[tuple[int, list[str]]], category: int, at: int) -> list[Placed]:
    parents: dict[str, str | None] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        name, parent = _filled(path, line, "category", row[category]), row[at].strip() or None
        if parents.setdefault(name, parent) != parent:
            raise ShopFileError(
                f"{path}, line {line}, column parent: {name} has another parent on line {lines[name]}"
            )
        lines.setdefault(name, line)
    try:
        return [Placed(name, levels, lines[name]) for name, levels in _levels(parents).items()]
    except Cycle as cycle:
        line = max(lines[name] for name in cycle.categories)
        raise ShopFileError(
            f"{path}, line {line}, column parent: {cycle} is a circle; a root's parent is empty"
        ) from None


def _levels(parents: dict[str, str | None]) -> dict[str, list[str]]:
    return {name: levels for name, levels in levels_by_parent(parents).items() if name in parents}


# -- the catalogue --------------------------------------------------------------------------------


def _catalogue_rows(path: Path) -> Iterator[tuple]:
    rows = _rows(path)
    _, header = next(rows)
    names = [name.strip().lower() for name in header]
    item = _position(path, names, ("item_id",))
    wanted = {name: names.index(name) for name in ("category", "brand", "price_minor") if name in names}
    if not wanted:
        raise ShopFileError(f"{path}, line 1: there is none of the columns category, brand, price_minor")
    for line, row in rows:
        item_id = _filled(path, line, "item_id", row[item])
        if len(item_id) > MAX_ID_CHARS:
            raise ShopFileError(f"{path}, line {line}, column item_id: longer than {MAX_ID_CHARS} characters")
        category, brand, price = (
            row[wanted[name]].strip() or None if name in wanted else None
            for name in ("category", "brand", "price_minor")
        )
        yield item_id, category, brand, _price(path, line, price), line


def _price(path: Path, line: int, text: str | None) -> int | None:
    """A price of 0 says nothing about what a piece costs."""
    if text is None:
        return None
    if not text.isdecimal() or int(text) > MAX_PRICE_MINOR:
        raise ShopFileError(
            f"{path}, line {line}, column price_minor: {text} is not a whole number of minor units "
            f"from 0 to {MAX_PRICE_MINOR}"
        )
    return int(text) or None


def _chunks(rows: Iterator[tuple]) -> Iterator[list[tuple]]:
    chunk: list[tuple] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:16]
    except OSError as error:
        raise ShopFileError(f"{path}: {error.strerror.lower()}") from None


def _keep_newest(folder: Path) -> None:
    """A job may still read the catalogue before this one."""
    by_age = sorted(folder.glob("catalogue-*.parquet"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in by_age[KEPT_CATALOGUES:]:
        old.unlink(missing_ok=True)


# -- rows of a CSV file ---------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row with its line, the header first; empty lines are left out."""
    line, width = 0, None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                line = reader.line_num
                if not row:
                    continue
                width = width or len(row)
                if len(row) != width:
                    raise ShopFileError(f"{path}, line {line}: {len(row)} columns, the header has {width}")
                yield line, row
    except UnicodeDecodeError:
        raise ShopFileError(f"{path}, after line {line}: not UTF-8") from None
    except csv.Error as error:
        raise ShopFileError(f"{path}, after line {line}: {error}") from None
    except OSError as error:
        raise ShopFileError(f"{path}: {error.strerror.lower()}") from None
    if width is None:
        raise ShopFileError(f"{path} is empty: its first line names the columns")


def _position(path: Path, names: list[str], wanted: tuple[str, ...]) -> int:
    for name in wanted:
        if name in names:
            return names.index(name)
    raise ShopFileError(f"{path}, line 1: there is no column {wanted[0]}, only {', '.join(names)}")


def _filled(path: Path, line: int, column: str, text: str) -> str:
    if value := text.strip():
        return value
    raise ShopFileError(f"{path}, line {line}, column {column}: is empty")
