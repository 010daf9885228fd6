"""How events reach the shop: mostly at once, a few late, twice or out of order."""

from collections.abc import Iterator

import msgspec

from feature_repo.events import from_us, to_us
from feature_repo.windows import US
from spark_jobs.importers.native import NativeRow
from spark_jobs.simulation.visit import Visit

BATCHING_VISIT_CHANCE = 0.12
BATCH_US = 10 * US
LATE_CHANCE = 0.008
LATEST_S = 30 * 3_600
REPEAT_CHANCE = 0.006

Arrival = tuple[int, NativeRow]


def arrivals(visit: Visit) -> Iterator[Arrival]:
    """Each event of a visit with the instant it arrives, never before it happened; some twice."""
    rng = visit.shopper.rng
    in_batches = rng.random() < BATCHING_VISIT_CHANCE
    for event in visit.events:
        happened_us = to_us(event.event_time) - visit.shopper.clock_skew_us
        received_us = happened_us + 20_000 + int(rng.expovariate(1 / 120_000))
        if in_batches:
            received_us = (received_us // BATCH_US + 1) * BATCH_US + rng.randrange(300_000)
        if rng.random() < LATE_CHANCE:
            received_us += int(rng.uniform(60, LATEST_S) * US)
        yield received_us, _received(event, received_us)
        if rng.random() < REPEAT_CHANCE:
            again_us = received_us + rng.randrange(US, 90 * US)
            yield again_us, _received(event, again_us)


def _received(event: NativeRow, received_us: int) -> NativeRow:
    return msgspec.structs.replace(event, received_at=from_us(received_us))
