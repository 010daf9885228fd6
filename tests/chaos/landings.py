"""What lands events, again and again until killed: `python -m tests.chaos.landings direct|dagster`.

Each finished landing is a line on standard output.
"""

import random
import sys
import time
from collections.abc import Callable

from orchestration.environment import confine

confine()

from redis.exceptions import RedisError  # noqa: E402

from online_api.redis_server import RedisUnavailable  # noqa: E402

PAUSE_S = 0.5


def direct() -> Callable[[], bool]:
    """What the asset `landed_events` does, with nothing around it."""
    from orchestration.landing import land
    from orchestration.resources import Platform

    platform = Platform.from_environment()

    def land_once() -> bool:
        try:
            land(platform.ledger, platform.lake)
        except (RedisError, RedisUnavailable, OSError) as error:
            print(f"not landed: {error}", file=sys.stderr, flush=True)
            return False
        return True

    return land_once


def dagster() -> Callable[[], bool]:
    """Runs of the job `landing`, as the schedule starts them."""
    import dagster as dg

    from orchestration.definitions import defs

    job, instance = defs().resolve_job_def("landing"), dg.DagsterInstance.get()
    return lambda: job.execute_in_process(instance=instance, raise_on_error=False).success


def main() -> None:
    land_once = {"direct": direct, "dagster": dagster}[sys.argv[1]]()
    while True:
        if land_once():
            print("landed", flush=True)
        time.sleep(random.uniform(0, PAUSE_S))


if __name__ == "__main__":
    main()
