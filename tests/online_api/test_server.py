"""The API as it really runs: Granian, its own processes, a real port."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.runtime.release import Pointer
from online_api import keys
from online_api.redis_server import answers, free_port
from online_api.server import ServeError, serve
from online_api.settings import Settings
from tests.models.release_parts import Parts
from tests.online_api.events import SECOND, event
from tests.online_api.redis_process import redis_process

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
from online_api.server import serve
from online_api.settings import Settings
settings = Settings.from_environment()
serve(settings, settings.host, settings.port, settings.workers)
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """The URL of the API with two workers and a release, and how long it took to answer, in seconds."""
    state = tmp_path_factory.mktemp("state")
    parts = Parts(tmp_path_factory.mktemp("parts"))
    shutil.copytree(parts.encoders, state / "encoders")
    release = parts.build(state / "releases")
    with redis_process(tmp_path_factory.mktemp("redis")) as redis_url:
        with redis.Redis.from_url(redis_url) as client:
            client.set(keys.RELEASE, msgspec.json.encode(Pointer(release.name, str(release))))
        settings = Settings(
            state=state, lake=state / "lake", redis_url=redis_url, port=free_port(), workers=2
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings.environment()}
        server = subprocess.Popen([sys.executable, "-c", SERVE], cwd=state, env=environment)
        url, started = f"http://127.0.0.1:{settings.port}", time.monotonic()
        try:
            await_status(f"{url}/healthz", 200)
            alive_s = time.monotonic() - started
            await_status(f"{url}/readyz", 200)
            yield url, alive_s
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=15) == 0


def await_status(url: str, status: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(url).status_code == status:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{url} did not answer {status}"
        time.sleep(0.05)


def test_it_is_up_soon(api):
    _, alive_s = api
    assert alive_s < 15  # about one second on an idle machine


def test_events_and_scores_by_wall_clock(api):
    url, _ = api
    sent = event("e1", "add_to_cart", time.time_ns() // 1_000 - SECOND, user_id="walker", price=100)
    for expected in ((1, 0), (0, 1)):
        answer = httpx.post(f"{url}/v1/events", json={"events": [sent]}).json()
        assert (answer["accepted"], answer["duplicates"]) == expected
    scored = httpx.post(f"{url}/v1/score", json={"user_id": "walker", "explain": True}).json()
    assert 1_000 <= scored["features"]["newest_event_age_ms"] < 60_000
    assert scored["as_of_exact"] and scored["reasons"]


def test_metrics_add_up_over_workers(api):
    url, _ = api
    batch = {"events": [event("m1", event_time=time.time_ns() // 1_000, user_id="counted")]}

    def duplicates() -> float:
        text = httpx.get(f"{url}/metrics").text
        lines = [x for x in text.splitlines() if x.startswith("intent_events_duplicate_total ")]
        return float(lines[0].split()[1]) if lines else 0.0  # no worker has counted one yet

    httpx.post(f"{url}/v1/events", json=batch)
    before = duplicates()
    for _ in range(12):  # each over a connection of its own, to either worker
        httpx.post(f"{url}/v1/events", json=batch)
    assert duplicates() == before + 12


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/events"),
        ("POST", "/v1/score"),
        ("POST", "/v1/features"),
        ("POST", "/get-online-features"),
        ("POST", "/v1/feedback"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    ],
)
def test_api_is_as_its_document_says(api, method, path):
    url, _ = api
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    schema.validate()
    operation = schema[path][method]

    @hypothesis_settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy())
    def conforms(case):
        case.call_and_validate(checks=CHECKS)

    conforms()


def test_workers_end_with_a_server_that_is_killed(tmp_path, settings):
    port = free_port()
    settings = msgspec.structs.replace(settings, port=port, workers=2)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings.environment()}
    server = subprocess.Popen([sys.executable, "-c", SERVE], cwd=tmp_path, env=environment)
    await_status(f"http://127.0.0.1:{port}/healthz", 200)
    server.kill()
    server.wait()
    deadline = time.monotonic() + 10
    while answers(port):
        assert time.monotonic() < deadline, "the workers of a killed server still listen"
        time.sleep(0.05)


def test_redis_that_is_down_is_said_before_listening(tmp_path):
    settings = Settings(state=tmp_path, lake=tmp_path, redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(ServeError, match=r"does not answer .* set INTENT_REDIS_URL"):
        serve(settings, "127.0.0.1", free_port(), 1)
