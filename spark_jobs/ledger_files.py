"""The ledger's files: accepted events as Parquet, one file a day and commit."""

import os
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import LedgerEvent
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


def ledger_table(rows: list[tuple[LedgerEvent, Position]]) -> pa.Table:
    columns = [list(column) for column in zip(*(_row(e, p) for e, p in rows), strict=True)]
    if not columns:
        return LEDGER_SCHEMA.empty_table()
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, LEDGER_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LEDGER_SCHEMA)


def _row(event: LedgerEvent, position: Position) -> tuple:
    return (
        *(getattr(event, name) for name in LedgerEvent.__struct_fields__),
        position.shard,
        position.seq,
        position.epoch,
    )


def write_ledger_file(lake: Lake, day: str, name: str, table: pa.Table) -> LedgerFile:
    """Write one day's rows of a commit; invisible until a commit names the file."""
    folder = lake.root / "ledger" / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    partial = folder / f".{name}.{uuid.uuid4().hex}"
    pq.write_table(table, partial, compression="zstd")
    sync(partial)
    os.replace(partial, path)
    sync(folder)
    return LedgerFile(day, str(path.relative_to(lake.root)), table.num_rows)


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

    def written(self) -> list[LedgerFile]:
        """The files so far, with everything added in them."""
        self._flush()
        return list(self._files)

    def keep_only(self, file: LedgerFile, keep: list[bool]) -> None:
        """Write one of the files again without some of its rows. The bounds of time stay as they were."""
        table = pq.read_table(self.lake.root / file.path).filter(pa.array(keep))
        self.rows -= file.rows - table.num_rows
        position = self._files.index(file)
        self._files[position] = write_ledger_file(self.lake, file.day, Path(file.path).stem, table)

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
