"""Scores of a real API on a real Redis, held against the lake: right ones pass, and planted faults are
caught and named."""

import json
import shutil

import dagster as dg
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from feature_repo.behavior import DEFINITIONS_HASH, EMBEDDING_DIM, SERVICE_FEATURES, USER, WINDOWS
from feature_repo.definitions.schemas import SCHEMAS
from feature_repo.events import from_us, rfc3339
from feature_repo.profiles import USER_PROFILE, USER_PROFILE_INPUTS
from feature_repo.windows import Window
from models.runtime.release import Pointer
from online_api import counters, keys, sessions
from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.feast_rows import decode_value, entity_key
from online_api.settings import Settings
from orchestration.defs.automation import verify_every_day
from orchestration.defs.verification.assets import score_verification
from orchestration.in_service import Materialization, note_end, note_start
from orchestration.landing import land
from orchestration.resources import Platform
from orchestration.scores import land_scores
from spark_jobs.jobs.score_inputs import INEXACT, NOT_LANDED
from spark_jobs.jobs.tables import read_ledger
from spark_jobs.lake import Commit, Lake, day_of
from spark_jobs.ledger_files import Position, ledger_table, write_ledger_file
from spark_jobs.transforms.flags import with_amount
from spark_jobs.transforms.serving import entity_tiles, session_state, with_last_session
from spark_jobs.transforms.tiles import day_tiles, session_tiles
from tests.models.release_parts import REVISION, Parts
from tests.online_api.client import running
from tests.online_api.events import DAY, HOUR, MINUTE, NOW, SECOND, event, stamped
from tests.online_api.feast_values import value, write_embedding, write_row, write_user_profile
from tests.online_api.redis_process import redis_process

TODAY = "2025-10-09"
SHOPPERS = ("right", "hop", "dropped", "doubled", "stale", "swapped", "profile", "wiped")
VECTOR = [1.0, *([0.0] * (EMBEDDING_DIM - 1))]


class Shop:
    """A shop in one process: its API with a release, its lake, and materializations without Feast."""

    def __init__(self, spark, client, server, ledger, lake) -> None:
        self.spark, self.client, self.server, self.ledger, self.lake = spark, client, server, ledger, lake

    def post(self, user: str, *kinds: str, at: int, **fields) -> None:
        """Events of these types, a second apart, which arrive as they happen."""
        for n, kind in enumerate(kinds):
            when = at + n * SECOND
            self.client.now = when
            name = f"{user}-{(when - NOW) // SECOND}"
            given = {"user_id": user, "session_id": f"{user}-s", "item_id": f"i{n}", **fields}
            self.client.post_events(event(name, kind, when, **given))

    def score(self, user: str, at: int) -> None:
        self.client.now = at
        self.client.ok("/v1/score", {"user_id": user})

    def land(self) -> int:
        self.client.portal.call(self.client.app.state.api.log.flush)
        land_scores(self.ledger, self.lake)
        return land(self.ledger, self.lake).epoch

    def import_event(self, user: str, at: int) -> int:
        """One event, in the lake alone; the import's epoch."""
        epoch = self.ledger.import_epoch(self.lake.landed_epoch())
        with_position = stamped(f"{user}-imported", event_time=at, user_id=user), Position(0, 1, epoch)
        file = write_ledger_file(self.lake, day_of(at), f"import-{epoch}", ledger_table([with_position]))
        self.lake.commit(Commit(epoch, "import", (file,), 1, at, at))
        return epoch

    def materialize(self, covered: int, at: int, *imports: int) -> None:
        note_start(self.lake, Materialization(at - MINUTE, at, covered, tuple(map(str, imports))))
        events = with_amount(read_ledger(self.spark, self.lake, list(self.lake.ledger_days())))
        sessions = session_tiles(events)
        tiles = entity_tiles(day_tiles(events, USER, at), USER, at)
        for row in with_last_session(tiles, sessions).collect():
            self.write_base("user_tiles", covered, at, user_id=row.user_id, row=row)
        for row in session_state(sessions, at, 8 * 86_400).collect():
            self.write_base(
                "session_state", covered, at, user_id=row.user_id, session_id=row.session_id, row=row
            )
        note_end(self.lake, at)

    def write_base(self, view: str, covered: int, at: int, row, **entity: str) -> None:
        kinds = {int: "int64_val", str: "string_val", type(None): "null_val"}
        values = {name: v for name, v in row.asDict().items() if name not in entity}
        values |= {"covered_epoch": covered, "definitions_hash": DEFINITIONS_HASH}
        write_row(self.server, view, entity, at, **{n: (kinds[type(v)], v) for n, v in values.items()})

    def hashes_of(self, user: str) -> dict[bytes, dict]:
        return {key: self.server.hgetall(key) for key in self.keys_of(user)}

    def put_back(self, user: str, before: dict[bytes, dict]) -> None:
        self.server.delete(*self.keys_of(user))
        for key, content in before.items():
            self.server.hset(key, mapping=content)

    def keys_of(self, user: str) -> list[bytes]:
        """Bases and live counts."""
        found = [key for key in self.server.scan_iter("*") if user.encode() in key and b":ids:" not in key]
        return [key for key in found if self.server.type(key) == b"hash"]

    def run_asset(self, day: str) -> tuple[bool, dg.AssetCheckEvaluation, dict]:
        """Whether the run succeeded, its check, and the day's metadata."""
        run = dg.materialize(
            [score_verification],
            partition_key=day,
            resources={"platform": Platform(self.ledger.settings)},
            raise_on_error=False,
        )
        (check,) = run.get_asset_check_evaluations()
        (made,) = run.asset_materializations_for_node("score_verification")
        return run.success, check, made.metadata


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory):
    state, parts = tmp_path_factory.mktemp("state"), Parts(tmp_path_factory.mktemp("parts"))
    shutil.copytree(parts.encoders, state / "encoders")
    release = parts.build(state / "releases")
    with redis_process(tmp_path_factory.mktemp("redis")) as url, redis.Redis.from_url(url) as server:
        settings = Settings(state=state, lake=state / "lake", redis_url=url, shards=4)
        server.set(keys.RELEASE, msgspec.json.encode(Pointer(release.name, str(release))))
        ledger = BlockingLedger(BlockingRedis(url), settings)
        with running(settings) as client:
            client.portal.call(client.app.state.api.served.refresh)
            yield Shop(spark, client, server, ledger, Lake(settings.lake))


