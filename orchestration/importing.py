"""A log file into the lake, through the same door as the API's events."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import (
    DoorPolicy,
    LedgerEvent,
    Refusal,
    admit,
    arrival_on_event_clock,
    rfc3339,
    to_us,
)
from feature_repo.windows import DAY_S, US
from online_api.epochs import BlockingLedger
from online_api.keys import shard_of
from spark_jobs.importers import BadRow, ParsedRow, Progress, Row, open_log
from spark_jobs.lake import Commit, Lake, day_of
from spark_jobs.ledger_files import LedgerWriter, Position

CHUNK_ROWS = 5_000
SIMULATED = "simulated log "


class ImportReport(msgspec.Struct, kw_only=True):
    """Every row read is in exactly one of `accepted`, `duplicates` and `quarantined`."""

    format: str
    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = {}
    purchases_without_price: int = 0
    first_event_time: str | None = None
    last_event_time: str | None = None
    quarantine_file: str | None = None


class NothingImported(ValueError):
    """Not one row of the log could be read; the message says what was wrong with the first."""


class KnownIds:
    """The identities (user_id, event_id) an import must not accept again: its own and the lake's.

    The lake's are read a day at a time: the days the log touches, and `margin_days` to either side,
    which is how far apart two copies of one event can be.
    """

    def __init__(self, lake: Lake, margin_days: int) -> None:
        self._lake = lake
        self._margin = range(-margin_days, margin_days + 1)
        self._loaded: set[str] = set()
        self._centres: set[str] = set()
        self._digests: set[bytes] = set()

    def add(self, event: LedgerEvent) -> bool:
        """Whether the event is new."""
        day = day_of(event.event_time)
        if day not in self._centres:
            self._load_around(day)
        digest = _identity(event.user_id, event.event_id)
        if digest in self._digests:
            return False
        self._digests.add(digest)
        return True

    def _load_around(self, day: str) -> None:
        self._centres.add(day)
        around = {(date.fromisoformat(day) + timedelta(days=n)).isoformat() for n in self._margin}
        for path in self._lake.ledger_files(around - self._loaded):
            for batch in pq.ParquetFile(path).iter_batches(columns=["user_id", "event_id"]):
                pairs = zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
                self._digests.update(_identity(user, event) for user, event in pairs)
        self._loaded |= around


def _identity(user_id: str, event_id: str) -> bytes:
    return hashlib.blake2b(f"{user_id}\x1f{event_id}".encode(), digest_size=16).digest()


class Identity(NamedTuple):
    """What a claim needs of an event."""

    user_id: str
    event_id: str
    event_time: int
    received_at: int


def rows_of(table: pa.Table) -> Iterator[tuple]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


class Import:
    """One log on its way in. `now` is the wall clock's, or None when time is the newest event's."""

    def __init__(
        self, lake: Lake, ledger: BlockingLedger, policy: DoorPolicy, now: int | None, max_jump_s: int
    ) -> None:
        self.lake, self.ledger, self.now, self.max_jump_s = lake, ledger, now, max_jump_s
        self.policy = msgspec.structs.replace(policy, late_horizon_s=None)
        horizon_s = (policy.late_horizon_s or 0) + policy.ahead_limit_s
        self.known = KnownIds(lake, margin_days=-(-horizon_s // DAY_S))
        self.clock: int | None = None

    def run(self, path: Path, format: str = "auto", progress: Progress | None = None) -> ImportReport:
        found, rows = open_log(path, format, progress)
        owner = _file_digest(path)
        report = ImportReport(format=found.name)
        with self.lake.exclusive("ledger"):
            epoch = self.ledger.import_epoch(self._newest_epoch())
            writer = LedgerWriter(self.lake, f"import-{epoch:012d}")
            quarantine = self.lake.root / "quarantine" / f"import-{epoch:012d}.jsonl"
            for chunk in batched(rows, CHUNK_ROWS):
                for line, event in self._admit(chunk, report, quarantine):
                    shard = shard_of(event.user_id, self.ledger.settings.shards)
                    writer.add(event, Position(shard, line, epoch))
            self._claim(writer, report, owner)
            if report.read and not report.accepted and not report.duplicates:
                raise NothingImported(
                    f"{path}: none of its {report.read} rows could be read as {found.name}; "
                    f"the reasons are in {quarantine}"
                )
            commit = writer.commit(epoch, "import", source=source_of(path))
            if commit.rows:
                self.ledger.advance_clock(commit.last_event_time)
            self.ledger.forget_claims(owner)
        return _finished(report, commit, quarantine)

    def _claim(self, writer: LedgerWriter, report: ImportReport, owner: str) -> None:
        """Tell the API which of its recent ids are taken, and leave out what was posted to it already.

        This comes last, right before the commit: until then nothing says that the events are known.
        """
        now = self.now if self.now is not None else max(self.ledger.clock() or 0, self.clock or 0)
        for file in writer.written():
            identities = pq.read_table(self.lake.root / file.path, columns=list(Identity._fields))
            events = [Identity(u, e, to_us(t), to_us(r)) for u, e, t, r in rows_of(identities)]
            repeated = self.ledger.claim_imported(events, owner, now)
            if any(repeated):
                writer.keep_only(file, [not r for r in repeated])
                report.accepted -= sum(repeated)
                report.duplicates += sum(repeated)

    def _newest_epoch(self) -> int:
        return max((commit.epoch for commit in self.lake.commits()), default=0)

    def _admit(
        self, rows: Iterable[Row], report: ImportReport, quarantine: Path
    ) -> list[tuple[int, LedgerEvent]]:
        admitted, refused = [], []
        for row in rows:
            report.read += 1
            if isinstance(row, BadRow):
                refused.append(row)
                continue
            stamped = self._stamp(row)
            if isinstance(stamped, Refusal):
                raw = msgspec.json.encode(row.event).decode()
                refused.append(BadRow(row.line, stamped.code, stamped.message, raw))
            elif self.known.add(stamped):
                report.accepted += 1
                report.purchases_without_price += stamped.event_type == "purchase" and stamped.price is None
                admitted.append((row.line, stamped))
            else:
                report.duplicates += 1
        for bad in refused:
            report.quarantined[bad.code] = report.quarantined.get(bad.code, 0) + 1
        _append_lines(quarantine, refused)
        return admitted

    def _stamp(self, row: ParsedRow) -> LedgerEvent | Refusal:
        """An imported log is taken to have arrived as it happened, unless it says when it did."""
        claimed = to_us(row.event.event_time)
        received = claimed if row.received_at is None else row.received_at
        if self.now is None:
            clock = arrival_on_event_clock(self.clock, received, self.max_jump_s)
            if isinstance(clock, Refusal):
                return clock
        elif received > self.now + self.policy.ahead_limit_s * US:
            return Refusal("too_far_ahead", "the row is from the future: check its clock", "event_time")
        stamped = admit(row.event, received, self.policy)
        if self.now is None and isinstance(stamped, LedgerEvent):
            self.clock = clock
        return stamped


def source_of(path: Path) -> str:
    """Where a log came from, for everything that will later be measured on it."""
    simulated = any(path.parent.glob("ground_truth.*"))
    return f"{SIMULATED}{path.name}" if simulated else path.name


def _append_lines(path: Path, rows: list[BadRow]) -> None:
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _finished(report: ImportReport, commit: Commit, quarantine: Path) -> ImportReport:
    if commit.rows:
        report.first_event_time = rfc3339(commit.first_event_time)
        report.last_event_time = rfc3339(commit.last_event_time)
    if report.quarantined:
        report.quarantine_file = str(quarantine)
    return report


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def batched(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
