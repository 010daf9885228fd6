"""What ingest costs: `make bench-ingest`, with EVENTS=20000 ROUNDS=7 IN_FLIGHT=8 WORKERS=1.

By turns the same batches go to the same Redis through `intent serve`, posted by a load generator, and from a
bare client, which pipelines the very commands that the API sends, made beforehand. Redis is emptied before
each turn; the first of either is a warm-up. One JSON object on standard output, a table on standard error.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import redis

from feature_repo.behavior import ACTIVITIES
from feature_repo.events import Event, admit
from online_api import keys
from online_api.connection import BlockingRedis, Command
from online_api.ledger import append
from online_api.redis_server import ensure_redis, free_port, home_of, last_port, stop_redis
from online_api.settings import PREFIX, Settings
from spark_jobs.simulation import simulate, users_for
from tests.benchmarks.figures import shown, spread
from tests.benchmarks.ingest_load import Load, Trips, pipelined, posted

BATCH_EVENTS = 100
# A simulated day has so many times the events that are sent: then a batch is of many shoppers.
SIMULATED_TIMES = 12
DAYS_AGO = 2
START_S = 60.0
HOST = "127.0.0.1"

Batch = list[dict]


class Plan(NamedTuple):
    """`events` are sent in each turn, `in_flight` batches at a time."""

    events: int = 20_000
    rounds: int = 7
    in_flight: int = 8
    workers: int = 1

    @classmethod
    def from_environment(cls) -> "Plan":
        return cls(*(int(os.environ.get(f.upper()) or default) for f, default in cls._field_defaults.items()))


class Turn(NamedTuple):
    """Processor time of each process in microseconds per event; `sender`: load generator or bare client."""

    events_per_s: float
    api_us: float
    redis_us: float
    sender_us: float

    @property
    def processor_us(self) -> float:
        return self.api_us + self.redis_us + self.sender_us


class Recorder(BlockingRedis):
    """Keeps what it sends."""

    def record(self, steps) -> Trips:
        self._sent: list[Sequence[Command]] = []
        self.do(steps)
        return self._sent

    def run(self, commands: Sequence[Command]) -> list:
        self._sent.append(commands)
        return super().run(commands)


class Bench:
    """One Redis, one API, and what is to be sent."""

    def __init__(self, batches: list[Batch], settings: Settings, server: subprocess.Popen, in_flight: int):
        self._events = sum(map(len, batches))
        self._settings = settings
        self._in_flight = in_flight
        self._port = last_port(home_of(settings.state))
        self._redis = redis.Redis(HOST, self._port)
        self._api_process = psutil.Process(server.pid)
        self._redis_process = psutil.Process(self._redis.info("server")["process_id"])
        self._bodies = [msgspec.json.encode({"events": batch}) for batch in batches]
        self._empty()
        self._trips = recorded(batches, settings, f"redis://{HOST}:{self._port}/0")

    def api(self) -> Turn:
        return self._turn(posted, HOST, self._settings.port, self._bodies, self._in_flight)

    def bare(self) -> Turn:
        return self._turn(pipelined, HOST, self._port, self._trips, self._in_flight)

    def live_counts(self) -> dict[bytes, dict[bytes, bytes]]:
        """The live hashes of every activity and of sessions as the last turn left them."""
        kinds = ("s", *(activity.name for activity in ACTIVITIES))
        names = [name for kind in kinds for name in self._redis.scan_iter(f"intent:*:{kind}:*", 1_000)]
        return {name: self._redis.hgetall(name) for name in names}

    def _turn(self, send: Callable[..., Load], *arguments) -> Turn:
        self._empty()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as sender:
            before = self._processor_s()
            load = sender.submit(send, *arguments).result()
            api_s, redis_s = (b - a for a, b in zip(before, self._processor_s(), strict=True))
        kept = sum(self._redis.xlen(keys.log(shard)) for shard in range(self._settings.shards))
        if kept != self._events:
            raise RuntimeError(f"{kept} of {self._events} events are in the ledger")
        us = 1_000_000 / self._events
        return Turn(self._events / load.seconds, api_s * us, redis_s * us, load.processor_s * us)

    def _processor_s(self) -> tuple[float, float]:
        api = (self._api_process, *self._api_process.children(recursive=True))
        return sum(map(_processor_s, api)), _processor_s(self._redis_process)

    def _empty(self) -> None:
        """Redis and its append-only log, so that no turn pays for compacting what another wrote."""
        self._redis.flushall()
        self._redis.bgrewriteaof()
        while any(self._redis.info("persistence")[f"aof_rewrite_{x}"] for x in ("in_progress", "scheduled")):
            time.sleep(0.05)


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def simulated_batches(events: int, folder: Path) -> list[Batch]:
    """Out of a simulated day, as the shop's clients send it: in order of arrival, each event once."""
    day = datetime.now(UTC).date() - timedelta(days=DAYS_AGO)
    simulate(users_for(events * SIMULATED_TIMES, 1), 1, 7, folder, start=day)
    sent: dict[str, dict] = {}
    with (folder / "events.jsonl").open("rb") as log:
        for line in islice(log, events * SIMULATED_TIMES // 2, None):
            event = msgspec.json.decode(line)
            del event["received_at"]
            sent.setdefault(event["event_id"], event)
            if len(sent) == events:
                break
    kept = list(sent.values())
    return [kept[i : i + BATCH_EVENTS] for i in range(0, len(kept), BATCH_EVENTS)]


def recorded(batches: list[Batch], settings: Settings, redis_url: str) -> list[Trips]:
    """For each batch its round trips: what the API sends to a Redis that was empty before the first."""
    now = time.time_ns() // 1_000
    recorder = Recorder(redis_url)
    trips = []
    for batch in batches:
        events = [admit(event, now, settings.door) for event in msgspec.convert(batch, list[Event])]
        trips.append(recorder.record(append(events, settings)))
    recorder.close()
    return trips


@contextmanager
def started(plan: Plan, folder: Path) -> Iterator[Bench]:
    """The bench, on a Redis and an API of its own, which keep everything in `folder`."""
    batches = simulated_batches(plan.events, folder)
    settings = Settings(state=folder, lake=folder / "lake", host=HOST, port=free_port(), workers=plan.workers)
    ensure_redis(folder)
    try:
        with serving(settings) as server:
            yield Bench(batches, settings, server, plan.in_flight)
    finally:
        stop_redis(folder)


@contextmanager
def serving(settings: Settings) -> Iterator[subprocess.Popen]:
    """`intent serve` with these settings and the others' defaults, once it listens."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with (settings.state / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("intent"), "serve"],
            env={**others, **settings.environment()},
            stdout=log,
            stderr=log,
        )
    try:
        await_listening(settings.port, server, settings.state / "serve.log")
        yield server
    finally:
        server.terminate()
        server.wait(timeout=30)


def await_listening(port: int, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"`intent serve` did not listen within {START_S:.0f} s: {log.read_text()[-2_000:]}")


def measured(plan: Plan, folder: Path) -> list[tuple[Turn, Turn]]:
    """Through the API and by the bare client, round by round, after one that warms up."""
    with started(plan, folder) as bench:
        return [(bench.api(), bench.bare()) for _ in range(plan.rounds + 1)][1:]


def report(plan: Plan, rounds: Sequence[tuple[Turn, Turn]]) -> dict[str, object]:
    """Median, lowest and highest over the rounds. `speed_ratio`: the API's events per second by the bare
    client's in the same round; `processor_ratio`: what an event costs Redis and the bare client by what it
    costs all processes through the API, which depends less on whatever else the machine does."""
    through_api, bare = zip(*rounds, strict=True)
    columns = (*Turn._fields, "processor_us")
    return {
        **plan._asdict(),
        "batch_events": BATCH_EVENTS,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "speed_ratio": spread([a.events_per_s / b.events_per_s for a, b in rounds], 3),
        "processor_ratio": spread([(b.redis_us + b.sender_us) / a.processor_us for a, b in rounds], 3),
        "api": {name: spread([getattr(t, name) for t in through_api]) for name in columns},
        "bare": {name: spread([getattr(t, name) for t in bare]) for name in columns},
    }


def table(found: dict) -> str:
    rows = [("", "through the API", "bare client")]
    rows += [(name, *(shown(found[side][name], ",.0f") for side in ("api", "bare"))) for name in found["api"]]
    rows += [(name, shown(found[name], ".0%"), "") for name in ("speed_ratio", "processor_ratio")]
    return "\n".join(f"{name:16}{api:>28}{bare:>28}".rstrip() for name, api, bare in rows)


def main() -> None:
    plan = Plan.from_environment()
    with tempfile.TemporaryDirectory() as folder:
        found = report(plan, measured(plan, Path(folder)))
    print(table(found), file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
