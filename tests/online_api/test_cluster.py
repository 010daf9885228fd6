"""The same API and ledger on a Redis Cluster of three, where a script may touch one slot only."""

import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.redis_server import free_port, redis_binary
from online_api.settings import Settings
from tests.online_api.client import running
from tests.online_api.events import NOW, event, stamped
from tests.online_api.redis_process import await_answer
from tests.parity.arrivals import ITEMS, STREAM, USERS, Shop

SLOTS = 16_384


def node_port() -> int:
    """A node also listens 10,000 ports above its own."""
    return next(port for port in iter(free_port, None) if port + 10_000 < 65_536)


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory) -> Iterator[str]:
    nodes = [node_port() for _ in range(3)]
    with ExitStack() as stack:
        for port in nodes:
            options = [
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ]
            options += ["--cluster-enabled", "yes", "--dir", str(tmp_path_factory.mktemp("node"))]
            server = subprocess.Popen([redis_binary(), *options], stdout=subprocess.DEVNULL)
            stack.callback(server.wait, 10)
            stack.callback(server.terminate)
            await_answer(port)
        clients = [stack.enter_context(redis.Redis(port=p, decode_responses=True)) for p in nodes]
        for i, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTS", *range(i * SLOTS // 3, (i + 1) * SLOTS // 3))
            client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0])
        deadline = time.monotonic() + 30
        while not all(c.cluster("INFO")["cluster_state"] == "ok" for c in clients):
            assert time.monotonic() < deadline, "the cluster did not form"
            time.sleep(0.1)
        yield f"redis+cluster://127.0.0.1:{nodes[0]}"


@pytest.mark.slow
def test_events_count_once_and_land_on_a_cluster(cluster_url, tmp_path):
    settings = Settings(state=tmp_path, lake=tmp_path / "lake", redis_url=cluster_url)
    sent = [event(f"e{i}", user_id=f"u{i % 7}", item_id=f"p{i % 3}", session_id="s1") for i in range(60)]
    with running(settings) as client:
        assert client.post_events(*sent)["accepted"] == 60
        assert client.post_events(*sent)["duplicates"] == 60
        assert client.feature("item_activity:view_count_1h", item_id="p1") == (20, "PRESENT")
        assert client.feature("user_activity:view_count_1h", user_id="u1") == (9, "PRESENT")
        assert client.feature("session_activity:session_event_count", user_id="u1") == (
            9,
            "PRESENT",
        )
    blocking = BlockingRedis(cluster_url)
    ledger = BlockingLedger(blocking, settings)
    closed = ledger.close_epoch()
    shards = range(settings.shards)
    landed = [e for s in shards for chunk in ledger.entries(s, 0, closed) for e in chunk]
    assert len(landed) == 60 and ledger.clock() == NOW
    new_and_known = [stamped("x"), stamped("e1", user_id="u1")]
    assert ledger.claim_imported(new_and_known, "digest", NOW) == [False, True]
    assert ledger.trim(closed) == 60 and ledger.prune(closed) > 0
    blocking.close()


@pytest.mark.slow
def test_counters_on_a_cluster_are_those_of_one_server(cluster_url, tmp_path):
    """Of any stream; what is kept of a shopper lies in one slot, an item's tiles in the item's."""
    settings = Settings(state=tmp_path, lake=tmp_path / "lake", redis_url=cluster_url)
    with running(settings) as client:
        blocking = BlockingRedis(cluster_url)
        shop = Shop(client, BlockingLedger(blocking, settings))

        @hypothesis_settings(
            max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
        )
        @given(STREAM)
        def agree(stream) -> None:
            shop.follow(stream)

        agree()
        blocking.close()
    slots: dict[str, set[int]] = defaultdict(set)
    with redis.RedisCluster.from_url(cluster_url.replace("redis+cluster", "redis")) as cluster:
        for key in cluster.scan_iter("intent:{*", target_nodes=redis.RedisCluster.PRIMARIES):
            for entity in (f"{n}.{name}" for n in range(1, shop.streams + 1) for name in (*USERS, *ITEMS)):
                if re.search(rf"[:\x1f]{re.escape(entity)}(\x1f|$)", key.decode()):
                    slots[entity].add(cluster.keyslot(key))
    assert len(slots) > 8 and all(len(found) == 1 for found in slots.values())
    assert len(set().union(*slots.values())) > 3  # spread over the cluster
