"""The canary against the API as it really runs, on a real Redis, and what it leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import httpx
import msgspec
import pytest
import redis

from models.runtime.release import Pointer
from online_api import keys
from online_api.redis_server import free_port
from online_api.settings import Settings
from orchestration import canary
from orchestration.canary import MIN_EVENTS, Arrival, Seen
from orchestration.defs.verification.assets import (
    LANDED,
    LANDED_P99_S,
    VISIBLE,
    freshness,
    landed_in_time,
    visible_at_once,
)
from orchestration.landing import land
from orchestration.resources import Platform
from spark_jobs.jobs.tables import read_ledger
from spark_jobs.transforms.flags import BotRules, with_amount, with_bot_flags
from tests.models.release_parts import Parts
from tests.online_api.redis_process import redis_process
from tests.online_api.test_server import SERVE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """An installation whose API runs with two workers and a release, on the event clock."""
    state, parts = tmp_path_factory.mktemp("state"), Parts(tmp_path_factory.mktemp("parts"))
    shutil.copytree(parts.encoders, state / "encoders")
    release = parts.build(state / "releases")
    with redis_process(tmp_path_factory.mktemp("redis")) as url:
        with redis.Redis.from_url(url) as server:
            server.set(keys.RELEASE, msgspec.json.encode(Pointer(release.name, str(release))))
        port = free_port()
        settings = Settings(
            state=state, lake=state / "lake", redis_url=url, port=port, workers=2, clock="event"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings.environment()}
        server = subprocess.Popen([sys.executable, "-c", SERVE], cwd=state, env=environment)
        try:
            await_ready(settings.own_api_url)
            yield Platform(settings)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=15)


def await_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shop_time(platform) -> int:
    """Somebody was in the shop in 2025: there the event clock stands."""
    sent = {"event_id": "e", "user_id": "u", "event_type": "view", "event_time": "2025-10-09T00:00:00Z"}
    answer = httpx.post(f"{platform.settings.own_api_url}/v1/events", json={"events": [sent]})
    assert answer.json()["accepted"] == 1
    return platform.clock()


def run(platform: Platform) -> tuple[bool, dict[str, dg.AssetCheckEvaluation], dict]:
    done = dg.materialize(
        [freshness],
        resources={"platform": platform},
        run_config={"ops": {"freshness": {"config": {"events": MIN_EVENTS}}}},
        raise_on_error=False,
    )
    checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
    made = done.asset_materializations_for_node("freshness")
    return done.success, checks, made[0].metadata if made else {}


def test_events_are_seen_at_once_and_then_found_in_the_lake(platform, shop_time, spark):
    succeeded, checks, shown = run(platform)
    assert succeeded and checks[VISIBLE].passed and checks[LANDED].passed, checks
    assert shown["events"].value == MIN_EVENTS and shown["reads until visible, most"].value == 1
    for way in ("features", "score"):
        assert 0 < shown[f"visible by {way}, ms: p50"].value <= shown[f"visible by {way}, ms: p99"].value
    assert platform.clock() == shop_time, "the canary moves no clock"

    (waited,) = canary.arrival(platform.lake, time.time_ns() // 1_000).waiting
    assert 0 < waited < 120
    land(platform.ledger, platform.lake)
    succeeded, checks, shown = run(platform)
    assert succeeded and 0 < shown["in the lake, s: p50"].value <= shown["in the lake, s: p99"].value < 120
    assert "p99 from posting to commit" in checks[LANDED].description
    assert shown["runs that have not landed"].value == 0

    events = with_amount(read_ledger(spark, platform.lake, list(platform.lake.ledger_days())))
    flagged = with_bot_flags(events, BotRules()).collect()
    assert {row.is_bot for row in flagged if row.user_id.startswith(canary.PREFIX)} == {True}
    assert {row.is_bot for row in flagged if row.user_id == "u"} == {False}
    assert all(row.item_id is None for row in flagged if row.is_bot)


def test_an_api_that_is_not_there_fails_and_says_so(platform, shop_time):
    settings = msgspec.structs.replace(platform.settings, api_url=f"http://127.0.0.1:{free_port()}")
    succeeded, checks, shown = run(Platform(settings))
    assert not succeeded and shown == {}
    assert not checks[VISIBLE].passed and "set INTENT_API_URL" in checks[VISIBLE].description


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([Seen("score", 2.0, 1), Seen("features", None, 40)], "1 of 2 events were not seen within 10 s"),
        ([Seen("score", 2.0, 1), Seen("features", 9.0, 2)], "1 of 2 events were not seen at the first read"),
        ([Seen("score", 1_500.0, 1)], "p99 is 1500.0 ms"),
    ],
)
def test_what_is_seen_late_or_never_does_not_pass(seen, said):
    check = visible_at_once(seen)
    assert not check.passed and said in check.description


def test_what_lands_late_or_never_does_not_pass():
    assert not landed_in_time(Arrival([1.0, LANDED_P99_S * 2.0], [])).passed
    overdue = landed_in_time(Arrival([1.0], [LANDED_P99_S + 1.0]))
    assert not overdue.passed and "have not landed" in overdue.description
    assert landed_in_time(Arrival([1.0], [LANDED_P99_S - 1.0])).passed
