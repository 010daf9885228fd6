"""What an import does to a part of a log or of the lake, in whatever process has the time.

A block of lines becomes ledger rows past the door, the spilled rows of a day become its ledger file, a
ledger file's identities become digests. Each function takes and gives plain data, and keeps no state.
"""

import gc
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.events import DoorPolicy, LedgerEvent, Refusal, admit, to_us
from online_api.keys import shard_of
from spark_jobs.identities import RowSet, identity_digests
from spark_jobs.importers import BadRow, Block, IgnoredRow, Log, ParsedRow, parser_of
from spark_jobs.lake import Lake, LedgerFile, day_of
from spark_jobs.ledger_files import Position, ledger_table, spilled_rows, write_ledger_file


class Reading(msgspec.Struct, frozen=True):
    """How the blocks of one log are read. `latest_arrival`: None where time is the newest event's."""

    log: Log
    policy: DoorPolicy
    shards: int
    epoch: int
    latest_arrival: int | None


class Quarantined(msgspec.Struct, frozen=True):
    """A line of the quarantine. `day`: the UTC day of the row's event time if that can be read, else of
    the nearest row before it whose time can."""

    line: int
    code: str
    reason: str
    raw: str
    day: str | None = None


class Refused(NamedTuple):
    """`arrived`: where the row was read and the door refused it."""

    ordinal: int
    arrived: int | None
    row: Quarantined


class Admitted(NamedTuple):
    """What a block gave. Rows are numbered from 0 within it: `seq` of `table`, `ordinal` of `refused`.

    `lines`: of the rows of `table`; `digests`: of their identities; `last_day`: of the last time read.
    """

    rows: int
    table: pa.Table
    lines: np.ndarray
    digests: np.ndarray
    refused: list[Refused]
    ignored: dict[str, int]
    last_day: str | None


def admit_block(reading: Reading, block: Block) -> Admitted:
    parse, policy, latest = parser_of(reading.log).rows, reading.policy, reading.latest_arrival
    events: list[LedgerEvent] = []
    ordinals: list[int] = []
    lines: list[int] = []
    refused: list[Refused] = []
    ignored: Counter[str] = Counter()
    ordinal, last_time = -1, None
    for ordinal, row in enumerate(parse(block.lines(), block.first_line)):
        if isinstance(row, IgnoredRow):
            ignored[row.reason] += 1
        elif isinstance(row, BadRow):
            last_time = last_time if row.event_time is None else row.event_time
            day = None if last_time is None else day_of(last_time)
            refused.append(Refused(ordinal, None, Quarantined(row.line, row.code, row.reason, row.raw, day)))
        else:
            last_time = claimed = to_us(row.event.event_time)
            received = claimed if row.received_at is None else row.received_at
            stamped = _stamp(row, received, policy, latest)
            if isinstance(stamped, Refusal):
                raw = msgspec.json.encode(row.event).decode()
                why = Quarantined(row.line, stamped.code, stamped.message, raw, day_of(claimed))
                refused.append(Refused(ordinal, received, why))
            else:
                events.append(stamped)
                ordinals.append(ordinal)
                lines.append(row.line)
    shards, epoch = reading.shards, reading.epoch
    placed = [
        (e, Position(shard_of(e.user_id, shards), n, epoch)) for e, n in zip(events, ordinals, strict=True)
    ]
    return Admitted(
        ordinal + 1,
        ledger_table(placed),
        np.array(lines, dtype=np.int64),
        identity_digests((e.user_id, e.event_id) for e in events),
        refused,
        dict(ignored),
        None if last_time is None else day_of(last_time),
    )


def _stamp(
    row: ParsedRow, received: int, policy: DoorPolicy, latest_arrival: int | None
) -> LedgerEvent | Refusal:
    """An imported log is taken to have arrived as it happened, unless it says when it did."""
    if latest_arrival is not None and received > latest_arrival:
        return Refusal("too_far_ahead", "the row is from the future: check its clock", "event_time")
    return admit(row.event, received, policy)


class WrittenDay(NamedTuple):
    """A ledger file, or none where no row was left, and what a report says of its rows."""

    file: LedgerFile | None
    rows: int
    purchases_without_price: int
    first_event_time: int | None
    last_event_time: int | None


def write_day(lake: Lake, day: str, name: str, rows: Iterable[pa.Table], repeated: RowSet) -> WrittenDay:
    """The day's ledger file, of the rows whose `seq` is not among the repeated."""
    counted: list[tuple[int, int, int, int]] = []

    def kept() -> Iterator[pa.Table]:
        for table in rows:
            table = table.filter(pa.array(~repeated.has(table["seq"].to_numpy())))
            if table.num_rows:
                counted.append(_counts(table))
                yield table

    file = write_ledger_file(lake, day, name, kept())
    if not counted:
        (lake.root / file.path).unlink()
        return WrittenDay(None, 0, 0, None, None)
    numbers, unpriced, first, last = zip(*counted, strict=True)
    return WrittenDay(file, sum(numbers), sum(unpriced), min(first), max(last))


def write_spilled_day(lake_root: str, day: str, name: str, spill: str, repeated: str) -> WrittenDay:
    rows = spilled_rows(Path(spill))
    return write_day(Lake(lake_root), day, name, rows, RowSet.load(Path(repeated)))


def _counts(table: pa.Table) -> tuple[int, int, int, int]:
    unpriced = pc.and_(pc.equal(table["event_type"], "purchase"), pc.is_null(table["price"]))
    bounds = pc.min_max(table["event_time"].cast(pa.int64())).as_py()
    return table.num_rows, pc.sum(unpriced).as_py() or 0, bounds["min"], bounds["max"]


def file_digests(path: str, row_group: int) -> np.ndarray:
    """Digests of the identities in a part of a ledger file."""
    columns = pq.ParquetFile(path).read_row_group(row_group, columns=["user_id", "event_id"])
    users, events = (columns[name].to_pylist() for name in ("user_id", "event_id"))
    return identity_digests(zip(users, events, strict=True))


# -- processes ------------------------------------------------------------------------------------


class Workers:
    """Processes that share out work; with fewer than two, this one does it all."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self._processes > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=_begin)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def in_order(self, function: Callable, arguments: Iterable[tuple]) -> Iterator:
        """The function's answers, in the order of the arguments, of which few are taken ahead."""
        if self._pool is None:
            yield from (function(*one) for one in arguments)
            return
        arguments = iter(arguments)
        ahead = deque(self._pool.submit(function, *one) for one in islice(arguments, 2 * self._processes))
        while ahead:
            answer = ahead.popleft().result()
            ahead.extend(self._pool.submit(function, *one) for one in islice(arguments, 1))
            yield answer


def _begin() -> None:
    """A worker lives as long as its parent and leaves Ctrl-C to it. Its rows form no cycles to look for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(200_000, 50, 50)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
