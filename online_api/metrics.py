"""What the API counts and times, in Prometheus's format.

With several workers each is a process of its own; `PROMETHEUS_MULTIPROC_DIR`, set before this module is
loaded, is where they add up.
"""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
MANY_PROCESSES = MULTIPROCESS_DIR in os.environ
CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

REQUESTS = Counter("intent_requests", "Requests answered", ["path", "status"])
LATENCY = Histogram("intent_request_seconds", "Time to answer", ["path"], buckets=_LATENCY_S)
EVENTS_ACCEPTED = Counter("intent_events_accepted", "Events kept")
EVENTS_DUPLICATE = Counter("intent_events_duplicate", "Events recognised as repeats")
EVENTS_REJECTED = Counter("intent_events_rejected", "Events refused", ["code"])
PURCHASES_UNPRICED = Counter("intent_purchases_unpriced", "Accepted purchases without a price, counted as 0")
SCORES = Counter("intent_scores", "Scores answered", ["degraded"])
SCORES_UNLOGGED = Counter("intent_scores_unlogged", "Scores that could not be logged")
FEATURES_MISSING = Counter("intent_features_missing", "Inputs a score did without", ["view", "reason"])
RELEASES_REFUSED = Counter("intent_releases_refused", "Releases that this code cannot serve")
RELEASE_LOADED = Gauge(
    "intent_release_loaded", "1 for the release served", ["release"], multiprocess_mode="livemax"
)


def render() -> bytes:
    if not MANY_PROCESSES:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)
