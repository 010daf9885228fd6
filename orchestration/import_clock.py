"""An import when time is the newest event's: which rows are too far ahead of those before them."""

import msgspec
import numpy as np
import pyarrow as pa

from feature_repo.events import Event, Refusal, arrival_on_event_clock, rfc3339
from orchestration.import_blocks import Admitted, Quarantined, Refused
from spark_jobs.lake import day_of

_TIMES = ("event_time", "claimed_time", "received_at")


def on_event_clock(block: Admitted, clock: int | None, max_jump_s: int) -> tuple[Admitted, int | None]:
    """The block without such rows, which are refused, and where the others have moved the clock.

    A row that the door refused does not move the clock, but may be refused for being ahead instead.
    """
    rows = zip(
        block.table["seq"].to_pylist(),
        block.table["received_at"].cast(pa.int64()).to_pylist(),
        range(block.table.num_rows),
        strict=True,
    )
    turned_away = [(r.ordinal, r.arrived, None) for r in block.refused if r.arrived is not None]
    if turned_away:
        rows = sorted([*rows, *turned_away], key=lambda row: row[0])
    refused = {r.ordinal: r for r in block.refused}
    keep = np.ones(block.table.num_rows, dtype=bool)
    for ordinal, arrived, index in rows:
        moved = arrival_on_event_clock(clock, arrived, max_jump_s)
        if isinstance(moved, Refusal):
            row = _as_quarantined(block, index) if index is not None else refused[ordinal].row
            row = msgspec.structs.replace(row, code=moved.code, reason=moved.message)
            refused[ordinal] = Refused(ordinal, arrived, row)
            keep[index if index is not None else []] = False
        elif index is not None:
            clock = moved
    if len(refused) == len(block.refused) and keep.all():
        return block._replace(refused=list(refused.values())), clock
    kept = block._replace(
        table=block.table.filter(pa.array(keep)),
        lines=block.lines[keep],
        digests=block.digests[keep],
        refused=[refused[ordinal] for ordinal in sorted(refused)],
    )
    return kept, clock


def _as_quarantined(block: Admitted, index: int) -> Quarantined:
    """The row as an event again, what the door had filled in included."""
    (row,) = block.table.slice(index, 1).cast(_with_integer_times(block.table.schema)).to_pylist()
    fields = {name: row[name] for name in Event.__struct_fields__ if row[name] is not None}
    fields["event_time"] = rfc3339(row["claimed_time"])
    raw = msgspec.json.encode(fields).decode()
    return Quarantined(int(block.lines[index]), "", "", raw, day_of(row["claimed_time"]))


def _with_integer_times(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, pa.int64()) if f.name in _TIMES else f for f in schema])
