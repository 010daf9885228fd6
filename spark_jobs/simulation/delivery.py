"""How events reach the shop: mostly at once, a few late, twice or out of order."""

from collections.abc import Iterator
from datetime import timedelta
from math import log

import msgspec

from feature_repo.windows import US
from spark_jobs.simulation.visit import EPOCH, Visit

BATCHING_VISIT_CHANCE = 0.12
BATCH_US = 10 * US
TRANSIT_US, MEAN_DELAY_US = 20_000, 120_000
LATE_CHANCE = 0.008
LATEST_S = 30 * 3_600
REPEAT_CHANCE = 0.006

_encode = msgspec.json.Encoder().encode


def arrivals(visit: Visit) -> Iterator[tuple[int, bytes]]:
    """Each event as a line, with the instant it arrives, never before it happened; some twice."""
    rng = visit.shopper.rng
    random = rng.random
    in_batches = random() < BATCHING_VISIT_CHANCE
    for event, happened_us in zip(visit.events, visit.times_us, strict=True):
        received_us = happened_us + TRANSIT_US - int(MEAN_DELAY_US * log(1 - random()))
        if in_batches:
            received_us = (received_us // BATCH_US + 1) * BATCH_US + int(300_000 * random())
        chance = random()
        if chance < LATE_CHANCE:
            received_us += int(rng.uniform(60, LATEST_S) * US)
        event.received_at = EPOCH + timedelta(microseconds=received_us)
        yield received_us, _encode(event) + b"\n"
        if chance > 1 - REPEAT_CHANCE:
            again_us = received_us + rng.randrange(US, 90 * US)
            event.received_at = EPOCH + timedelta(microseconds=again_us)
            yield again_us, _encode(event) + b"\n"
