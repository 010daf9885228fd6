"""Tables that grow by small batches, a folder a day: what was scored, what was corrected.

A batch joins a day by putting a new folder in the place of the day's, in which full files are links to
the old ones. Files grow as the digits of a binary counter carry: a batch takes in the newest files that
are no larger than what it has become, so a day of hundreds of batches is a dozen files, and a row is
written again a few times at most.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.lake import Lake, sync

FILE_ROWS = 50_000
ROW_GROUP_ROWS = 5_000


def append_new(
    lake: Lake, table: str, day: str, rows: pa.Table, key: str, known: pa.Array | None = None
) -> int:
    """Add the rows whose `key` the day does not hold yet; answers how many. Repeating it adds nothing.

    `known`: keys that count as held, where those of other days do too.
    """
    held = known_keys(day_files(lake, table, day), key) if known is None else known
    new = distinct(rows, key)
    new = new.filter(pc.invert(pc.is_in(new[key], value_set=held)))
    if new.num_rows == 0:
        return 0
    kept, number = day_files(lake, table, day), 0
    if kept:
        number = int(kept[-1].stem) + 1
    merged = [new]
    while kept and pq.read_metadata(kept[-1]).num_rows <= sum(map(len, merged)) < FILE_ROWS:
        merged.insert(0, pq.read_table(kept.pop(), partitioning=None))
    candidate = lake.candidate(table, day)
    shutil.rmtree(candidate, ignore_errors=True)
    candidate.mkdir(parents=True)
    for file in kept:
        os.link(file, candidate / file.name)
    path = candidate / f"{number:08d}.parquet"
    rows = pa.concat_tables(merged, promote_options="default")  # older rows may lack newer columns
    pq.write_table(rows, path, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    sync(path)
    lake.publish(table, day)
    return new.num_rows


def day_files(lake: Lake, table: str, day: str) -> list[Path]:
    """Oldest rows first."""
    return sorted(lake.partition(table, day).glob("*.parquet"))


def known_keys(files: Iterable[Path], key: str) -> pa.Array:
    columns = [pq.read_table(file, columns=[key], partitioning=None)[key] for file in files]
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.chunked_array(chunks, type=pa.string()).combine_chunks()


def distinct(rows: pa.Table, key: str) -> pa.Table:
    """The first row of each key."""
    seen: set[str] = set()
    return rows.filter(pa.array([not (k in seen or seen.add(k)) for k in rows[key].to_pylist()]))


def newest_rows(lake: Lake, table: str) -> Iterator[pa.Table]:
    """The table from its newest day backwards, a few thousand rows at a time, newest first in turn; the
    rows of a piece are in the order they were added."""
    for day in reversed(lake.parts(table)):
        for path in reversed(day_files(lake, table, day)):
            file = pq.ParquetFile(path)
            for group in reversed(range(file.num_row_groups)):
                yield file.read_row_group(group)
