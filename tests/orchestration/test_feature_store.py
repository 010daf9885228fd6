import importlib
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from feature_repo.behavior import EMBEDDING_DIM, SERVICE, SERVICE_FEATURES
from feature_repo.definitions.schemas import SCHEMAS
from feature_repo.definitions.tables import VIEWS
from feature_repo.events import from_us
from online_api.redis_server import free_port, redis_binary
from orchestration.feature_store import (
    apply_definitions,
    fill_defaults,
    historical,
    materialize,
    open_store,
    redis_address,
)

ROOT = Path(__file__).resolve().parents[2]
US_PER_DAY = 86_400_000_000
NOW = 1_569_888_000_123_457  # 2019-10-01T00:00:00.123457Z
CREATED = NOW + 1
VECTOR = [0.125] * (EMBEDDING_DIM - 1) + [0.0]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    port, home = free_port(), tmp_path_factory.mktemp("redis")
    command = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen([*command, "--dir", str(home)], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    deadline = time.monotonic() + 20
    with redis.Redis.from_url(url) as connection:
        while True:
            try:
                connection.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def connection(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def store(spark, redis_url, tmp_path, lake):
    store = open_store(redis_url, tmp_path / "state")
    apply_definitions(store, lake)
    return store


def put(lake, view, part, *rows, created=CREATED):
    """Write rows (`at` in microseconds, then columns) as a published part of a feature table."""
    folder = lake / view / f"day={part}"
    folder.mkdir(parents=True, exist_ok=True)
    filled = [
        {"created_timestamp": from_us(created), "event_timestamp": from_us(row["at"]), **row} for row in rows
    ]
    table = pa.Table.from_pylist(filled, SCHEMAS[view])
    pq.write_table(table, folder / f"part-{len(list(folder.iterdir()))}.parquet")


def online(store, features, *entities):
    return store.get_online_features(features=features, entity_rows=list(entities)).to_dict()


def collected(frame, *order):
    return [row.asDict() for row in frame.orderBy(*order).collect()]


def test_the_newest_row_that_is_not_in_the_future_is_served(store, lake, connection):
    put(
        lake,
        "user_activity",
        "2019-09-30",
        {"user_id": "u1", "at": NOW - 5, "view_count_1h": 1},
        {"user_id": "用户", "at": NOW - US_PER_DAY, "view_count_1h": 7, "view_count_7d": None},
    )
    put(lake, "user_activity", "2019-10-01", {"user_id": "u1", "at": NOW, "view_count_1h": 2})
    put(lake, "user_activity", "tail", {"user_id": "u1", "at": NOW + 1, "view_count_1h": 0})
    materialize(store, ["user_activity"], NOW)

    features = ["user_activity:view_count_1h", "user_activity:view_count_7d"]
    answer = online(store, features, {"user_id": "u1"}, {"user_id": "用户"})
    assert answer["view_count_1h"] == [2, 7]
    assert answer["view_count_7d"] == [None, None]
    # The instant is kept to the microsecond: protobuf Timestamp of 1569888000 s and 123457000 ns.
    key = bytes.fromhex("010000000200000007000000757365725f696402000000020000007531") + b"intent"
    assert connection.hget(key, "_ts:user_activity").hex() == "0880aecaec0510e89bef3a"

    materialize(store, ["user_activity"], NOW + 1)
    assert online(store, features, {"user_id": "u1"})["view_count_1h"] == [0]


def test_a_repeated_run_replaces_what_it_wrote_for_the_same_instant(store, lake, connection):
    put(lake, "item_activity", "2019-10-01", {"item_id": "i1", "at": NOW, "click_count_1h": 1})
    materialize(store, ["item_activity"], NOW)
    late = {"item_id": "i1", "at": NOW, "click_count_1h": 2}
    put(lake, "item_activity", "2019-10-01", late, created=CREATED + 1)
    materialize(store, ["item_activity"], NOW)
    answer = online(store, ["item_activity:click_count_1h"], {"item_id": "i1"})
    assert answer["click_count_1h"] == [2]


def test_texts_vectors_and_two_keys_come_back_as_written(store, lake, connection):
    put(
        lake,
        "user_intent_embedding",
        "2019-10-01",
        {"user_id": "u1", "at": NOW, "embedding": VECTOR, "encoder_revision": "rev-1"},
    )
    state = '{"session_event_count":3}'
    put(
        lake,
        "session_state",
        "current",
        {"user_id": "u1", "session_id": "s1", "at": NOW, "state": state, "covered_epoch": 4},
    )
    materialize(store, ["user_intent_embedding", "session_state"], NOW)
    answer = online(
        store,
        ["user_intent_embedding:embedding", "session_state:state", "session_state:covered_epoch"],
        {"user_id": "u1", "session_id": "s1"},
        {"user_id": "u1", "session_id": "other"},
    )
    assert answer["embedding"] == [VECTOR, VECTOR]
    assert answer["state"] == [state, None]
    assert answer["covered_epoch"] == [4, None]


def test_empty_tables_are_materialized_and_retrieved_as_nothing_known(store, connection, capsys):
    materialize(store, [view.name for view in VIEWS], NOW)
    assert connection.dbsize() == 0
    moments = pd.DataFrame({"user_id": ["u1"], "session_id": ["s1"], "event_timestamp": [from_us(NOW)]})
    rows = historical(store, moments)
    assert rows.columns == [
        *("user_id", "session_id", "event_timestamp"),
        *(f.name for f in SERVICE_FEATURES),
    ]
    [row] = collected(fill_defaults(rows), "user_id")
    for feature in SERVICE_FEATURES:
        expected = [0.0] * EMBEDDING_DIM if feature.dtype == "vector" else feature.default
        assert row[feature.name] == expected
    assert capsys.readouterr().out == ""


def test_history_knows_the_instant_itself_and_nothing_later(store, lake, spark):
    put(
        lake,
        "user_activity",
        "2019-10-01",
        {"user_id": "u1", "at": NOW, "view_count_1h": 1},
        {"user_id": "u1", "at": NOW + 1, "view_count_1h": 2},
    )
    late = {"user_id": "u1", "at": NOW + 1, "view_count_1h": 3}
    put(lake, "user_activity", "2019-10-01", late, created=CREATED + 1)
    moments = [NOW - 1, NOW, NOW, NOW + 1, NOW + 60 * US_PER_DAY]
    given = pd.DataFrame(
        {
            "user_id": "u1",
            "label": [0, 1, 2, 3, 4],
            "event_timestamp": pd.to_datetime(moments, unit="us", utc=True),
        }
    )
    before = given.copy()
    expected = [None, 1, 1, 3, 3]
    for entities in (given, spark.createDataFrame(given)):
        rows = collected(historical(store, entities, ["user_activity:view_count_1h"]), "label")
        assert [row["view_count_1h"] for row in rows] == expected
        assert [row["label"] for row in rows] == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(given, before)


def test_the_time_zone_of_the_machine_changes_nothing(store, lake, spark, monkeypatch):
    put(lake, "user_activity", "2019-10-01", {"user_id": "u1", "at": NOW, "view_count_1h": 1})
    moments = pd.DataFrame({"user_id": ["u1"], "event_timestamp": pd.to_datetime([NOW], unit="us", utc=True)})
    entities = spark.createDataFrame(moments)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        [row] = collected(historical(store, entities, ["user_activity:view_count_1h"]), "user_id")
        assert time.localtime(0).tm_gmtoff == -5 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()
    assert row["view_count_1h"] == 1


def test_a_sessions_values_last_a_day_and_are_its_shoppers_alone(store, lake, spark):
    quoted = spark.conf.get("spark.sql.parser.quotedRegexColumnNames")
    put(
        lake,
        "session_activity",
        "2019-10-01",
        {"user_id": "a", "session_id": "bc", "at": NOW, "session_event_count": 1},
        {"user_id": "ab", "session_id": "c", "at": NOW, "session_event_count": 2},
    )
    day = timedelta(days=1)
    moments = pd.DataFrame(
        [
            ("a", "bc", from_us(NOW)),
            ("ab", "c", from_us(NOW)),
            ("a", "bc", from_us(NOW) + day),
            ("a", "bc", from_us(NOW) + day + timedelta(microseconds=1)),
            ("a", None, from_us(NOW)),
        ],
        columns=["user_id", "session_id", "event_timestamp"],
    )
    moments["row"] = range(len(moments))
    rows = collected(historical(store, moments, ["session_activity:session_event_count"]), "row")
    assert [row["session_event_count"] for row in rows] == [1, 2, 1, None, None]
    assert spark.conf.get("spark.sql.parser.quotedRegexColumnNames") == quoted


def test_a_redis_that_is_down_is_one_clear_line(spark, store, tmp_path):
    elsewhere = open_store(f"redis://:secret@127.0.0.1:{free_port()}", tmp_path / "state")
    with pytest.raises(ConnectionError, match="INTENT_REDIS_URL") as raised:
        materialize(elsewhere, ["item_tiles"], NOW)
    assert "secret" not in str(raised.value)


def test_a_view_that_is_no_longer_declared_leaves_the_registry(store, lake):
    from feast import FeatureView

    source = store.get_data_source("user_tiles_table")
    entity = store.get_entity("user_id")
    store.apply([FeatureView(name="forgotten", entities=[entity], source=source)])
    assert "forgotten" in {v.name for v in store.list_feature_views()}
    apply_definitions(store, lake)
    assert {v.name for v in store.list_feature_views()} == {v.name for v in VIEWS}
    assert [s.name for s in store.list_feature_services()] == [SERVICE]


@pytest.mark.parametrize(
    ("url", "address", "options"),
    [
        ("redis://h", {"host": "h", "port": "6379"}, {"db": 0}),
        ("rediss://h:1/3", {"host": "h", "port": "1"}, {"db": 3, "ssl": True}),
        (
            "redis://me:1%2C2%3D%223@h:1/0",
            {"host": "h", "port": "1"},
            {"username": "me", "password": '1,2="3', "db": 0},
        ),
        ("redis://:12@h:1", {"host": "h", "port": "1"}, {"password": "12", "db": 0}),
    ],
)
def test_feast_reads_the_redis_address_as_the_url_said(url, address, options):
    from feast.infra.online_stores.redis import RedisOnlineStore

    nodes, parameters = RedisOnlineStore._parse_connection_string(redis_address(url))
    assert nodes == [address]
    assert parameters == options


@pytest.mark.parametrize("url", ["http://h:1", "redis://", "unix:///tmp/s", "redis://[::1]:1"])
def test_an_address_feast_cannot_take_names_the_setting(url):
    with pytest.raises(ValueError, match="INTENT_REDIS_URL"):
        redis_address(url)


def test_feasts_own_command_works_on_the_configured_store(tmp_path, redis_url):
    environment = {
        **os.environ,
        "INTENT_STATE": str(tmp_path / "state"),
        "INTENT_LAKE": str(tmp_path / "lake"),
        "INTENT_REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "orchestration.feature_store"]
    answer = subprocess.run(
        [*command, "apply", "--skip-source-validation"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    store = open_store(redis_url, tmp_path / "state")
    assert {v.name for v in store.list_feature_views()} == {v.name for v in VIEWS}
    assert store.get_data_source("user_tiles_table").path == str(tmp_path / "lake" / "user_tiles")


def test_feasts_ui_finds_what_it_imports():
    importlib.import_module("feast.api.registry.rest.feature_views")
