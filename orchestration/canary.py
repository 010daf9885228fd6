"""A canary: events of a made-up shopper, posted and read back over HTTP, and looked for in the lake.

Its shoppers begin with PREFIX, a new one each time. Its events name no item and consent to personalisation,
so that they count for it alone; they claim one and the same second, so that the bot rules know it for a
machine and labels, profiles of the shop and live quality leave it out.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import httpx
import msgspec
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.events import rfc3339, to_us
from feature_repo.windows import US
from spark_jobs.lake import Commit, Lake

PREFIX = "canary-"
# More pages within ten seconds than the bot rules allow a person.
MIN_EVENTS = 24
SPACING_US = 2_000
"""Between claimed times: a score tells the age of the newest event in whole milliseconds."""
COUNTED = "user_activity:view_count_1h"
GIVE_UP_S = 10.0
STATE = "canary"


class Unreachable(RuntimeError):
    """The API does not answer as it should; the message says what to do."""


class Seen(msgspec.Struct, frozen=True):
    """From acknowledgement until the event was seen, and how many reads that took; None: it was not."""

    way: str
    ms: float | None
    reads: int


class Arrival(msgspec.Struct, frozen=True):
    """`seconds` from the posting of each event until its commit; `waiting`: seconds since events were
    posted that no commit has."""

    seconds: list[float]
    waiting: list[float]


def fly(url: str, clock: int, events: int) -> tuple[str, list[Seen]]:
    """Post events one by one and read each back, by features and by score in turn; the shopper's name.
    `clock`: now, by the shop's clock. Raises Unreachable."""
    user_id = f"{PREFIX}{time.time_ns() // 1_000}"
    first = clock - US
    with httpx.Client(base_url=url, timeout=GIVE_UP_S) as client:
        seen = [_sent_and_seen(client, user_id, n, first + n * SPACING_US) for n in range(events)]
    return user_id, seen


def _sent_and_seen(client: httpx.Client, user_id: str, n: int, event_time: int) -> Seen:
    event = {
        "event_id": f"{PREFIX}{time.time_ns() // 1_000}",
        "user_id": user_id,
        "session_id": user_id,
        "event_type": "view",
        "event_time": rfc3339(event_time),
        "consent": "personalize",
    }
    answer = _ask(client, "/v1/events", {"events": [event]})
    if answer["accepted"] != 1:
        raise Unreachable(f"the API at {client.base_url} refused the canary: {answer['rejected']}")
    if n % 2:
        return _poll("score", lambda: _newest_by_score(client, user_id) >= event_time)
    return _poll("features", lambda: _counted(client, user_id) > n)


def _poll(way: str, is_seen: Callable[[], bool]) -> Seen:
    acknowledged, reads = time.perf_counter(), 0
    while (waited := time.perf_counter() - acknowledged) < GIVE_UP_S:
        reads += 1
        if is_seen():
            return Seen(way, 1_000 * (time.perf_counter() - acknowledged), reads)
        time.sleep(min(0.05, waited / 10))
    return Seen(way, None, reads)


def _counted(client: httpx.Client, user_id: str) -> int:
    asked = {"features": [COUNTED], "entities": {"user_id": [user_id]}}
    return _ask(client, "/v1/features", asked)["results"][0]["values"][0]


def _newest_by_score(client: httpx.Client, user_id: str) -> int:
    answer = _ask(client, "/v1/score", {"user_id": user_id})
    age_ms = answer["features"]["newest_event_age_ms"]
    as_of = datetime.fromisoformat(answer["as_of"])
    return 0 if age_ms is None else to_us(as_of) - 1_000 * age_ms


def _ask(client: httpx.Client, path: str, body: dict) -> dict:
    try:
        response = client.post(path, json=body)
    except httpx.TransportError as error:
        raise Unreachable(
            f"the API at {client.base_url} does not answer ({error}): start it with `intent serve`, or set "
            "INTENT_API_URL"
        ) from error
    if response.status_code != 200:
        raise Unreachable(f"{path} of the API at {client.base_url}: {response.status_code} {response.text}")
    return response.json()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50 and p99; of fewer than a hundred values, p99 is close to the greatest."""
    found = np.percentile(values, [50, 99]) if len(values) else ()
    return {name: round(float(value), 3) for name, value in zip(("p50", "p99"), found, strict=False)}


# -- in the lake ----------------------------------------------------------------------------------


def note_sent(lake: Lake, user_id: str, sent_at: int) -> None:
    """`sent_at` by the wall's clock, microseconds."""
    state = _state(lake)
    state["waiting"][user_id] = sent_at
    lake.write_state(STATE, state)


def arrival(lake: Lake, now: int) -> Arrival:
    """Of the events of earlier canaries that have landed since this was last asked, and of those that
    have not landed by `now`."""
    state = _state(lake)
    new = [c for c in lake.commits() if c.kind == "stream" and c.epoch > state["epoch"]]
    seconds = []
    for commit in new:
        for user_id, sent_at in _canaries_of(lake, commit):
            seconds.append((lake.committed_at(commit) - sent_at) / US)
            state["waiting"].pop(user_id, None)
    state["epoch"] = max((c.epoch for c in new), default=state["epoch"])
    lake.write_state(STATE, state)
    return Arrival(seconds, [(now - sent_at) / US for sent_at in state["waiting"].values()])


def _state(lake: Lake) -> dict:
    return lake.read_state(STATE) or {"epoch": 0, "waiting": {}}


def _canaries_of(lake: Lake, commit: Commit) -> Iterator[tuple[str, int]]:
    """Shopper and the wall's time of posting, which the event's id tells."""
    for file in commit.files:
        rows = pq.read_table(lake.root / file.path, columns=["user_id", "event_id"], partitioning=None)
        rows = rows.filter(pc.starts_with(rows["user_id"], PREFIX))
        for row in rows.to_pylist():
            sent_at = row["event_id"].removeprefix(PREFIX)
            if sent_at.isdecimal():
                yield row["user_id"], int(sent_at)
