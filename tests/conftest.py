from orchestration.environment import confine

confine()

from hypothesis import HealthCheck, settings  # noqa: E402

import online_api.metrics  # noqa: E402, F401  before Feast, which turns on the many-process mode of metrics

pytest_plugins = ["tests.spark_fixtures"]

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
