import pytest

from tests.online_api.client import running
from tests.online_api.fixtures import blocking, redis_url, server, settings

__all__ = ["blocking", "redis_url", "server", "settings"]


@pytest.fixture
def client(settings):
    with running(settings) as client:
        yield client
