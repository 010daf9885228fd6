"""A shard of a run: some shoppers, all their days, as sorted spill files and parts of the truth."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from feature_repo.events import from_us, rfc3339
from feature_repo.windows import US
from spark_jobs.lake import day_bounds
from spark_jobs.simulation.behaviour import GOAL_SERVED, WEEKDAYS
from spark_jobs.simulation.bots import crawl, poll, scrape
from spark_jobs.simulation.catalogue import Catalogue
from spark_jobs.simulation.delivery import arrivals
from spark_jobs.simulation.promotions import Calendar
from spark_jobs.simulation.shoppers import Shopper, new_shopper
from spark_jobs.simulation.shopping import shop
from spark_jobs.simulation.visit import Visit

MIN_GAP_US = 2_700 * US
HOUR_US = 3_600 * US
VISITS = {"person": shop, "crawler": crawl, "burst_scraper": scrape, "price_poller": poll}

TRUTH_COLUMNS: dict[str, tuple[str, ...]] = {
    "ground_truth.csv": (
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
        "shopper_id",
        "user_id_at_end",
        "device",
    ),
    "utterances.csv": ("event_id", "user_id", "language", "intent", "text"),
    "stages.csv": ("event_id", "session_id", "stage"),
    "shoppers.csv": (
        "shopper_id",
        "kind",
        "persona",
        "language",
        "sign_in",
        "budget",
        "promotion_sensitivity",
        "interests",
        "joins_on",
        "lapsing_since",
        "first_visit_on",
        "last_visit_on",
        "visits",
        "purchases",
        "amount_minor",
    ),
}


class Shard(NamedTuple):
    """Which shoppers, which days, and the folder to write to; a worker process is given one at a time."""

    number: int
    shoppers: range
    seed: int
    start: date
    days: int
    folder: Path

    def part(self, name: str) -> Path:
        return self.folder / f"{self.number:06d}.{name}"


def simulate_shard(shard: Shard) -> Counter[str]:
    """Write the shard's `lines` (events in order of arrival), `index` (for each line its arrival in
    microseconds and where it ends) and parts of the truth; counts what was written."""
    catalogue = Catalogue(shard.seed)
    calendar = Calendar(shard.seed, catalogue)
    totals: Counter[str] = Counter()
    sent: list[tuple[int, bytes]] = []
    with _Truth(shard) as truth:
        for number in shard.shoppers:
            shopper = new_shopper(number, shard.seed)
            for visit in _visits(shopper, catalogue, calendar, shard):
                before = len(sent)
                sent += arrivals(visit)
                truth.write_visit(visit)
                totals.update(
                    sessions=1,
                    bot_sessions=int(shopper.is_bot),
                    purchase_sessions=int(visit.purchases > 0),
                    events=len(visit.events),
                    repeats=len(sent) - before - len(visit.events),
                )
            totals.update(users=1, bots=int(shopper.is_bot))
            truth.write_shopper(shopper)
    sent.sort(key=itemgetter(0))
    with shard.part("lines").open("wb") as file:
        file.writelines(line for _, line in sent)
    index = np.empty((2, len(sent)), np.int64)
    index[0] = [received_us for received_us, _ in sent]
    index[1] = np.cumsum([len(line) for _, line in sent])
    np.save(shard.part("index.npy"), index)
    return totals


def _visits(shopper: Shopper, catalogue: Catalogue, calendar: Calendar, shard: Shard) -> Iterator[Visit]:
    """The shopper's visits, day by day (UTC), with time between them."""
    rng = shopper.rng
    make = VISITS[shopper.kind]
    for number in range(shard.days):
        date_ = shard.start + timedelta(number)
        day = calendar.on(date_)
        keenness = 1.0 if shopper.is_bot else shopper.keenness(number, day.traffic_lift)
        rate = keenness * shopper.visits_per_day * WEEKDAYS[date_.weekday()]
        count = int(rate) + (rng.random() < rate % 1)
        if not count:
            continue
        first_us, _ = day_bounds(date_.isoformat())
        hours = rng.choices(range(24), cum_weights=shopper.hours, k=count)
        for start_us in sorted(first_us + hour * HOUR_US + rng.randrange(HOUR_US) for hour in hours):
            if start_us < shopper.free_from_us:
                continue
            visit = make(shopper, catalogue, start_us, day)
            last_us = visit.times_us[-1]
            shopper.free_from_us = last_us + MIN_GAP_US
            shopper.first_visit_us = shopper.first_visit_us or start_us
            shopper.last_visit_us = start_us
            shopper.purchases += visit.purchases
            yield visit


class _Truth:
    """The shard's parts of the truth files, without headers."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._stack = ExitStack()

    def __enter__(self) -> "_Truth":
        files = {
            name: self._stack.enter_context(self._shard.part(name).open("w", encoding="utf-8", newline=""))
            for name in TRUTH_COLUMNS
        }
        rows = {name: csv.writer(file, lineterminator="\n").writerow for name, file in files.items()}
        self._visit, self._shopper = rows["ground_truth.csv"], rows["shoppers.csv"]
        self._utterance, self._stages = rows["utterances.csv"], files["stages.csv"]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write_visit(self, visit: Visit) -> None:
        shopper = visit.shopper
        self._visit(
            (
                visit.session_id,
                visit.events[0].user_id,
                visit.goal or "",
                GOAL_SERVED[visit.stages[-1]] if visit.goal else "",
                shopper.language,
                int(shopper.is_bot),
                int(shopper.sends_session_id),
                rfc3339(visit.times_us[0]),
                rfc3339(visit.times_us[-1]),
                len(visit.events),
                visit.purchases,
                shopper.account.user_id,
                visit.events[-1].user_id,
                visit.device or "",
            )
        )
        for utterance in visit.utterances:
            self._utterance(utterance)
        if visit.goal:
            of_visit = visit.session_id
            self._stages.writelines(
                f"{event.event_id},{of_visit},{stage}\n"
                for event, stage in zip(visit.events, visit.stages, strict=True)
            )

    def write_shopper(self, shopper: Shopper) -> None:
        start = self._shard.start

        def day(us: int | None) -> str:
            return "" if us is None else from_us(us).date().isoformat()

        lapsing = shopper.lapsing_since
        self._shopper(
            (
                shopper.account.user_id,
                shopper.kind,
                shopper.persona,
                shopper.language,
                shopper.sign_in,
                round(shopper.budget, 3),
                round(shopper.promotion_sensitivity, 3),
                ";".join(category.path for category in shopper.interests),
                start + timedelta(shopper.joins_on) if shopper.joins_on else "",
                "" if lapsing is None else start + timedelta(lapsing),
                day(shopper.first_visit_us),
                day(shopper.last_visit_us),
                shopper.visits,
                shopper.purchases,
                shopper.amount_minor,
            )
        )
