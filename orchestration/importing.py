"""A log file into the lake, through the same door as the API's events.

    blocks of lines ─► parsed and past the door, by several processes ─► rows by day, digests by bucket
    buckets ─► the rows that repeat another ─► a ledger file a day without them ─► ids claimed ─► commit

Rows are numbered as they come in the file, and the first of equal identity is the one accepted. No step
holds more than a few blocks, a part of a day and one bucket of digests in memory.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.events import DoorPolicy, rfc3339
from feature_repo.windows import DAY_S, US
from online_api.epochs import BlockingLedger
from orchestration.import_blocks import (
    Admitted,
    Reading,
    Refused,
    Workers,
    WrittenDay,
    admit_block,
    file_digests,
    write_day,
    write_spilled_day,
)
from orchestration.import_clock import on_event_clock
from orchestration.resources import Platform
from spark_jobs.identities import KNOWN, Identities, RowSet
from spark_jobs.importers import Log, Progress, blocks_of, recognise
from spark_jobs.lake import Commit, Lake
from spark_jobs.ledger_files import DaySpill

SIMULATED = "simulated log "
TRUTH, STAGES = "simulated_truth", "stages.csv"
CLAIM_CHUNK = 20_000
ROW_GROUP_ROWS = 100_000
MAX_REASONS = 100
# A file smaller than this is read before further processes have started.
ALONE_BYTES = 8 << 20


class ImportReport(msgspec.Struct, kw_only=True):
    """Every row read is in exactly one of `accepted`, `duplicates`, `quarantined` and `ignored`."""

    format: str
    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = {}
    ignored: dict[str, int] = {}
    purchases_without_price: int = 0
    first_event_time: str | None = None
    last_event_time: str | None = None
    quarantine_file: str | None = None


class NothingImported(ValueError):
    """Not one row of the log is an event; the message says where the reasons are."""


class Identity(NamedTuple):
    """What a claim needs of an event."""

    user_id: str
    event_id: str
    event_time: int
    received_at: int


def import_log(path: Path, format: str, progress: Progress | None = None, rules: str | None = None):
    platform = Platform.from_environment()
    settings = platform.settings
    now = None if settings.clock == "event" else platform.clock()
    job = Import(platform.lake, platform.ledger, settings.door, now, settings.clock_max_jump_s)
    return job.run(path, format, progress, rules)


class Import:
    """One log on its way in. `now` is the wall clock's, or None when time is the newest event's.

    `processes` None: as many as there are processors, for a file worth it.
    """

    def __init__(
        self,
        lake: Lake,
        ledger: BlockingLedger,
        policy: DoorPolicy,
        now: int | None,
        max_jump_s: int,
        processes: int | None = None,
    ) -> None:
        self.lake, self.ledger, self.now, self.max_jump_s = lake, ledger, now, max_jump_s
        self.policy = msgspec.structs.replace(policy, late_horizon_s=None)
        # How far apart two copies of one event can be.
        horizon_s = (policy.late_horizon_s or 0) + policy.ahead_limit_s
        self.margin_days = -(-horizon_s // DAY_S)
        self.processes = processes
        self.clock: int | None = None

    def run(
        self, path: Path, format: str = "auto", progress: Progress | None = None, rules: str | None = None
    ) -> ImportReport:
        log = recognise(path, format, rules)
        owner = _file_digest(path)
        report = ImportReport(format=log.format)
        with self.lake.exclusive("ledger"), Workers(self._processes(path)) as workers:
            self.lake.drop_uncommitted()
            epoch = self.ledger.import_epoch(self._newest_epoch())
            name = f"import-{epoch:012d}"
            quarantine = self.lake.root / "quarantine" / f"{name}.jsonl"
            with _scratch(self.lake) as scratch:
                spill, identities = DaySpill(scratch / "days"), Identities(scratch / "identities")
                blocks = ((self._reading(log, epoch), block) for block in blocks_of(log, path, progress))
                day = None
                for block in workers.in_order(admit_block, blocks):
                    day = self._collect(block, report, spill, identities, quarantine, day)
                days = spill.days()
                self._add_known(workers, identities, days)
                repeated = identities.repeated(report.read)
                written = self._write(workers, days, name, repeated, scratch / "repeated")
            report.duplicates = report.accepted - sum(day.rows for day in written)
            written = self._claim(written, report, owner)
            commit = _committed(written, epoch, path)
            report.accepted = commit.rows
            if report.read and not report.accepted and not report.duplicates:
                raise NothingImported(_nothing(path, report, quarantine))
            if commit.rows:
                self.ledger.flush()
                self.lake.commit(commit)
                self.ledger.advance_clock(commit.last_event_time)
                _note_truth(self.lake, path)
            self.ledger.forget_claims(owner)
            self.ledger.flush()
        return _finished(report, written, commit, quarantine)

    def _processes(self, path: Path) -> int:
        if self.processes is not None:
            return self.processes
        return len(os.sched_getaffinity(0)) if path.stat().st_size > ALONE_BYTES else 1

    def _newest_epoch(self) -> int:
        return max((commit.epoch for commit in self.lake.commits()), default=0)

    def _reading(self, log: Log, epoch: int) -> Reading:
        latest = None if self.now is None else self.now + self.policy.ahead_limit_s * US
        return Reading(log, self.policy, self.ledger.settings.shards, epoch, latest)

    # -- the rows of a block, in the order of the file --------------------------------------------

    def _collect(
        self,
        block: Admitted,
        report: ImportReport,
        spill: DaySpill,
        identities: Identities,
        quarantine: Path,
        last_day: str | None,
    ) -> str | None:
        """Put a block's rows aside and answer the day of the last time read so far."""
        if self.now is None:
            block, self.clock = on_event_clock(block, self.clock, self.max_jump_s)
        ordinals = block.table["seq"].to_numpy() + report.read + 1
        seq = block.table.schema.get_field_index("seq")
        spill.add(block.table.set_column(seq, block.table.schema.field(seq), pa.array(ordinals)))
        identities.add(block.digests, ordinals)
        report.read += block.rows
        report.accepted += block.table.num_rows
        for reason, rows in block.ignored.items():
            _count(report.ignored, reason, rows)
        for refused in block.refused:
            _count(report.quarantined, refused.row.code, 1)
        _quarantine(quarantine, block.refused, last_day)
        return block.last_day or last_day

    # -- what repeats another, and the files without it -------------------------------------------

    def _add_known(self, workers: Workers, identities: Identities, days: Iterable[str]) -> None:
        """The identities of the days the log touches, and of as many to either side as two copies of one
        event can be apart."""
        margin = range(-self.margin_days, self.margin_days + 1)
        around = {(date.fromisoformat(day) + timedelta(days=n)).isoformat() for day in days for n in margin}
        parts = (
            (str(path), group)
            for path in self.lake.ledger_files(around)
            for group in range(pq.read_metadata(path).num_row_groups)
        )
        for digests in workers.in_order(file_digests, parts):
            identities.add(digests, KNOWN)

    def _write(
        self, workers: Workers, days: dict[str, Path], name: str, repeated: RowSet, path: Path
    ) -> list[WrittenDay]:
        repeated.save(path)
        arguments = (
            (str(self.lake.root), day, f"{name}-{number:05d}", str(spill), str(path))
            for number, (day, spill) in enumerate(days.items())
        )
        return list(workers.in_order(write_spilled_day, arguments))

    def _claim(self, written: list[WrittenDay], report: ImportReport, owner: str) -> list[WrittenDay]:
        """Tell the API which of its recent ids are taken, and leave out what was posted to it already.

        This comes last, right before the commit: until then nothing says that the events are known.
        """
        now = self.now if self.now is not None else max(self.ledger.clock() or 0, self.clock or 0)
        oldest = now - self.ledger.settings.id_memory_s * US
        return [self._claim_day(day, oldest, now, report, owner) for day in written if day.file]

    def _claim_day(
        self, day: WrittenDay, oldest: int, now: int, report: ImportReport, owner: str
    ) -> WrittenDay:
        if day.last_event_time < oldest:
            return day
        posted = []
        path = self.lake.root / day.file.path
        for batch in pq.ParquetFile(path).iter_batches(CLAIM_CHUNK, columns=["seq", *Identity._fields]):
            columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
            seqs, *fields = (column.to_pylist() for column in columns)
            events = [Identity(*row) for row in zip(*fields, strict=True)]
            repeated = self.ledger.claim_imported(events, owner, now)
            posted += [seq for seq, again in zip(seqs, repeated, strict=True) if again]
        if not posted:
            return day
        report.duplicates += len(posted)
        without = RowSet.empty(report.read)
        without.add(np.array(posted))
        rows = (pa.Table.from_batches([batch]) for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP_ROWS))
        return write_day(self.lake, day.file.day, path.stem, rows, without)


