"""What Redis holds of a shopper: `make bench-memory`, with DAYS=8 EVENTS=200000.

Simulated days go through the ledger's own scripts into an empty Redis. Nothing is landed or materialized
meanwhile, so everything counts as live: the most that so many days can cost. Prints, of each kind of key, the
bytes that Redis reports by shopper, and as JSON the sum.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import redis

from feature_repo.behavior import ACTIVITIES, DEFINITIONS_HASH
from feature_repo.events import Event, LedgerEvent, admit, to_us
from online_api.connection import BlockingRedis
from online_api.ledger import append
from online_api.settings import Settings
from spark_jobs.simulation import simulate, users_for
from tests.online_api.redis_process import redis_process

BATCH_EVENTS = 100
KINDS = {
    "ids of events": "ids",
    "sessions": "s",
    "event log": "log",
    **{f"live tiles, {activity.noun}": activity.name for activity in ACTIVITIES},
}
OTHER = "bookkeeping"


def arrivals(events: int, days: int, folder: Path, settings: Settings) -> list[LedgerEvent]:
    """In order of arrival, the last of them a moment ago, each event once."""
    start = datetime.now(UTC).date() - timedelta(days=days)
    simulate(users_for(events, days), days, 7, folder, start=start)
    found: dict[str, LedgerEvent] = {}
    with (folder / "events.jsonl").open("rb") as log:
        for line in log:
            sent = msgspec.json.decode(line)
            received_at = to_us(datetime.fromisoformat(sent.pop("received_at")))
            event = admit(msgspec.convert(sent, Event), received_at, settings.door)
            found.setdefault(event.event_id, event)
    return sorted(found.values(), key=lambda event: event.received_at)


def kind_of(key: str) -> str:
    """`intent:{shard}:<kind>:...`, of live keys after the definitions' hash."""
    parts = key.split(":")
    name = parts[3] if parts[2] == DEFINITIONS_HASH else parts[2]
    return next((kind for kind, told_by in KINDS.items() if told_by == name), OTHER)


def measured(events: int, days: int, folder: Path) -> dict[str, object]:
    with redis_process(folder) as url:
        settings = Settings(state=folder, lake=folder / "lake", redis_url=url)
        sent = arrivals(events, days, folder, settings)
        blocking = BlockingRedis(url)
        for first in range(0, len(sent), BATCH_EVENTS):
            blocking.do(append(sent[first : first + BATCH_EVENTS], settings))
        blocking.close()
        held: Counter[str] = Counter()
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter("intent:{*", 1_000):
                held[kind_of(key.decode())] += client.memory_usage(key, samples=0)
    shoppers = len({event.user_id for event in sent})
    return {
        "days": days,
        "events": len(sent),
        "shoppers": shoppers,
        "events_per_shopper": round(len(sent) / shoppers, 1),
        "bytes_per_shopper": {kind: round(size / shoppers) for kind, size in held.most_common()},
        "bytes_per_shopper_in_all": round(held.total() / shoppers),
    }


def main() -> None:
    days, events = int(os.environ.get("DAYS") or 8), int(os.environ.get("EVENTS") or 200_000)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(events, days, Path(folder))
    for kind, size in found["bytes_per_shopper"].items():
        print(f"{kind:36}{size:10,} B a shopper", file=sys.stderr)
    print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
