import os
import sys

import pytest

from orchestration.environment import confine

confine()
# PySpark takes a main module without a file for its own doctests, and exits. Workers of xdist have none.
vars(sys.modules["__main__"]).setdefault("__file__", __file__)

from hypothesis import HealthCheck, settings  # noqa: E402

import online_api.metrics  # noqa: E402, F401  before Feast, which turns on the many-process mode of metrics

pytest_plugins = ["tests.spark_fixtures"]

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def same_environment():
    """What a test's code writes to the environment ends with the test: others run in this process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
