"""The code of docs/reuse-features.md, and Feast's `remote` online store, against a real API."""

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.behavior import SERVICE, SERVICE_FEATURES
from feature_repo.definitions.schemas import SCHEMAS
from online_api.redis_server import free_port, stop_redis

ROOT = Path(__file__).resolve().parents[2]
SHOPPER = "512475445"

SERVE = """
from online_api.server import serve
from online_api.settings import Settings
settings = Settings.from_environment()
serve(settings, settings.host, settings.port, settings.workers)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    yield {
        "INTENT_STATE": str(state),
        "INTENT_LAKE": str(state / "lake"),
        "INTENT_PORT": str(free_port()),
        "INTENT_HOST": "127.0.0.1",
    }
    stop_redis(state)


@pytest.fixture(scope="module")
def api(environment):
    url = f"http://127.0.0.1:{environment['INTENT_PORT']}"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("INTENT_")},
            **environment,
            "PYTHONPATH": str(ROOT),
        },
        cwd=ROOT,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/healthz").raise_for_status()
            break
        except httpx.HTTPError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def posted(api):
    """Two views of the shopper, now; the lake holds older history that the API is not to show."""
    now = datetime.now(UTC).isoformat()
    events = [
        {
            "event_id": f"e{n}",
            "user_id": SHOPPER,
            "session_id": "s1",
            "event_type": "view",
            "event_time": now,
        }
        for n in range(2)
    ]
    answer = httpx.post(f"{api}/v1/events", json={"events": events})
    assert answer.json()["accepted"] == 2, answer.text


def documented_code(api):
    text = (ROOT / "docs" / "reuse-features.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 4
    return [block.replace("http://127.0.0.1:8000", api) for block in blocks]


def test_the_documented_code_takes_features_as_they_were_and_as_they_are(
    spark, environment, api, posted, monkeypatch
):
    from online_api.redis_server import ensure_redis
    from orchestration.feature_store import apply_definitions, materialize, open_store

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    state, lake = Path(environment["INTENT_STATE"]), Path(environment["INTENT_LAKE"])
    store = open_store(ensure_redis(state), state)
    apply_definitions(store, lake)
    folder = lake / "user_activity" / "day=2019-10-01"
    folder.mkdir(parents=True)
    at = datetime(2019, 10, 1, 2, 30, tzinfo=UTC)
    row = {
        "user_id": SHOPPER,
        "event_timestamp": at,
        "created_timestamp": at,
        "view_count_7d": 5,
        "purchase_amount_30d": 1_999,
    }
    table = pa.Table.from_pylist([row], SCHEMAS["user_activity"])
    pq.write_table(table, folder / "part-0.parquet")
    materialize(store, ["user_activity"], int(at.timestamp()) * 1_000_000)

    names = {}
    training, _, online, remote = documented_code(api)  # the churn set needs a log: see test_platform
    exec(training, names)
    rows = names["training"].sort_values("user_id").to_dict("records")
    assert [(r["user_id"], r["view_count_7d"], r["churned"]) for r in rows] == [
        (SHOPPER, 5, 0),
        ("520088904", 0, 1),
        ("nobody", 0, 1),
    ]
    exec(online, names)
    assert names["answer"]["view_count_7d"] == [5, None]
    exec(remote, names)
    assert names["answer"] == {
        "user_id": [SHOPPER, "nobody"],
        "view_count_7d": [2, 0],
        "purchase_amount_30d": [0, 0],
    }

    fresh = names["fresh"]
    service = fresh.get_feature_service(SERVICE)
    entities = [{"user_id": SHOPPER, "session_id": "s1"}, {"user_id": "nobody", "session_id": "x"}]
    answer = fresh.get_online_features(service, entity_rows=entities).to_dict()
    assert list(answer)[2:] == [f.name for f in SERVICE_FEATURES]
    assert answer["view_count_10m"] == [2, 0]
    assert answer["session_view_count"] == [2, 0]
    full = fresh.get_online_features(
        ["user_activity:view_count_1h", "item_activity:view_count_1h"],
        entity_rows=[{"user_id": SHOPPER, "item_id": "i1"}],
        full_feature_names=True,
    ).to_dict()
    assert full["user_activity__view_count_1h"] == [2]
    assert full["item_activity__view_count_1h"] == [0]


@pytest.mark.parametrize("features", [["user_activity:no_such"], ["user_activity"]])
def test_an_unknown_feature_is_an_error_that_names_it(environment, api, features):
    from feast import FeatureStore, RepoConfig

    store = FeatureStore(
        config=RepoConfig(
            project="intent",
            provider="local",
            registry={
                "registry_type": "sql",
                "path": f"sqlite:///{environment['INTENT_STATE']}/registry.db",
            },
            online_store={"type": "remote", "path": api},
            entity_key_serialization_version=3,
        )
    )
    with pytest.raises(RuntimeError, match=features[0].split(":")[-1]):
        store.get_online_features(features, entity_rows=[{"user_id": "u1"}])
