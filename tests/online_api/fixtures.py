"""A real Redis, empty at each test, and settings that use it."""

import pytest
import redis

from online_api.connection import BlockingRedis
from online_api.settings import Settings
from tests.online_api.redis_process import redis_process


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    with redis_process(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def server(redis_url):
    """A client of the test's own, for looking behind the scenes."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.script_flush()
        yield client


@pytest.fixture
def settings(server, redis_url, tmp_path):
    return Settings(state=tmp_path, lake=tmp_path / "lake", redis_url=redis_url, shards=4)


@pytest.fixture
def blocking(settings):
    client = BlockingRedis(settings.redis_url)
    yield client
    client.close()
