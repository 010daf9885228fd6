"""The processes of an installation, kept running: whatever is killed or ends is started again."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx

from online_api.redis_server import (
    RedisUnavailable,
    answers,
    ensure_redis,
    home_of,
    last_port,
    stop_redis,
)

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
END_S = 10


class Victim(Protocol):
    def running(self) -> bool: ...

    def start(self) -> None: ...

    def kill(self, chance: random.Random) -> None:
        """SIGKILL."""

    def at_work(self) -> bool:
        """Whether it has done something of its own since it was started."""


class Program:
    """A Python module that runs until it is killed, with whatever processes it starts."""

    def __init__(self, name: str, module: str, *arguments: str, environment: Mapping[str, str], logs: Path):
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment, self._log = environment, logs / f"{name}.log"
        self._output = logs / f"{name}.out"
        self._process: subprocess.Popen | None = None
        self._before = 0

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._before = self.done()
        with self._output.open("ab") as output, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )

    def done(self) -> int:
        """Lines written to standard output so far, by this process and those before it."""
        return self._output.read_bytes().count(b"\n") if self._output.exists() else 0

    def at_work(self) -> bool:
        return self.running() and self.done() > self._before

    def kill(self, chance: random.Random) -> None:
        self.kill_all()

    def kill_all(self) -> None:
        """This process and those that it has started."""
        if (process := self._process) is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Api(Program):
    def __init__(self, port: int, environment: Mapping[str, str], logs: Path) -> None:
        arguments = ("serve", "--workers", "2", "--port", str(port))
        super().__init__("api", "orchestration.cli", *arguments, environment=environment, logs=logs)
        self.url = f"http://127.0.0.1:{port}"
        self.left_behind: list[int] = []
        """Groups of processes that went on without the one that had started them."""

    def at_work(self) -> bool:
        try:
            return self.running() and httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self, chance: random.Random) -> None:
        """A worker, the process above the workers, or all at once."""
        what, workers = chance.choice(("worker", "main", "all")), self._workers()
        if not workers or what == "all":
            self.kill_all()
        elif what == "main":
            self._kill_main()
        else:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)

    def _kill_main(self) -> None:
        process = self._process
        process.kill()
        process.wait()
        try:
            wait_for("the end of the workers", lambda: not group_runs(process.pid), END_S)
        except TimeoutError:
            self.left_behind.append(process.pid)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _workers(self) -> list[int]:
        if not self.running():
            return []
        pid = self._process.pid
        with suppress(FileNotFoundError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []


class Redis:
    def __init__(self, state: Path) -> None:
        self._state = state

    def running(self) -> bool:
        port = last_port(home_of(self._state))
        return port is not None and answers(port)

    def start(self) -> None:
        ensure_redis(self._state)

    def at_work(self) -> bool:
        return self.running()

    def kill(self, chance: random.Random) -> None:
        home = home_of(self._state)
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):  # if it is only starting
            pid = int((home / "pid").read_text())
            if f":{last_port(home)}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        stop_redis(self._state)


class Keeper(threading.Thread):
    """Starts again what has ended, as a service manager does."""

    def __init__(self, victims: Mapping[str, Victim]) -> None:
        super().__init__(name="keeper", daemon=True)
        self._victims = victims
        self._enough = threading.Event()
        self.starts: dict[str, int] = dict.fromkeys(victims, 0)

    def run(self) -> None:
        while not self._enough.wait(POLL_S):
            for name, victim in self._victims.items():
                if not victim.running():
                    self.starts[name] += 1
                    try:
                        victim.start()
                    except RedisUnavailable as error:
                        print(f"chaos: {error}", file=sys.stderr)

    def stop(self) -> None:
        self._enough.set()
        self.join()


def group_runs(group: int) -> bool:
    """Whether a process of the group is alive; one that has ended may wait long to be reaped."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                return True
    return False


def wait_for(what: str, condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not seen in {timeout_s:.0f} s")
        time.sleep(POLL_S)
