"""Sessions out of clean events, as the stage model sees them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.sequence import Step, newest_steps, step_of
from feature_repo.windows import DAY_US

COLUMNS = (
    "user_id",
    "session_key",
    "event_id",
    "event_time",
    "event_type",
    "item_id",
    "personal",
    "is_bot",
)
BOUGHT_BEFORE_US = 7 * DAY_US
_SHARES = 10_000


class StageSession(NamedTuple):
    """`event_ids` go with `steps`, which are the newest of the session, in order. `bought_before`: in the
    days before the session."""

    user_id: str
    session_id: str
    steps: list[Step]
    event_ids: list[str]
    bought_before: bool

    @property
    def begins_at_us(self) -> int:
        return self.steps[0].at_us


def read_sessions(files: Sequence[Path], max_events: int) -> list[StageSession]:
    """Sessions of people, by their beginning, out of Parquet files of clean events (COLUMNS).

    Where there are more than `max_events` events, of as many shoppers, chosen by a hash of their ids, as
    give about that number.
    """
    total = sum(pq.read_metadata(file).num_rows for file in files)
    share = min(1.0, max_events / max(1, total))
    tables = [_of_people(pq.read_table(f, columns=list(COLUMNS), partitioning=None), share) for f in files]
    if not tables:
        return []
    return sessions_of(pa.concat_tables(tables).to_pandas())


def sessions_of(events: pd.DataFrame) -> list[StageSession]:
    """Sessions, by their beginning, of events with COLUMNS; those of one shopper are all there."""
    found: list[StageSession] = []
    at_us = events["event_time"].astype("datetime64[us, UTC]").astype("int64")
    rows = zip(
        events["user_id"],
        events["session_key"],
        at_us,
        events["event_type"],
        events["item_id"],
        events["event_id"],
        strict=True,
    )
    by_shopper: dict[str, dict[str, list[tuple[Step, str]]]] = {}
    for user_id, session_id, at, event_type, item_id, event_id in rows:
        item = None if pd.isna(item_id) else item_id
        of_session = by_shopper.setdefault(user_id, {}).setdefault(session_id, [])
        of_session.append((step_of(at, event_type, item), event_id))
    for user_id, sessions in by_shopper.items():
        found += _of_shopper(user_id, sessions)
    return sorted(found, key=lambda s: (s.begins_at_us, s.user_id, s.session_id))


def _of_shopper(user_id: str, sessions: dict[str, list[tuple[Step, str]]]) -> Iterator[StageSession]:
    purchase = step_of(0, "purchase", None).event_type
    bought = {
        session_id: [step.at_us for step, _ in steps if step.event_type == purchase]
        for session_id, steps in sessions.items()
    }
    for session_id, steps in sessions.items():
        kept = newest_steps(steps)
        first = kept[0][0].at_us
        before = any(
            first - BOUGHT_BEFORE_US <= at < first
            for other, times in bought.items()
            if other != session_id
            for at in times
        )
        yield StageSession(user_id, session_id, [s for s, _ in kept], [e for _, e in kept], before)


def _of_people(events: pa.Table, share: float) -> pa.Table:
    people = events.filter(pc.field("personal") & ~pc.field("is_bot"))
    if share < 1.0:
        shoppers = pc.unique(people.column("user_id")).to_pylist()
        chosen = [u for u in shoppers if crc32(u.encode()) % _SHARES < share * _SHARES]
        people = people.filter(pc.is_in(people.column("user_id"), pa.array(chosen, pa.string())))
    return people