def put_stored_rows(lake: Lake, server, user: str, at: int, served: dict, **profile) -> None:
    """A profile and a vector, in the lake as they are and in Redis as `served`."""
    known = {f.name: profile.get(f.name, f.default) for f in USER_PROFILE}
    stamps = {"event_timestamp": from_us(at), "created_timestamp": from_us(at)}
    rows = {
        "user_profile": {"user_id": user, **known, **stamps},
        "user_intent_embedding": {
            "user_id": user, "embedding": VECTOR, "encoder_revision": REVISION, **stamps,
        },
    }  # fmt: skip
    for view, row in rows.items():
        folder = lake.partition(view, TODAY)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{user}-{at}.parquet"
        pq.write_table(pa.Table.from_pylist([row], SCHEMAS[view]), folder / name)
    write_user_profile(server, user, at, **{**profile, **served})
    write_embedding(server, user, VECTOR, at, REVISION)


@pytest.fixture(scope="module")
def verified(shop):
    """What the asset said of one score of each shopper; each but the first after a fault of its own."""
    kinds = ("search", "view", "view", "view", "add_to_cart", "view")
    start = NOW - 3 * HOUR
    for n, user in enumerate(SHOPPERS):
        shop.post(user, *kinds, at=start + n * MINUTE, price=500)
    first = shop.land()
    shop.materialize(first, start + HOUR)
    old = {user: shop.hashes_of(user) for user in SHOPPERS}

    shop.post("hop", "view", at=NOW - HOUR - 4 * MINUTE)  # covered by a hop of 15 minutes, not by one of 1
    for n, user in enumerate(SHOPPERS):
        shop.post(user, "view", "add_to_cart", at=NOW - HOUR + n * SECOND * 5, price=700)
    second = shop.land()
    shop.materialize(second, NOW - 30 * MINUTE)
    shop.ledger.prune(first)

    profile = {"frequency": 3, "monetary_minor": 900}
    put_stored_rows(shop.lake, shop.server, "right", NOW - 40 * MINUTE, {}, **profile)
    a, b = [f.name for f in USER_PROFILE_INPUTS if f.dtype == "int64"][:2]
    put_stored_rows(shop.lake, shop.server, "profile", NOW - 40 * MINUTE, {a: 7, b: 3}, **{a: 3, b: 7})

    for n, user in enumerate(SHOPPERS):
        shop.post(user, "click", "view", at=NOW - 10 * MINUTE + n * SECOND * 3, price=900)
    plant_faults(shop, old, second)
    for user in SHOPPERS:
        if user != "hop":
            shop.score(user, NOW)
    with pytest.MonkeyPatch.context() as fault:
        wrong = [Window("1h", 3_600, 900) if w.name == "1h" else w for w in WINDOWS]
        fault.setattr(counters, "WINDOWS", tuple(wrong))
        shop.score("hop", NOW)
    # What arrives later, be it of earlier, changes nothing of what these scores had to know.
    shop.client.now = NOW + HOUR
    late = event("late", "purchase", NOW - HOUR, user_id="right", session_id="right-s", price=1)
    shop.client.post_events(late)
    shop.land()
    return shop.run_asset(TODAY)


