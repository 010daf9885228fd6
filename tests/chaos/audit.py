"""What is in the lake and what is served, against a count of the events that were answered with 200."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import httpx
import msgspec
import pyarrow.parquet as pq

from feature_repo.behavior import (
    ACTIVITIES,
    ITEM_ACTIVITY,
    SESSION_ACTIVITY,
    USER_ACTIVITY,
    USER_CATEGORY_ACTIVITY,
)
from feature_repo.events import MAX_BATCH_EVENTS, DoorPolicy, Event, LedgerEvent, admit, rfc3339, to_us
from feature_repo.feature import Feature
from online_api import keys
from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.settings import Settings
from online_api.wire import MAX_ENTITIES
from orchestration.landing import land
from spark_jobs.lake import Lake
from tests.oracle import brute_force

PATIENCE_S = 60
TIMES = ("event_time", "claimed_time", "received_at")

Identity = tuple[str, str]
Row = Mapping[str, object]


class Audit:
    """`batches`: everything answered with 200, of each shopper in the order in which it was sent."""

    def __init__(self, settings: Settings, url: str, batches: Iterable[Sequence[dict]]) -> None:
        self._settings, self._url = settings, url
        self._sent = list(chain.from_iterable(batches))
        self.first: dict[Identity, dict] = {}
        for event in self._sent:
            self.first.setdefault((event["user_id"], event["event_id"]), event)

    def mismatches(self) -> Iterator[str]:
        lake, redis = Lake(self._settings.lake), BlockingRedis(self._settings.redis_url)
        ledger = BlockingLedger(redis, self._settings)
        if rows := land(ledger, lake).rows:
            yield f"{rows} events were left to land"
        yield from self._in_the_lake(lake)
        yield from self._pending(redis)
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as api:
            yield from self._sent_again(api)
            yield from self._served(api)
        if rows := land(ledger, lake).rows:
            yield f"{rows} events landed after everything was sent again"
        redis.close()

    def _in_the_lake(self, lake: Lake) -> Iterator[str]:
        rows = [row for path in lake.ledger_files() for row in pq.read_table(path).to_pylist()]
        landed = Counter((row["user_id"], row["event_id"]) for row in rows)
        yield from (f"{identity} is {n} times in the lake" for identity, n in landed.items() if n > 1)
        yield from (f"{identity} is not in the lake" for identity in self.first if identity not in landed)
        yield from (f"{identity} was never sent" for identity in landed if identity not in self.first)
        yield from (f"the lake has {row}" for row in rows if not self._is_as_sent(row))
        yield from gaps(rows)

    def _is_as_sent(self, row: Row) -> bool:
        sent = self.first.get((row["user_id"], row["event_id"]))
        found = LedgerEvent(*(to_us(row[n]) if n in TIMES else row[n] for n in LedgerEvent.__struct_fields__))
        return sent is None or found == stamped(sent, found.received_at)

    def _pending(self, redis: BlockingRedis) -> Iterator[str]:
        for shard in range(self._settings.shards):
            (fields,) = redis.run([("HKEYS", keys.pending(shard))])
            yield from (f"batch {field.decode()} of shard {shard} is still pending" for field in fields)

    def _sent_again(self, api: httpx.Client) -> Iterator[str]:
        for events in parts(self._sent, MAX_BATCH_EVENTS):
            answer = api.post("/v1/events", json={"events": events}).raise_for_status().json()
            if answer["duplicates"] != len(events):
                yield f"{len(events)} events sent again were answered with {answer}"

    def _served(self, api: httpx.Client) -> Iterator[str]:
        as_of = time.time_ns() // 1_000
        events = [stamped(event, as_of) for event in self.first.values()]
        users = grouped(events, ("user_id",))
        items = grouped((e for e in events if e.item_id), ("item_id",))
        tastes = grouped((e for e in events if e.category), ("user_id", "category"))
        sessions = grouped((e for e in events if e.session_id), ("user_id", "session_id"))
        for names, features, groups in (
            (("user_id",), USER_ACTIVITY, users),
            (("item_id",), ITEM_ACTIVITY, items),
            (("user_id", "category"), USER_CATEGORY_ACTIVITY, tastes),
            (("user_id", "session_id"), SESSION_ACTIVITY, sessions),
        ):
            for entities in parts(sorted(groups), MAX_ENTITIES):
                served = asked(api, names, entities, features, as_of)
                for entity in entities:
                    expected = counted(names, entity, groups[entity], as_of)
                    yield from differences(entity, served[entity], expected)


def stamped(event: dict, received_at: int) -> LedgerEvent:
    return admit(msgspec.convert(event, Event), received_at, DoorPolicy())


def gaps(rows: Iterable[Row]) -> Iterator[str]:
    """Every sequence number of a shard belongs to one event that has landed."""
    by_shard = defaultdict(list)
    for row in rows:
        by_shard[row["shard"]].append(row["seq"])
    for shard, found in sorted(by_shard.items()):
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"the {len(found)} events of shard {shard} are not numbered from 1 on without a gap"


def uncommitted_files(lake: Lake) -> int:
    return len(set(lake.root.glob("ledger/day=*/*")) - set(lake.ledger_files()))


def grouped(events: Iterable[LedgerEvent], names: tuple[str, ...]) -> dict[tuple, list[LedgerEvent]]:
    groups = defaultdict(list)
    for event in events:
        groups[tuple(getattr(event, name) for name in names)].append(event)
    return groups


def asked(
    api: httpx.Client,
    names: tuple[str, ...],
    entities: list[tuple],
    features: tuple[Feature, ...],
    as_of: int,
) -> dict[tuple, dict]:
    """What the API answers of each entity."""
    body = {
        "features": [feature.reference for feature in features],
        "entities": dict(zip(names, zip(*entities, strict=True), strict=True)),
        "as_of": rfc3339(as_of),
    }
    results = api.post("/v1/features", json=body).raise_for_status().json()["results"]
    rows = zip(*(result["values"] for result in results), strict=True)
    values = (dict(zip((f.name for f in features), row, strict=True)) for row in rows)
    return dict(zip(entities, values, strict=True))


def counted(names: tuple[str, ...], entity: tuple, events: list[LedgerEvent], as_of: int) -> dict:
    if "session_id" in names:
        return brute_force.session_features(events, *entity, as_of)
    activity = next(a for a in ACTIVITIES if a.keys == names)
    return brute_force.window_values(events, activity, entity, as_of)


def differences(entity: tuple, served: dict, expected: dict) -> Iterator[str]:
    for name in sorted(served.keys() | expected.keys()):
        if served.get(name) != expected.get(name):
            yield f"{name} of {entity} is {served.get(name)}, {expected.get(name)} were counted"


def parts(values: Sequence, size: int) -> Iterator[Sequence]:
    return (values[at : at + size] for at in range(0, len(values), size))
