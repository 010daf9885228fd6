"""Events under load while processes are killed, and the audit of what is left.

    clients ── POST ──► API ──► Redis ──► landings: one by itself, one in Dagster runs ──► lake
                         ╳        ╳                 ╳                   ╳

A keeper starts again what has ended. A client sends a batch until it is answered with 200.
"""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from shutil import rmtree

import msgspec

from online_api.redis_server import ensure_redis, free_port
from online_api.settings import PREFIX, Settings
from spark_jobs.lake import Lake
from tests.chaos.audit import Audit, uncommitted_files
from tests.chaos.load import Load
from tests.chaos.processes import ROOT, Api, Keeper, Program, Redis, wait_for

KINDS = ("api", "redis", "landing", "dagster")
PAUSE_S = 0.8
# The share of kills that wait until all is at work; the others may meet their victim while it starts.
AT_WORK = 0.8
START_S = 120
SHOWN = 50


class Report(msgspec.Struct, kw_only=True):
    """`events_acknowledged`: identities answered with 200. `attempts_failed`: by status or error.
    `landings`: how many were finished; `uncommitted_files`: what those killed before their commit left."""

    seed: int
    kills: dict[str, int]
    starts: dict[str, int]
    events_acknowledged: int
    batches: int
    retries: int
    attempts_failed: dict[str, int]
    landings: dict[str, int]
    uncommitted_files: int
    mismatches: int
    mismatched: list[str]
    seconds: float
    state: str | None = None


class Storm:
    def __init__(self, state: Path, seed: int, clients: int, pause_s: float) -> None:
        self._seed, self._state, self._chance = seed, state, random.Random(seed)
        self._killed = Counter(dict.fromkeys(KINDS, 0))
        port, environment = free_port(), environment_of(state)
        self.settings = Settings.from_environment(environment)
        self.api, self.redis = Api(port, environment, state), Redis(state)
        self.landings = {
            kind: Program(kind, "tests.chaos.landings", how, environment=environment, logs=state)
            for kind, how in (("landing", "direct"), ("dagster", "dagster"))
        }
        self.victims = {"api": self.api, "redis": self.redis, **self.landings}
        self._keeper = Keeper(self.victims)
        self._load = Load(self.api.url, seed, clients, pause_s)

    def run(self, kills: int) -> Report:
        started = time.monotonic()
        try:
            self._keeper.start()
            wait_for("the API", self.api.at_work, START_S)
            self._load.start()
            self._kill(kills - len(KINDS))
            answered = self._load.finish(START_S)
            self._kill_all()
            self._await_landings()
            audit = self._audit(answered.batches)
            left = [f"workers of the killed API {pid} went on" for pid in self.api.left_behind]
            mismatched = [*answered.refused, *left, *audit.mismatches()]
        finally:
            self._keeper.stop()
            for program in (self.api, *self.landings.values()):
                program.kill_all()
            self.redis.stop()
        return Report(
            seed=self._seed,
            kills=dict(self._killed),
            starts=self._keeper.starts,
            events_acknowledged=len(audit.first),
            batches=len(answered.batches),
            retries=answered.attempts_failed.total(),
            attempts_failed=dict(answered.attempts_failed),
            landings={kind: program.done() for kind, program in self.landings.items()},
            uncommitted_files=uncommitted_files(Lake(self.settings.lake)),
            mismatches=len(mismatched),
            mismatched=mismatched[:SHOWN],
            seconds=round(time.monotonic() - started, 1),
        )

    def _kill(self, kills: int) -> None:
        chance = self._chance
        while self._killed.total() < kills:
            for kind in chance.sample(KINDS, len(KINDS))[: kills - self._killed.total()]:
                if chance.random() < AT_WORK:
                    self._await_work(kind)
                time.sleep(chance.uniform(0, PAUSE_S))
                self.victims[kind].kill(chance)
                self._count(kind)

    def _count(self, kind: str) -> None:
        self._killed[kind] += 1
        print(f"{self._killed.total():4} {kind}", file=sys.stderr, flush=True)

    def _await_work(self, kind: str) -> None:
        """Until events are taken again and the victim is in the midst of its own."""
        before = self._load.answered()
        wait_for(f"{kind}, at work,", self.victims[kind].at_work, START_S)
        wait_for("an answer of 200", lambda: self._load.answered() > before, START_S)

    def _kill_all(self) -> None:
        """So that what is audited is what outlives every process."""
        for program in (self.api, *self.landings.values()):
            program.kill_all()
        self.redis.kill(self._chance)
        for kind in KINDS:
            self._count(kind)

    def _await_landings(self) -> None:
        for kind, victim in self.victims.items():
            wait_for(f"{kind}, at work again,", victim.at_work, START_S)

    def _audit(self, batches: list[list[dict]]) -> Audit:
        settings = msgspec.structs.replace(self.settings, redis_url=ensure_redis(self._state))
        return Audit(settings, self.api.url, batches)


def storm(kills: int, seed: int, clients: int = 4, pause_s: float = 0.05) -> Report:
    """`pause_s`: the longest of a client between two batches.

    The state is kept, and named by the report, if anything does not match."""
    state = Path(tempfile.mkdtemp(prefix="chaos-"))
    report = Storm(state, seed, clients, pause_s).run(kills)
    if report.mismatches:
        report.state = str(state)
    else:
        rmtree(state)
    return report


def environment_of(state: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {
        **inherited,
        "INTENT_STATE": str(state),
        "DAGSTER_HOME": str(state / "dagster"),
        "PYTHONPATH": str(ROOT),
    }
