"""A run of the simulated shop: its log, in the native format, and the truth behind it.

    events.jsonl        what the shop received, in order of arrival
    ground_truth.csv    a row a visit: the hidden goal, and what came of it
    utterances.csv      a row a query or message: language and the intent it was written for
    catalogue.csv       what is sold, with titles in Chinese and English

All of it is invented: figures measured on it say nothing about real shoppers.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import IO

import msgspec

from feature_repo.events import rfc3339
from feature_repo.windows import US
from spark_jobs.lake import day_bounds
from spark_jobs.simulation.behaviour import WEEKDAYS
from spark_jobs.simulation.delivery import Arrival, arrivals
from spark_jobs.simulation.shop import Catalogue, Shopper, new_shopper
from spark_jobs.simulation.visit import Visit, crawl, shop

DEFAULT_START = date(2026, 3, 1)
MIN_GAP_US = 2_700 * US

TRUTH_COLUMNS = (
    "session_id",
    "user_id",
    "goal",
    "goal_at_end",
    "language",
    "is_bot",
    "sends_session_id",
    "first_event_time",
    "last_event_time",
    "events",
    "purchases",
)
UTTERANCE_COLUMNS = ("event_id", "user_id", "language", "intent", "text")
CATALOGUE_COLUMNS = ("item_id", "category", "brand", "price_minor", "title_zh", "title_en")
HOUR_US = 3_600 * US


def simulate(
    users: int, days: int, seed: int, out: Path, start: date = DEFAULT_START
) -> dict[str, int | float | str]:
    """Write a run's files into the folder `out` and sum it up; equal arguments, equal bytes."""
    for name, value in (("users", users), ("days", days)):
        if value < 1:
            raise ValueError(f"{name} is {value}: a simulation needs at least 1")
    out.mkdir(parents=True, exist_ok=True)
    with _RunFiles(out) as files:
        catalogue = Catalogue(Random(f"{seed}/catalogue"))
        for item in catalogue.all():
            names = (item.item_id, item.category.path, item.brand, item.price_minor)
            files.catalogue.writerow((*names, item.title_zh, item.title_en))
        shoppers = [new_shopper(number, seed) for number in range(users)]
        summary = _run(shoppers, catalogue, [start + timedelta(d) for d in range(days)], files)
    return {**summary, "out": str(out)}


def _run(
    shoppers: list[Shopper], catalogue: Catalogue, days: list[date], files: "_RunFiles"
) -> dict[str, int | float | str]:
    totals: Counter[str] = Counter(users=len(shoppers), bots=sum(s.is_bot for s in shoppers))
    under_way: list[Arrival] = []
    for day in days:
        for shopper in shoppers:
            for visit in _visits(shopper, catalogue, day):
                sent = list(arrivals(visit))
                under_way += sent
                files.write_truth(visit)
                totals.update(
                    sessions=1,
                    purchase_sessions=int(visit.purchases > 0),
                    events=len(visit.events),
                    repeats=len(sent) - len(visit.events),
                )
        # Nothing of a later day can arrive before that day begins, so what is older is complete.
        _, next_day_us = day_bounds(day.isoformat())
        files.write_events(a for a in under_way if a[0] < next_day_us)
        under_way = [a for a in under_way if a[0] >= next_day_us]
    files.write_events(under_way)
    people_sessions = max(1, totals["sessions"] - files.bot_sessions)
    return {
        **totals,
        "purchase_session_share": round(totals["purchase_sessions"] / people_sessions, 4),
        "first_day": days[0].isoformat(),
        "last_day": days[-1].isoformat(),
    }


def _visits(shopper: Shopper, catalogue: Catalogue, day: date) -> Iterator[Visit]:
    """The shopper's visits that begin on this day (UTC), with time between them."""
    rng = shopper.rng
    first_us, _ = day_bounds(day.isoformat())
    rate = shopper.visits_per_day * WEEKDAYS[day.weekday()]
    count = int(rate) + (rng.random() < rate % 1)
    hours = rng.choices(range(24), cum_weights=shopper.hours, k=count)
    starts = sorted(first_us + hour * HOUR_US + rng.randrange(HOUR_US) for hour in hours)
    for start_us in starts:
        if start_us < shopper.free_from_us:
            continue
        visit = (crawl if shopper.is_bot else shop)(shopper, catalogue, start_us)
        shopper.free_from_us = visit.last_us + MIN_GAP_US
        yield visit


class _RunFiles:
    """The files of a run, put in place together when it is complete."""

    NAMES = ("events.jsonl", "ground_truth.csv", "utterances.csv", "catalogue.csv")

    def __init__(self, out: Path) -> None:
        self._out = out
        self._stack = ExitStack()
        self._encoder = msgspec.json.Encoder()
        self.bot_sessions = 0

    def __enter__(self) -> "_RunFiles":
        opened: list[IO[str]] = [
            self._stack.enter_context(self._partial(name).open("w", encoding="utf-8", newline="\n"))
            for name in self.NAMES
        ]
        self._events = opened[0].buffer
        self._truth, self._utterances, self.catalogue = (
            csv.writer(file, lineterminator="\n") for file in opened[1:]
        )
        self._truth.writerow(TRUTH_COLUMNS)
        self._utterances.writerow(UTTERANCE_COLUMNS)
        self.catalogue.writerow(CATALOGUE_COLUMNS)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        for name in self.NAMES:
            if failure is None:
                os.replace(self._partial(name), self._out / name)
            else:
                self._partial(name).unlink()

    def _partial(self, name: str) -> Path:
        return self._out / f".{name}.partial"

    def write_events(self, arrived: Iterator[Arrival] | list[Arrival]) -> None:
        in_order = sorted(arrived, key=itemgetter(0))
        self._events.write(self._encoder.encode_lines([event for _, event in in_order]))

    def write_truth(self, visit: Visit) -> None:
        shopper = visit.shopper
        self.bot_sessions += shopper.is_bot
        self._truth.writerow(
            (
                visit.session_id,
                shopper.user_id,
                visit.goal or "",
                visit.goal_at_end or "",
                shopper.language,
                int(shopper.is_bot),
                int(shopper.sends_session_id),
                rfc3339(visit.first_us),
                rfc3339(visit.last_us),
                len(visit.events),
                visit.purchases,
            )
        )
        for u in visit.utterances:
            self._utterances.writerow((u.event_id, shopper.user_id, u.language, u.intent, u.text))
