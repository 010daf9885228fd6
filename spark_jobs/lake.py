"""The lake: where each table lives, and how files become visible all at once or not at all.

    ledger/day=YYYY-MM-DD/<commit>.parquet     accepted events, by the day of their event time
    ledger/commits/<epoch>-<kind>.json         which ledger files count; one not named here does not exist
    quarantine/<commit>.jsonl                  rows the door refused, with line, code and reason
    <table>/day=YYYY-MM-DD/*.parquet           what Spark jobs derive, one folder a day
    candidate/<table>/...                      written, not yet past its gate

A ledger commit is one JSON file put in place by a rename, so landing may be killed at any point and run
again. A derived day is put in place by renaming its folder.
"""

import fcntl
import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import LedgerEvent
from feature_repo.windows import DAY_US

CANDIDATE = "candidate"

# Parts of a table that are not a day: what stands after the newest day, and a snapshot.
TAIL, CURRENT = "tail", "current"
SEEN_EPOCH = "_seen_epoch"

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
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("seq", _INT, nullable=False),
        pa.field("epoch", _INT, nullable=False),
    ]
)


class LedgerFile(msgspec.Struct, frozen=True):
    day: str
    path: str
    rows: int


class Commit(msgspec.Struct, frozen=True):
    """One epoch of the ledger as landed: a closed stretch of the live log, or one imported file."""

    epoch: int
    kind: Literal["stream", "import"]
    files: tuple[LedgerFile, ...]
    rows: int
    first_event_time: int | None
    last_event_time: int | None
    source: str = ""


class Position(msgspec.Struct, frozen=True):
    """Where an event stands in the ledger."""

    shard: int
    seq: int
    epoch: int


def day_of(event_time: int) -> str:
    return datetime.fromtimestamp(event_time // DAY_US * 86_400, UTC).date().isoformat()


def day_bounds(day: str) -> tuple[int, int]:
    """First instant of the day and of the next, microseconds UTC."""
    start = (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_US
    return start, start + DAY_US


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


class Lake:
    """A lake rooted at a folder that every process of the job can reach."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    # -- the ledger -------------------------------------------------------------------------------

    def write_ledger_file(self, day: str, name: str, table: pa.Table) -> LedgerFile:
        """Write one day's rows of a commit; invisible until `commit` names it."""
        folder = self.root / "ledger" / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.parquet"
        partial = folder / f".{name}.{uuid.uuid4().hex}"
        pq.write_table(table, partial, compression="zstd")
        sync(partial)
        os.replace(partial, path)
        sync(folder)
        return LedgerFile(day, str(path.relative_to(self.root)), table.num_rows)

    def commit(self, commit: Commit) -> None:
        folder = self.root / "ledger" / "commits"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{commit.epoch:012d}-{commit.kind}.json", msgspec.json.encode(commit))

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """One process at a time, on one machine; freed when the process ends, however it ends."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def commits(self) -> list[Commit]:
        """In order of epoch."""
        folder = self.root / "ledger" / "commits"
        return [
            msgspec.json.decode(path.read_bytes(), type=Commit)
            for path in sorted(folder.glob("*.json"))
        ]

    def landed_epoch(self) -> int:
        """The newest epoch of the live log in the lake; epochs of the log land in order. 0: none."""
        return max((c.epoch for c in self.commits() if c.kind == "stream"), default=0)

    def ledger_files(self, days: Iterable[str] | None = None, upto_epoch: int | None = None) -> list[Path]:
        """Every ledger file that counts, of these days or of all, as of an epoch or of now."""
        wanted = None if days is None else set(days)
        return [
            self.root / f.path
            for commit in self.commits()
            for f in commit.files
            if (wanted is None or f.day in wanted)
            and (upto_epoch is None or commit.epoch <= upto_epoch)
        ]

    def newest_event_time(self) -> int | None:
        return max((c.last_event_time for c in self.commits() if c.rows), default=None)

    def ledger_days(self) -> dict[str, int]:
        """Days that have events, with the newest epoch that touched each, in order of day."""
        newest: dict[str, int] = {}
        for commit in self.commits():
            for f in commit.files:
                newest[f.day] = max(newest.get(f.day, 0), commit.epoch)
        return dict(sorted(newest.items()))

    # -- derived tables ---------------------------------------------------------------------------

    def table(self, name: str) -> Path:
        return self.root / name

    def partition(self, name: str, part: str) -> Path:
        return self.root / name / f"day={part}"

    def candidate(self, name: str, part: str) -> Path:
        return self.root / CANDIDATE / name / f"day={part}"

    def parts(self, name: str) -> list[str]:
        """The published parts of a table, sorted: days, and for some tables `tail`."""
        return sorted(p.name.removeprefix("day=") for p in self.table(name).glob("day=*"))

    def partitions(self, name: str, first: str, last: str) -> list[Path]:
        """The published day folders of a table from `first` to `last`, both included."""
        return [self.partition(name, part) for part in self.parts(name) if first <= part <= last]

    def publish(self, name: str, part: str, seen_epoch: int | None = None) -> None:
        """Put a candidate in place of what was served before it. A missing candidate is an error.

        `seen_epoch`, the newest ledger epoch whose events the part holds, moves into place with it.
        """
        candidate = self.candidate(name, part)
        if not candidate.is_dir():
            raise FileNotFoundError(f"nothing to publish at {candidate}: its job has not run")
        if seen_epoch is not None:
            write_atomically(candidate / SEEN_EPOCH, str(seen_epoch).encode())
        replace_folder(candidate, self.partition(name, part))

    def seen_epoch(self, name: str, part: str) -> int:
        """The newest ledger epoch that the published part holds; 0: none, or not recorded."""
        path = self.partition(name, part) / SEEN_EPOCH
        return int(path.read_bytes()) if path.exists() else 0

    # -- small state ------------------------------------------------------------------------------

    def read_state(self, name: str) -> dict:
        path = self.root / "state" / f"{name}.json"
        return msgspec.json.decode(path.read_bytes()) if path.exists() else {}

    def write_state(self, name: str, value: dict) -> None:
        path = self.root / "state" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(value))


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
            self._files.append(self.lake.write_ledger_file(day, name, ledger_table(rows)))
        self._buffers.clear()
        self._buffered = 0


def write_atomically(path: Path, content: bytes) -> None:
    """Readers see the old content or the new, and a power cut leaves one of the two."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    partial.write_bytes(content)
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(source: Path, target: Path) -> None:
    """Move `source` to `target`; what stood there goes only once the new one is in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".old-{target.name}-{uuid.uuid4().hex}")
    if target.exists():
        os.rename(target, old)
    os.rename(source, target)
    for replaced in target.parent.glob(f".old-{target.name}-*"):
        shutil.rmtree(replaced, ignore_errors=True)