@contextmanager
def _scratch(lake: Lake) -> Iterator[Path]:
    """A folder for what an import puts aside; one that a killed import left is cleared away."""
    folder = lake.root / ".importing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _committed(written: list[WrittenDay], epoch: int, path: Path) -> Commit:
    days = [day for day in written if day.file]
    return Commit(
        epoch,
        "import",
        tuple(day.file for day in days),
        sum(day.rows for day in days),
        min((day.first_event_time for day in days), default=None),
        max((day.last_event_time for day in days), default=None),
        source_of(path),
    )


def _note_truth(lake: Lake, path: Path) -> None:
    """Where the simulation that wrote the log says what its shoppers were doing; the newest such log's."""
    stages = path.absolute().parent / STAGES
    if stages.exists():
        lake.write_state(TRUTH, {"stages": str(stages)})


def source_of(path: Path) -> str:
    """Where a log came from, for everything that will later be measured on it."""
    simulated = any(path.parent.glob("ground_truth.*"))
    return f"{SIMULATED}{path.name}" if simulated else path.name


def _count(reasons: dict[str, int], reason: str, rows: int) -> None:
    """Reasons that a log makes up itself, such as names of actions, are not counted apart for ever."""
    known = reason in reasons or len(reasons) < MAX_REASONS
    reason = reason if known else "other"
    reasons[reason] = reasons.get(reason, 0) + rows


def _quarantine(path: Path, refused: list[Refused], last_day: str | None) -> None:
    if not refused:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (r.row if r.row.day else msgspec.structs.replace(r.row, day=last_day) for r in refused)
    with path.open("ab") as file:
        file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _nothing(path: Path, report: ImportReport, quarantine: Path) -> str:
    if not report.quarantined:
        why = ", ".join(f"{reason} {rows}" for reason, rows in report.ignored.items())
        return f"{path}: none of its {report.read} rows is a shopper's event as {report.format}: {why}"
    return (
        f"{path}: none of its {report.read} rows could be read as {report.format}; "
        f"the reasons are in {quarantine}"
    )


def _finished(
    report: ImportReport, written: list[WrittenDay], commit: Commit, quarantine: Path
) -> ImportReport:
    report.purchases_without_price = sum(day.purchases_without_price for day in written)
    if commit.rows:
        report.first_event_time = rfc3339(commit.first_event_time)
        report.last_event_time = rfc3339(commit.last_event_time)
    if report.quarantined:
        report.quarantine_file = str(quarantine)
    return report


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
