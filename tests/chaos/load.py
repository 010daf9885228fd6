"""Clients that post batches until each is answered with 200, and what was answered."""

import random
import threading
import time
from collections import Counter
from typing import NamedTuple

import httpx

from feature_repo.events import EVENT_TYPES, rfc3339
from tests.online_api.events import DAY, HOUR, SECOND
from tests.parity.streams import instant

ANSWER_S = 5.0
AGAIN_S = 0.05
SHOPPERS = ("a", "b", "c", "d|e", "顾客", "f:g", "h", "i")
ITEMS = ("lamp", "mug:1", "灯", *(f"i{n}" for n in range(17)), None)
SESSIONS = ("s1", "s|2", "会话", *(f"s{n}" for n in range(9)), None, None)
OLDEST = 6 * DAY + 12 * HOUR


class Refused(Exception):
    """The API answered in a way that resending does not mend."""


class Answered(NamedTuple):
    batches: list[list[dict]]
    attempts_failed: Counter[str]
    refused: list[str]


class Client(threading.Thread):
    """One sender. Its shoppers are its own, so that the order in which it sends their events is known."""

    def __init__(self, url: str, seed: int, number: int, pause_s: float) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self._url, self._pause_s, self._random = url, pause_s, random.Random(f"{seed}/{number}")
        self._shoppers = [f"{name}-{number}" for name in SHOPPERS]
        self._made = 0
        self._enough = threading.Event()
        self.batches: list[list[dict]] = []
        self.attempts_failed: Counter[str] = Counter()
        self.refused: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=ANSWER_S) as api:
            while not self._enough.is_set():
                batch = self._batch()
                try:
                    self._post_until_kept(api, batch)
                except Refused as error:
                    self.refused.append(str(error))
                    return
                self.batches.append(batch)
                time.sleep(self._random.uniform(0, self._pause_s))

    def finish(self) -> None:
        """Send what is being sent until it is answered, and no more."""
        self._enough.set()

    def _post_until_kept(self, api: httpx.Client, batch: list[dict]) -> None:
        while True:
            try:
                response = api.post("/v1/events", json={"events": batch})
            except httpx.TransportError as error:
                self.attempts_failed[type(error).__name__] += 1
            else:
                if response.status_code == 200:
                    return check_answer(response.json(), batch)
                if response.status_code < 500:
                    raise Refused(f"{response.status_code} {response.text[:500]}")
                self.attempts_failed[str(response.status_code)] += 1
            time.sleep(AGAIN_S)

    def _batch(self) -> list[dict]:
        chance, batch = self._random, []
        for _ in range(chance.choice((1, 2, 3, 5, 8, 20, 60))):
            kind = chance.random()
            if kind < 0.06 and batch:
                batch.append(self._repeat(chance.choice(batch)))
            elif kind < 0.12 and self.batches:
                batch.append(self._repeat(chance.choice(chance.choice(self.batches))))
            else:
                batch.append(self._event())
        return batch

    def _repeat(self, event: dict) -> dict:
        """The same identity, every other time with something else said of it: the first one counts."""
        if self._random.random() < 0.5:
            return event
        return {**self._event(), "user_id": event["user_id"], "event_id": event["event_id"]}

    def _event(self) -> dict:
        chance = self._random
        self._made += 1
        kind = chance.choice(EVENT_TYPES)
        optional = {
            "session_id": chance.choice(SESSIONS),
            "item_id": chance.choice(ITEMS),
            "category": chance.choice(("shoes", "鞋 > 靴", None)),
            "price": chance.choice((None, 0, 999, 10**10)),
            "quantity": chance.choice((None, 3, 10_000)),
            "consent": chance.choice((None, None, None, "personalize", "aggregate")),
            "query": "蓝牙耳机" if kind == "search" else None,
            "text": "where is my parcel" if kind == "message" else None,
        }
        return {
            "event_id": f"e{self._made}",  # other clients' shoppers have events of that name, too
            "user_id": chance.choice(self._shoppers),
            "event_type": kind,
            "event_time": rfc3339(self._time()),
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _time(self) -> int:
        """Never ahead of its arrival: the arrival would become the event's time."""
        now = time.time_ns() // 1_000 - SECOND
        oldest = now - self._random.choice((2 * SECOND, 2 * SECOND, HOUR, DAY, OLDEST))
        return instant(self._random, oldest, now)


class Load:
    def __init__(self, url: str, seed: int, clients: int, pause_s: float) -> None:
        self._clients = [Client(url, seed, number, pause_s) for number in range(clients)]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def answered(self) -> int:
        """How many batches have been."""
        return sum(len(client.batches) for client in self._clients)

    def finish(self, timeout_s: float) -> Answered:
        """Wait until everything that was sent is answered."""
        for client in self._clients:
            client.finish()
        deadline = time.monotonic() + timeout_s
        for client in self._clients:
            client.join(max(deadline - time.monotonic(), 0))
            if client.is_alive():
                raise TimeoutError(f"{client.name} has no answer of 200 after {timeout_s:.0f} s")
        return Answered(
            [batch for client in self._clients for batch in client.batches],
            sum((client.attempts_failed for client in self._clients), Counter()),
            [refusal for client in self._clients for refusal in client.refused],
        )


def check_answer(answer: dict, batch: list[dict]) -> None:
    if answer["rejected"] or answer["accepted"] + answer["duplicates"] != len(batch):
        raise Refused(f"{len(batch)} events were answered with {answer}"[:500])
