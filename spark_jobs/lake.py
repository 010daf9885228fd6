"""The lake: where each table lives, and how files become visible all at once or not at all.

    ledger/day=YYYY-MM-DD/<commit>.parquet     accepted events, by the day of their event time
    ledger/commits/<epoch>-<kind>.json         which ledger files count; one not named here does not exist
    quarantine/<commit>.jsonl                  rows the door refused, with line, code, reason and day
    .importing/                                what an import puts aside while it runs
    <table>/day=YYYY-MM-DD/*.parquet           what Spark jobs derive, one folder a day
    candidate/<table>/...                      written, not yet past its gate

A ledger commit is one JSON file put in place by a rename, so landing may be killed at any point and run
again. A derived day is put in place by renaming its folder.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec

from feature_repo.behavior import ACTIVITIES
from feature_repo.windows import DAY_US

CANDIDATE = "candidate"

# Parts of a table that are not a day: what stands after the newest day, and a snapshot.
TAIL, CURRENT = "tail", "current"
SEEN_EPOCH = "_seen_epoch"

# Where a shopper's data lies in the lake, and the column that names the shopper; rows that could not be
# read are kept as they came in `quarantine`. What Redis holds is listed in `online_api/keys.py`.
SHOPPER_TABLES = {
    "ledger": "user_id",
    "clean_events": "user_id",
    "session_day_tiles": "user_id",
    "user_day_facts": "user_id",
    "session_activity": "user_id",
    "user_intent_embedding": "user_id",
    "user_profile": "user_id",
    "user_keywords": "user_id",
    "session_state": "user_id",
    "training_labels": "user_id",
    "training_rows": "user_id",
    "score_log": "user_id",
    "outcomes": "user_id",
    "feedback": "user_id",
    **{
        table: "user_id"
        for activity in ACTIVITIES
        if activity.personal
        for table in (activity.day_tiles, activity.view, activity.tiles)
    },
}


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


def day_of(event_time: int) -> str:
    return datetime.fromtimestamp(event_time // DAY_US * 86_400, UTC).date().isoformat()


def day_bounds(day: str) -> tuple[int, int]:
    """First instant of the day and of the next, microseconds UTC."""
    start = (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_US
    return start, start + DAY_US


class Lake:
    """A lake rooted at a folder that every process of the job can reach."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    # -- the ledger -------------------------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        path = self._commit_path(commit)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(commit))

    def committed_at(self, commit: Commit) -> int:
        """When its events became visible, microseconds by the wall's clock."""
        return self._commit_path(commit).stat().st_mtime_ns // 1_000

    def _commit_path(self, commit: Commit) -> Path:
        return self.root / "ledger" / "commits" / f"{commit.epoch:012d}-{commit.kind}.json"

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
        return [msgspec.json.decode(path.read_bytes(), type=Commit) for path in sorted(folder.glob("*.json"))]

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
            if (wanted is None or f.day in wanted) and (upto_epoch is None or commit.epoch <= upto_epoch)
        ]

    def drop_uncommitted(self) -> int:
        """Delete ledger files that no commit names, which a killed landing or import leaves; how many.
        For whoever holds `exclusive("ledger")`: nobody else is writing one then."""
        counted = {self.root / f.path for commit in self.commits() for f in commit.files}
        written = ("epoch-*.parquet", "import-*.parquet", ".epoch-*", ".import-*")
        found = (path for name in written for path in self.root.glob(f"ledger/day=*/{name}"))
        left = [path for path in found if path not in counted]
        for path in left:
            path.unlink()
        return len(left)

    def live_days(self) -> set[str]:
        """Days that have events posted to the API."""
        return {f.day for c in self.commits() if c.kind == "stream" for f in c.files}

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

        `seen_epoch` moves into place with it: the newest ledger epoch whose events the part holds, or,
        of a part that looks back on other days, the sum of theirs.
        """
        candidate = self.candidate(name, part)
        if not candidate.is_dir():
            raise FileNotFoundError(f"nothing to publish at {candidate}: its job has not run")
        if seen_epoch is not None:
            write_atomically(candidate / SEEN_EPOCH, str(seen_epoch).encode())
        replace_folder(candidate, self.partition(name, part))

    def seen_epoch(self, name: str, part: str) -> int:
        """What was given when the part was published; 0: it was not, or nothing was given."""
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
