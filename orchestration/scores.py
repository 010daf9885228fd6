"""Scores and corrections from Redis into the lake: nothing twice, nothing left out, whatever is killed when.

Rows join a day's files by their id, and the stream is trimmed only behind them. So a landing cut short is
repeated by the next, and what it had already added is recognised.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from models.utterance.dataset import Correction
from online_api.epochs import BlockingLedger
from online_api.feedback import FeedbackRecord
from online_api.score_log import ScoreRecord
from spark_jobs.day_files import append_new, day_files, known_keys, newest_rows
from spark_jobs.lake import Lake, day_of

SCORES, FEEDBACK = "score_log", "feedback"
AT_ONCE = 20_000
"""Records that are held in memory, and added to the lake together."""

_TIME = pa.timestamp("us", "UTC")
_SCORE_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("score_id", pa.string()),
    ("as_of", _TIME),
    ("user_id", pa.string()),
    ("session_id", pa.string()),
    ("scenario", pa.string()),
    ("release", pa.string()),
    ("definitions_hash", pa.string()),
    ("encoder_revision", pa.string()),
    # The references, joined by spaces: one entry of a file's dictionary, however many rows it has.
    ("features", pa.dictionary(pa.int32(), pa.string())),
    # MessagePack of [values, used], exact.
    ("inputs", pa.binary()),
    ("covered_epoch", pa.int64()),
    ("live_epoch", pa.int64()),
    ("live_seq", pa.int64()),
    ("as_of_exact", pa.bool_()),
    ("live", pa.bool_()),
    ("degraded", pa.bool_()),
    ("purchase", pa.float64()),
    ("add_to_cart", pa.float64()),
    ("leave", pa.float64()),
    ("stage", pa.string()),
    ("stage_probabilities", pa.map_(pa.string(), pa.float64())),
    ("intent", pa.string()),
    ("intent_confidence", pa.float64()),
    ("ledger_shard", pa.int64()),
    ("ledger_epoch", pa.int64()),
    ("ledger_seq", pa.int64()),
    ("session_epoch", pa.int64()),
    ("session_seq", pa.int64()),
    ("scored_at", pa.int64()),
)
SCORE_SCHEMA = pa.schema(_SCORE_FIELDS)
FEEDBACK_SCHEMA = pa.schema(
    [
        ("feedback_id", pa.string()),
        ("received_at", _TIME),
        ("text", pa.string()),
        ("intent", pa.string()),
        ("source", pa.string()),
        ("user_id", pa.string()),
        ("score_id", pa.string()),
        ("release", pa.string()),
    ]
)


class Landed(msgspec.Struct, frozen=True):
    """`repeats`: records whose id the lake had already."""

    rows: int
    repeats: int
    days: tuple[str, ...]


class _Stream(NamedTuple):
    """How records of one kind become rows: `day` of a record, `table` of many, named by `key`."""

    name: str
    key: str
    day: Callable[[Any], str]
    table: Callable[[Sequence[Any]], pa.Table]


def land_scores(ledger: BlockingLedger, lake: Lake) -> Landed:
    """By the day of `as_of`. A record is written to the stream twice at most seconds apart, and both have
    one `as_of`: ids are compared within the day."""
    stream = _Stream(SCORES, "score_id", lambda r: day_of(r.as_of), score_table)
    return _land(lake, stream, ledger.scores, ledger.trim_scores, lambda day: None)


def land_feedback(ledger: BlockingLedger, lake: Lake) -> Landed:
    """By the day it was received. An id may come again after Redis has forgotten it: ids are compared with
    the whole table, which people write and is small."""
    stream = _Stream(FEEDBACK, "feedback_id", lambda r: day_of(r.received_at), feedback_table)

    def known(day: str) -> pa.Array:
        files = (file for part in lake.parts(FEEDBACK) for file in day_files(lake, FEEDBACK, part))
        return known_keys(files, stream.key)

    return _land(lake, stream, ledger.feedback, ledger.trim_feedback, known)


def _land(
    lake: Lake,
    stream: _Stream,
    read: Callable[[], Iterator[list[tuple[str, Any]]]],
    trim: Callable[[str], int],
    known: Callable[[str], pa.Array | None],
) -> Landed:
    added, seen, days = 0, 0, set()
    with lake.exclusive(stream.name):
        entries = (entry for chunk in read() for entry in chunk)
        while together := list(islice(entries, AT_ONCE)):
            by_day: dict[str, list[Any]] = {}
            for _, record in together:
                by_day.setdefault(stream.day(record), []).append(record)
            for day, records in sorted(by_day.items()):
                rows = stream.table(records)
                added += append_new(lake, stream.name, day, rows, stream.key, known(day))
            trim(together[-1][0])
            seen += len(together)
            days |= by_day.keys()
    return Landed(added, seen - added, tuple(sorted(days)))


def score_table(records: Sequence[ScoreRecord]) -> pa.Table:
    columns = {f.name: _SCORE_COLUMNS.get(f.name, attrgetter(f.name)) for f in SCORE_SCHEMA}
    return pa.table({f.name: pa.array([columns[f.name](r) for r in records], f.type) for f in SCORE_SCHEMA})


def feedback_table(records: Sequence[FeedbackRecord]) -> pa.Table:
    return pa.table(
        {f.name: pa.array([getattr(r, f.name) for r in records], f.type) for f in FEEDBACK_SCHEMA}
    )


def _probability(target: str) -> Callable[[ScoreRecord], float]:
    return lambda record: record.behavior[target]


_SCORE_COLUMNS: dict[str, Callable[[ScoreRecord], Any]] = {
    "features": lambda r: " ".join(r.features),
    "inputs": lambda r: msgspec.msgpack.encode([r.values, r.used]),
    "stage_probabilities": lambda r: list((r.stage_probabilities or {}).items()),
    **{target: _probability(target) for target in ("purchase", "add_to_cart", "leave")},
}


class _Inputs(msgspec.Struct, array_like=True):
    values: list[int | float | bytes | None]
    used: list[bool]


_inputs_decoder = msgspec.msgpack.Decoder(_Inputs)


def score_records(rows: pa.Table) -> list[ScoreRecord]:
    """The records that became these rows."""
    records = []
    plain = rows.set_column(
        rows.schema.get_field_index("as_of"), "as_of", rows["as_of"].cast(pa.int64())
    ).to_pylist()
    for row in plain:
        inputs = _inputs_decoder.decode(row["inputs"])
        derived = {
            "features": tuple(row["features"].split(" ")),
            "values": inputs.values,
            "used": inputs.used,
            "behavior": {target: row[target] for target in ("purchase", "add_to_cart", "leave")},
            "stage_probabilities": dict(row["stage_probabilities"] or []) or None,
        }
        names = ScoreRecord.__struct_fields__
        records.append(ScoreRecord(**{n: derived[n] if n in derived else row.get(n) for n in names}))
    return records


def corrections(lake: Lake) -> list[Correction]:
    """Every correction that has landed."""
    found = []
    for day in lake.parts(FEEDBACK):
        for path in day_files(lake, FEEDBACK, day):
            rows = pq.read_table(path, columns=["text", "intent", "received_at"], partitioning=None)
            columns = (rows["text"], rows["intent"], rows["received_at"].cast(pa.int64()))
            found += map(Correction, *(column.to_pylist() for column in columns))
    return found


def newest_scores(ledger: BlockingLedger, lake: Lake, count: int) -> list[ScoreRecord]:
    """The newest scores, oldest first: those still in Redis and, before them, those of the lake's newest
    days."""
    waiting: dict[str, ScoreRecord] = {}
    for chunk in ledger.scores():
        for _, record in chunk:
            waiting[record.score_id] = record
    records = list(waiting.values())[-count:]
    for piece in newest_rows(lake, SCORES) if len(records) < count else ():
        older = [r for r in score_records(piece) if r.score_id not in waiting]
        records = [*older, *records][-count:]
        if len(records) == count:
            break
    return records
