"""One installation of the platform as a user has it: the `intent` command, a running API, its own Redis."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from online_api.redis_server import free_port, stop_redis
from online_api.settings import Settings
from tests.spark_fixtures import SMALL_DATA

ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    status: int
    result: dict | None
    error: str


class Installation:
    def __init__(self, state: Path, **settings: str) -> None:
        self.state = state
        spark_conf = state / "spark.conf"
        spark_conf.write_text("".join(f"{name} {value}\n" for name, value in SMALL_DATA.items()))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("INTENT_")},
            "INTENT_STATE": str(state),
            "DAGSTER_HOME": str(state / "dagster"),
            "PYTHONPATH": str(ROOT),
            "INTENT_SPARK_CONF": str(spark_conf),
            **settings,
        }

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    def run(self, *arguments: str, **settings: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            env={**self.environment, **settings},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        result = json.loads(done.stdout) if done.stdout.strip() else None
        return Ended(done.returncode, result, done.stderr)

    def intent(self, *arguments: str) -> dict:
        ended = self.run(*arguments)
        assert ended.status == 0, ended.error[-3_000:]
        return ended.result

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "serve", "--port", str(port)],
            env=self.environment,
            cwd=ROOT,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                await_ready(process, client)
                yield client
        finally:
            process.terminate()
            process.wait(20)

    def stop(self) -> None:
        stop_redis(self.state)


def await_ready(process: subprocess.Popen, client: httpx.Client) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None and time.monotonic() < deadline, "the API does not become ready"
        time.sleep(0.1)