def plant_faults(shop: Shop, old: dict, covered: int) -> None:
    before = shop.hashes_of("dropped")
    shop.post("dropped", "message", at=NOW - 5 * MINUTE)
    shop.put_back("dropped", before)
    shop.post("dropped", "view", at=NOW - 4 * MINUTE)

    for key, row in old["doubled"].items():  # the new base says that it covers no more than the old one
        for name in (counters.BASE_FIELDS[USER.name][2], sessions.BASE_FIELDS[1]):
            if not key.startswith(b"intent:") and name in row:
                shop.server.hset(key, name, row[name])

    stale = {key: row for key, row in old["stale"].items() if not key.startswith(b"intent:")}
    for key in shop.keys_of("stale"):
        live = [name for name in shop.server.hkeys(key) if name.split(b":")[0].isdigit()]
        if key in stale:
            shop.server.hset(key, mapping=stale[key])
        elif covered_live := [name for name in live if int(name.split(b":")[0]) <= covered]:
            shop.server.hdel(key, *covered_live)  # as pruning behind the newer base would

    swap_base_columns(shop, "swapped", 0, 2)
    for key in shop.keys_of("wiped"):
        shop.server.delete(key)


def swap_base_columns(shop: Shop, user: str, a: int, b: int) -> None:
    key, field = entity_key({"user_id": user}), counters.BASE_FIELDS[USER.name][4]
    tiles = json.loads(decode_value(shop.server.hget(key, field)))
    other = {a: b, b: a}
    swapped = [[hop, start, other.get(n, n), count] for hop, start, n, count in tiles]
    shop.server.hset(key, field, value("string_val", json.dumps(swapped)))


FAULTS = (
    "user_activity: wrong hop: the window 1h moves by 900 s, declared is 60 s",
    "user_activity: not counted: event dropped--300 of epoch",
    "user_activity: counted twice: epoch",
    "session_activity: counted twice: epoch",
    "user_activity: stale base: it covers epochs up to",
    "session_activity: stale base: it covers epochs up to",
    "user_activity: swapped columns: ",
    "user_profile: swapped columns: user_profile:",
)


@pytest.mark.parametrize("named", FAULTS)
def test_a_planted_fault_is_caught_and_named(verified, named):
    _, check, shown = verified
    assert f"| {named}" in shown["details"].value
    assert named in check.description


def test_every_faulty_score_is_caught_and_the_right_one_is_not(verified):
    succeeded, check, shown = verified
    assert not succeeded and not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    assert f"{len(SHOPPERS) - 1} of {len(SHOPPERS)} scores differ" in check.description
    assert shown["scores verified"].value == len(SHOPPERS) and shown["scores skipped"].value == 0
    assert shown["features compared"].value == len(SERVICE_FEATURES)
    assert shown["mismatches"].value["user_activity:view_count_24h"] >= 4
    for feature in shown["mismatches"].value:
        assert f"| {feature} served " in shown["details"].value
    assert "data:image/svg+xml" in shown["trend"].value


def test_a_day_without_scores_does_not_pass(shop):
    succeeded, check, _ = shop.run_asset("2025-10-08")
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert "nothing to verify" in check.description and succeeded


def test_a_day_is_done_once_everything_its_scores_knew_has_landed(verified, shop):
    """An import counts from when it is in service."""
    imported = shop.import_event("imported", NOW + DAY - HOUR)
    shop.materialize(shop.lake.landed_epoch(), NOW + DAY - MINUTE, imported)
    shop.import_event("waits", NOW + DAY - HOUR)
    shop.post("waits", "view", at=NOW + DAY)
    shop.score("imported", NOW + DAY + MINUTE)
    shop.score("waits", NOW + DAY + MINUTE)
    shop.client.ok("/v1/score", {"user_id": "right", "as_of": rfc3339(NOW + DAY)})
    shop.client.ok("/v1/score", {"user_id": "waits", "as_of": rfc3339(NOW + DAY - 1)})
    shop.client.portal.call(shop.client.app.state.api.log.flush)
    land_scores(shop.ledger, shop.lake)
    _, check, shown = shop.run_asset("2025-10-10")
    assert not check.passed and "1 scores wait for their events to land" in check.description
    for skipped in (NOT_LANDED, INEXACT):
        assert f"| {skipped} | 1 |" in shown["details"].value
    resources = {"platform": Platform(shop.ledger.settings)}
    (request,) = verify_every_day(dg.build_schedule_context(resources=resources))
    assert request.partition_key == "2025-10-10"
    shop.land()
    succeeded, check, shown = shop.run_asset("2025-10-10")
    assert succeeded and check.passed, check.description
    assert shown["scores verified"].value == 3
    skipped = verify_every_day(dg.build_schedule_context(resources=resources))
    assert isinstance(skipped, dg.SkipReason)
