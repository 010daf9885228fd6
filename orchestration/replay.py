"""The lake's events into a running API, as a client: in order of arrival, as fast as asked."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import msgspec
import pyarrow.parquet as pq

from feature_repo.events import rfc3339, to_us
from feature_repo.windows import US
from spark_jobs.lake import Lake, day_of

BATCH_EVENTS = 100
SENT = (
    "event_id", "user_id", "event_type", "session_id", "item_id", "category", "brand", "price",
    "currency", "quantity", "query", "text", "scenario", "consent", "device",
)  # fmt: skip


class Replayed(msgspec.Struct):
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = {}
    seconds: float = 0.0


def replay(lake: Lake, url: str, first: str | None, last: str | None, speed: float) -> Replayed:
    """Send the events of `[first, last)`; `speed` times as fast as they happened, 0: without waiting."""
    start, end = instant(first, 0), instant(last, 2**62)
    done, began, origin = Replayed(), time.monotonic(), None
    with httpx.Client(base_url=url, timeout=30) as client:
        for batch in batches(lake, start, end):
            if speed > 0:
                origin = batch[0][0] if origin is None else origin
                time.sleep(max(0.0, (batch[0][0] - origin) / US / speed - (time.monotonic() - began)))
            answer = client.post("/v1/events", json={"events": [event for _, event in batch]})
            answer.raise_for_status()
            count(done, len(batch), answer.json())
    done.seconds = round(time.monotonic() - began, 3)
    return done


def count(done: Replayed, sent: int, answer: dict) -> None:
    done.sent += sent
    done.accepted += answer["accepted"]
    done.duplicates += answer["duplicates"]
    for refusal in answer["rejected"]:
        done.rejected[refusal["code"]] = done.rejected.get(refusal["code"], 0) + 1


def instant(text: str | None, otherwise: int) -> int:
    """Microseconds of a day or an RFC 3339 time; times without a zone are UTC."""
    if text is None:
        return otherwise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is neither a day such as 2019-10-01 nor an RFC 3339 time") from None
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def batches(lake: Lake, start: int, end: int) -> Iterator[list[tuple[int, dict]]]:
    """Events by time of arrival within each day, in batches; a day at a time is held in memory."""
    for day in lake.ledger_days():
        if not day_of(start) <= day <= day_of(min(end, 2**52)):
            continue
        rows = pq.read_table(lake.ledger_files([day])).sort_by(
            [("received_at", "ascending"), ("seq", "ascending")]
        )
        chosen = []
        for row in rows.to_pylist():
            arrival = to_us(row["received_at"])
            if start <= arrival < end:
                event = {name: row[name] for name in SENT if row[name] is not None}
                chosen.append((arrival, {**event, "event_time": rfc3339(to_us(row["claimed_time"]))}))
        for i in range(0, len(chosen), BATCH_EVENTS):
            yield chosen[i : i + BATCH_EVENTS]
