import pytest

from online_api.epochs import BlockingLedger
from spark_jobs.lake import Lake
from tests.online_api.fixtures import blocking, redis_url, server, settings

__all__ = ["blocking", "redis_url", "server", "settings"]


@pytest.fixture
def ledger(blocking, settings):
    return BlockingLedger(blocking, settings)


@pytest.fixture
def lake(settings):
    return Lake(settings.lake)
