"""Redis counters, asked through the API, against the hand-worked stream and the brute-force oracle."""

# ruff: noqa: F811  (imported fixtures are asked for by name)

import json
import random
from itertools import product

import pytest

from feature_repo.aggregates import Activity
from feature_repo.behavior import (
    ACTIVITIES,
    DEFINITIONS_HASH,
    ITEM,
    SESSION_ACTIVITY,
    SESSION_AGGREGATES,
    USER,
    USER_CATEGORY,
    WINDOWS,
)
from feature_repo.behavior import (
    windowed as features_of,
)
from feature_repo.events import EVENT_TYPES, LedgerEvent, rfc3339
from feature_repo.tiles import Tiling
from online_api.epochs import BlockingLedger
from tests.online_api.client import Client, running
from tests.online_api.events import DAY, HOUR, MINUTE, NOW
from tests.online_api.feast_values import write_row, write_user_tiles
from tests.online_api.fixtures import blocking, redis_url, server, settings  # noqa: F401
from tests.oracle import brute_force
from tests.parity.golden import QUESTIONS, SESSION_QUESTIONS, STREAM, us


def windowed(client: Client, activity: Activity, entity: tuple[str, ...], as_of: int) -> dict:
    features = features_of(activity)
    body = {
        "features": [f.reference for f in features],
        "entities": {key: [value] for key, value in zip(activity.keys, entity, strict=True)},
        "as_of": rfc3339(as_of),
    }
    answer = client.ok("/v1/features", body)
    return {f.name: r["values"][0] for f, r in zip(features, answer["results"], strict=True)}


def of_session(client: Client, user_id: str, session_id: str, as_of: int) -> dict:
    body = {
        "features": [f.reference for f in SESSION_ACTIVITY],
        "entities": {"user_id": [user_id], "session_id": [session_id]},
        "as_of": rfc3339(as_of),
    }
    answer = client.ok("/v1/features", body)
    names = [f.name for f in SESSION_ACTIVITY]
    return {name: r["values"][0] for name, r in zip(names, answer["results"], strict=True)}


def counted(values: dict) -> dict:
    return {name: value for name, value in values.items() if value}


def answer_of(response: dict) -> str:
    if response["rejected"]:
        return response["rejected"][0]["code"]
    return "accepted" if response["accepted"] else "duplicate"


BY_NAME = {activity.name: activity for activity in ACTIVITIES}


def test_api_meets_the_golden_stream(settings, blocking):
    ledger, epoch = BlockingLedger(blocking, settings), 1
    with running(settings) as client:
        for position, arrival in enumerate(STREAM, start=1):
            if arrival.epoch != epoch:
                ledger.close_epoch()
                epoch = arrival.epoch
            client.now = us(arrival.received_at)
            assert answer_of(client.post_events(arrival.event)) == arrival.answer
            for question in QUESTIONS:
                if question.after == position:
                    at = us(question.as_of)
                    found = windowed(client, BY_NAME[question.entity], (question.entity_id,), at)
                    assert counted(found) == question.values, question
            for question in SESSION_QUESTIONS:
                if question.after == position:
                    at = us(question.as_of)
                    found = of_session(client, question.user_id, question.session_id, at)
                    assert counted(found) == question.values, question


# -- generated streams, landed and materialized now and then ---------------------------------------


