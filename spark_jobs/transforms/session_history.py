"""The features of a client session after each of its events."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.behavior import SESSION_ACTIVITY, SESSION_AGGREGATES
from feature_repo.sequence import SEQUENCE_STATISTICS, SessionSequence
from spark_jobs.transforms.contributions import (
    AT,
    SESSION_AGGREGATE_NAMES,
    SESSION_KEYS,
    STEP,
    micros,
    session_contributions,
    session_merged,
)

INSTANT = [*SESSION_KEYS, AT]
SPARK_TYPES = {"int64": "bigint", "float64": "double"}
AGGREGATED = [*INSTANT, *SESSION_AGGREGATE_NAMES]
STATISTICS = pa.schema([(s.name, s.dtype) for s in SEQUENCE_STATISTICS])
SEQUENCED = ", ".join(
    (
        *(f"{key} string" for key in SESSION_KEYS),
        *(f"{name} bigint" for name in (AT, *SESSION_AGGREGATE_NAMES)),
        *(f"{s.name} {SPARK_TYPES[s.dtype]}" for s in SEQUENCE_STATISTICS),
    )
)


def session_rows(events: DataFrame, tiles: DataFrame, first_us: int) -> DataFrame:
    """Rows of user_id, session_id, event_timestamp and SESSION_ACTIVITY at each instant of
    `events`.

    `tiles` are the session tiles of the days before `first_us`, from which `events` begin.
    """
    recent = session_contributions(events.where(F.unix_micros("event_time") >= first_us))
    going_on = recent.select(*SESSION_KEYS).distinct()
    before = tiles.where(F.unix_micros("start") < first_us).select(
        *SESSION_KEYS, F.unix_micros("start").alias(AT), *SESSION_AGGREGATE_NAMES, "steps"
    )
    history = recent.withColumn("steps", F.array(STEP)).drop(STEP)
    so_far = Window.partitionBy(*SESSION_KEYS).orderBy(AT)
    return (
        history.unionByName(before.join(going_on, SESSION_KEYS, "left_semi"))
        .select(
            *INSTANT, *(session_merged(a).over(so_far).alias(a.name) for a in SESSION_AGGREGATES), "steps"
        )
        .repartition(*SESSION_KEYS)  # as the window has left them: neither costs anything
        .sortWithinPartitions(*INSTANT)
        .mapInArrow(with_sequence, SEQUENCED)
        .where(F.col(AT) >= first_us)
        .withColumn("event_timestamp", micros(AT))
        .withColumn("session_duration_s", duration_s())
        .select(*SESSION_KEYS, "event_timestamp", *(f.name for f in SESSION_ACTIVITY))
    )


def duration_s():
    length_us = F.col("session_last_event_us") - F.col("session_first_event_us")
    return length_us.cast("double") / F.lit(1_000_000.0)


def with_sequence(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For `mapInArrow` over AGGREGATED and `steps`, whole sessions in order of time: one row an instant,
    with the SEQUENCE_STATISTICS of the session's steps up to and including it.

    Rows of one instant carry the same aggregates, and their steps in any order.
    """
    followed, held = _Followed(), None
    for batch in batches:
        rows = pa.Table.from_batches([batch] if held is None else [held, batch]).combine_chunks()
        if rows.num_rows == 0:
            continue
        ends = _ends_of_instants(rows)
        # what the last instant is, only the next batch can say
        last = int(ends[-2]) + 1 if len(ends) > 1 else 0
        if last:
            yield followed.rows(rows.slice(0, last), ends[:-1])
        (held,) = rows.slice(last).combine_chunks().to_batches()
    if held is not None:
        yield followed.rows(pa.Table.from_batches([held]), np.array([held.num_rows - 1]))


def _ends_of_instants(rows: pa.Table) -> np.ndarray:
    """Positions of each instant's last row."""
    changes = np.zeros(rows.num_rows - 1, dtype=bool)
    for name in INSTANT:
        column = rows.column(name)
        changes |= pc.not_equal(column.slice(1), column.slice(0, rows.num_rows - 1)).to_numpy()
    return np.append(np.flatnonzero(changes), rows.num_rows - 1)


class _Followed:
    """The session that the rows are in, from one batch to the next."""

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._sequence = SessionSequence()

    def rows(self, rows: pa.Table, ends: np.ndarray) -> pa.RecordBatch:
        """`rows` end with an instant; `ends` are the positions of the last row of each."""
        steps = rows.column("steps").combine_chunks()
        lengths = pc.list_value_length(steps).to_numpy()
        last_steps = np.cumsum(lengths)[ends].tolist()
        flat = pc.list_flatten(steps)
        fields = [pc.struct_field(flat, name).to_pylist() for name in ("at_us", "event_type", "item")]
        ended = rows.select(AGGREGATED).take(pa.array(ends))
        keys = zip(*(ended.column(name).to_pylist() for name in SESSION_KEYS), strict=True)
        flat_steps = list(zip(*fields, strict=True))
        values, first = [], 0
        for key, last in zip(keys, last_steps, strict=True):
            if key != self._key:
                self._key, self._sequence = key, SessionSequence()
            for step in sorted(flat_steps[first:last]):
                self._sequence.push(step)
            first = last
            values.append(self._sequence.values())
        columns = [
            pa.array(column, kind)
            for column, kind in zip(zip(*values, strict=True), STATISTICS.types, strict=True)
        ]
        (batch,) = ended.combine_chunks().to_batches()
        return pa.RecordBatch.from_arrays(
            [*batch.columns, *columns], names=[*batch.schema.names, *STATISTICS.names]
        )
