"""The ledger's files: accepted events as Parquet, one file a day and commit."""

import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from feature_repo.events import LedgerEvent
from feature_repo.windows import DAY_US
from spark_jobs.lake import Commit, Lake, LedgerFile, day_of, sync

_STRING, _INT = pa.string(), pa.int64()
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("event_id", _STRING, nullable=False),
        pa.field("user_id", _STRING, nullable=False),
        pa.field("event_type", _STRING, nullable=False),
        pa.field("event_time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("claimed_time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("received_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("session_id", _STRING),
        pa.field("item_id", _STRING),
        pa.field("category", _STRING),
        pa.field("brand", _STRING),
        pa.field("price", _INT),
        pa.field("currency", _STRING, nullable=False),
        pa.field("quantity", _INT, nullable=False),
        pa.field("query", _STRING),
        pa.field("text", _STRING),
        pa.field("scenario", _STRING),
        pa.field("consent", _STRING, nullable=False),
        pa.field("device", _STRING),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("seq", _INT, nullable=False),
        pa.field("epoch", _INT, nullable=False),
    ]
)


class Position(msgspec.Struct, frozen=True):
    """Where an event stands in the ledger."""

    shard: int
    seq: int
    epoch: int


def ledger_table(rows: Iterable[tuple[LedgerEvent, Position]]) -> pa.Table:
    tuples = [(*msgspec.structs.astuple(e), p.shard, p.seq, p.epoch) for e, p in rows]
    if not tuples:
        return LEDGER_SCHEMA.empty_table()
    columns = zip(*tuples, strict=True)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, LEDGER_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LEDGER_SCHEMA)


def write_ledger_file(lake: Lake, day: str, name: str, rows: pa.Table | Iterable[pa.Table]) -> LedgerFile:
    """Write one day's rows of a commit, a table at a time; invisible until a commit names the file."""
    folder = lake.root / "ledger" / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    partial = folder / f".{name}.{uuid.uuid4().hex}"
    written = 0
    with pq.ParquetWriter(partial, LEDGER_SCHEMA, compression="zstd") as writer:
        for table in (rows,) if isinstance(rows, pa.Table) else rows:
            writer.write_table(table)
            written += table.num_rows
    sync(partial)
    os.replace(partial, path)
    sync(folder)
    return LedgerFile(day, str(path.relative_to(lake.root)), written)


class LedgerWriter:
    """Collects a commit's events into files by day, holding at most `buffer_rows` of them in memory."""

    def __init__(self, lake: Lake, name: str, buffer_rows: int = 200_000) -> None:
        self.lake, self.name, self.buffer_rows = lake, name, buffer_rows
        self.rows = 0
        self.first_event_time: int | None = None
        self.last_event_time: int | None = None
        self._files: list[LedgerFile] = []
        self._buffers: dict[str, list[tuple[LedgerEvent, Position]]] = defaultdict(list)
        self._buffered = 0

    def add(self, event: LedgerEvent, position: Position) -> None:
        time = event.event_time
        self._buffers[day_of(time)].append((event, position))
        self.first_event_time = time if self.rows == 0 else min(self.first_event_time, time)
        self.last_event_time = time if self.rows == 0 else max(self.last_event_time, time)
        self.rows += 1
        self._buffered += 1
        if self._buffered >= self.buffer_rows:
            self._flush()

    def commit(self, epoch: int, kind: Literal["stream", "import"], source: str = "") -> Commit:
        """Make everything added visible at once. A commit of nothing is not written."""
        self._flush()
        commit = Commit(
            epoch, kind, tuple(self._files), self.rows, self.first_event_time, self.last_event_time, source
        )
        if self.rows:
            self.lake.commit(commit)
        return commit

    def _flush(self) -> None:
        for day, rows in self._buffers.items():
            name = f"{self.name}-{len(self._files):05d}"
            self._files.append(write_ledger_file(self.lake, day, name, ledger_table(rows)))
        self._buffers.clear()
        self._buffered = 0


class DaySpill:
    """Ledger rows on their way into files, put aside by day; `buffer_rows` of them stay in memory."""

    def __init__(self, folder: Path, buffer_rows: int = 200_000) -> None:
        folder.mkdir(parents=True)
        self._folder, self._buffer_rows = folder, buffer_rows
        self._buffers: dict[int, list[pa.Table]] = defaultdict(list)
        self._buffered = 0
        self._paths: dict[str, Path] = {}

    def add(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        day = table["event_time"].cast(pa.int64()).to_numpy() // DAY_US
        order = np.argsort(day, kind="stable")
        if (np.diff(day) < 0).any():
            table = table.take(pa.array(order))
        days, starts = np.unique(day[order], return_index=True)
        for number, start, end in zip(days.tolist(), starts, (*starts[1:], len(day)), strict=True):
            self._buffers[number].append(table.slice(start, end - start))
        self._buffered += len(day)
        if self._buffered >= self._buffer_rows:
            self._flush()

    def days(self) -> dict[str, Path]:
        """Where each day's rows are, for `spilled_rows`, in order of day."""
        self._flush()
        return dict(sorted(self._paths.items()))

    def _flush(self) -> None:
        for number, tables in self._buffers.items():
            day = day_of(number * DAY_US)
            path = self._paths.setdefault(day, self._folder / day)
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with path.open("ab") as file, pa.ipc.new_stream(file, LEDGER_SCHEMA, options=options) as stream:
                stream.write_table(pa.concat_tables(tables).combine_chunks())
        self._buffers.clear()
        self._buffered = 0


def spilled_rows(path: Path, at_least: int = 100_000) -> Iterator[pa.Table]:
    """A day's rows from a DaySpill, in tables of that many or more, but for the last."""
    held: list[pa.Table] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            held.append(pa.ipc.open_stream(file).read_all())
            if sum(table.num_rows for table in held) >= at_least:
                yield pa.concat_tables(held)
                held = []
    if held:
        yield pa.concat_tables(held)