class Shop:
    """A stream of arrivals at a running API, with what landing and materialization do beside it."""

    USERS, ITEMS, SESSIONS = ("u1", "阿明", "u|3"), ("lamp", "mug:1", "灯"), ("s1", "s|2", None)
    CATEGORIES = ("shoes|x", "鞋:1")
    ENTITIES = (
        *((USER, (user,)) for user in USERS),
        *((ITEM, (item,)) for item in ITEMS),
        *((USER_CATEGORY, entity) for entity in product(USERS, CATEGORIES)),
    )

    def __init__(self, seed: int, client: Client, ledger: BlockingLedger, server) -> None:
        self.random = random.Random(seed)
        self.client, self.ledger, self.server = client, ledger, server
        self.events: list[LedgerEvent] = []
        self.landed = self.materialized = 0

    def post(self) -> None:
        chosen = self.random
        self.client.now += chosen.choice([1, 500_000, MINUTE, 7 * MINUTE, HOUR, 20 * HOUR])
        batch = [self.event(i) for i in range(chosen.randint(1, 5))]
        self.client.post_events(*batch)

    def event(self, i: int) -> dict:
        chosen, now = self.random, self.client.now
        late = chosen.choice([-HOUR, 0, 0, 0, 1, MINUTE, 26 * HOUR, 6 * DAY])
        time = now - late if chosen.random() < 0.7 else (now - late) // MINUTE * MINUTE
        optional = {
            "session_id": chosen.choice(self.SESSIONS),
            "item_id": chosen.choice([*self.ITEMS, None]),
            "category": chosen.choice([*self.CATEGORIES, None]),
            "price": chosen.choice([None, 0, 999, 10**10]),
            "quantity": chosen.choice([None, 3, 10_000]),
            "consent": chosen.choice([None, None, None, "aggregate"]),
        }
        return {
            "event_id": f"e{chosen.randint(0, 400)}",
            "user_id": chosen.choice(self.USERS),
            "event_type": chosen.choice(EVENT_TYPES),
            "event_time": rfc3339(time),
            **{name: value for name, value in optional.items() if value is not None},
        }

    def land(self) -> None:
        """Bring the ledger's entries here, as the lake would have them."""
        closed = self.ledger.close_epoch()
        shards = range(self.ledger.settings.shards)
        for shard in shards:
            for chunk in self.ledger.entries(shard, self.landed, closed, chunk=7):
                self.events += [entry.event for entry in chunk]
        self.ledger.trim(closed)
        self.landed = closed

    def materialize(self) -> None:
        """Store bases that cover what has landed; drop live counts that the bases before covered."""
        for user in self.USERS:
            own = [e for e in self.events if brute_force.concerns(e, "user", user)]
            newest = max((e.event_time for e in own), default=None)
            named = [(e.event_time, e.session_id) for e in own if e.session_id]
            write_user_tiles(
                self.server,
                user,
                tiles(own, USER),
                self.client.now,
                self.landed,
                newest,
                max(named, default=None),
            )
            for session in filter(None, self.SESSIONS):
                state = brute_force.session_state(own, user, session, self.client.now + DAY)
                self.write(
                    "session_state",
                    {"user_id": user, "session_id": session},
                    state=("string_val", str(state).replace("'", '"')),
                    steps=("string_val", str([list(s) for s in steps_of(own, user, session)])),
                )
        for activity, entity in self.ENTITIES[len(self.USERS) :]:
            own = [e for e in self.events if brute_force.concerns(e, activity, entity)]
            newest = max((e.event_time for e in own), default=0)
            self.write(
                activity.tiles,
                dict(zip(activity.keys, entity, strict=True)),
                tiles=("string_val", json.dumps(tiles(own, activity))),
                newest_event_us=("int64_val", newest),
            )
        self.ledger.prune(self.materialized)
        self.materialized = self.landed

    def write(self, view: str, entities: dict, **features) -> None:
        features["covered_epoch"] = ("int64_val", self.landed)
        features["definitions_hash"] = ("string_val", DEFINITIONS_HASH)
        write_row(self.server, view, entities, self.client.now, **features)


def steps_of(events: list[LedgerEvent], user_id: str, session_id: str) -> list[tuple[int, int, int]]:
    return [brute_force.step(e) for e in brute_force.newest_events(events, user_id, session_id, 2**62)]


def tiles(events: list[LedgerEvent], activity: Activity) -> list[tuple]:
    return [tuple(tile) for e in events for tile in Tiling(activity, WINDOWS).tiles(e)]


@pytest.mark.parametrize("seed", range(3))
def test_api_agrees_with_the_oracle_on_generated_streams(settings, blocking, server, seed):
    ledger = BlockingLedger(blocking, settings)
    with running(settings) as client:
        client.now = NOW
        shop = Shop(seed, client, ledger, server)
        asked = []
        for step in range(60):
            shop.post()
            if step % 9 == 5:
                shop.land()
            if step % 18 == 14:
                shop.materialize()
            if step % 4 == 0:
                later = shop.random.choice([0, 1, 9 * MINUTE, 25 * HOUR, 8 * DAY])
                asked.append((step, answers(shop, client.now + later)))
        shop.land()
        assert len(shop.events) > 100
        for step, (at, received, found) in asked:
            known = [e for e in shop.events if e.received_at <= received]
            for (activity, name), values in found.items():
                assert values == expected(known, activity, name, at), (seed, step, activity, name)


@pytest.mark.parametrize("age", [HOUR, 3 * DAY, 9 * DAY, 40 * DAY], ids=lambda us: f"{us // HOUR}h")
def test_a_base_of_any_age_counts_each_event_once(settings, blocking, server, age):
    """Events go on, some of them days late, on top of a base; landing and the next base change nothing."""
    ledger = BlockingLedger(blocking, settings)
    with running(settings) as client:
        client.now = NOW
        shop = Shop(11, client, ledger, server)
        for _ in range(15):
            shop.post()
        shop.land()
        shop.materialize()
        client.now += age
        for _ in range(10):
            shop.post()
        as_of, _, live = answers(shop, client.now + HOUR)
        shop.land()
        _, _, landed = answers(shop, as_of)
        shop.materialize()
        _, _, materialized = answers(shop, as_of)
    assert live == landed == materialized
    for (activity, name), values in live.items():
        assert values == expected(shop.events, activity, name, as_of), (activity, name)


def answers(shop: Shop, as_of: int) -> tuple:
    found = {
        (activity.name, entity): windowed(shop.client, activity, entity, as_of)
        for activity, entity in shop.ENTITIES
    }
    for user in shop.USERS:
        for session in filter(None, shop.SESSIONS):
            found["session", (user, session)] = of_session(shop.client, user, session, as_of)
    return as_of, shop.client.now, found


def expected(events: list[LedgerEvent], entity: str, name, as_of: int) -> dict:
    if entity == "session":
        return brute_force.session_features(events, *name, as_of)
    return brute_force.window_values(events, entity, name, as_of)


def test_session_aggregates_of_the_oracle_are_those_declared():
    state = brute_force.session_state([], "u", "s", NOW)
    times = {a.name for a in SESSION_AGGREGATES if a.op in ("min_time", "max_time")}
    assert set(state) | times == {a.name for a in SESSION_AGGREGATES}
