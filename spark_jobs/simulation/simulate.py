"""A run of the simulated shop: its log, in the native format, and the truth behind it.

    events.jsonl        what the shop received, in order of arrival
    ground_truth.csv    a row a visit: the hidden goal, and what came of it
    stages.csv          a row an event of a person: what its shopper was doing just then
    shoppers.csv        a row a shopper or bot: persona, and when it began to lapse
    utterances.csv      a row a query or message: language and the intent it was written for
    promotions.csv      a row a campaign
    catalogue.csv       what is sold, with titles in Chinese and English

All of it is invented: figures measured on it say nothing about real shoppers. docs/simulation.md tells
what each column means.
"""

import csv
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from math import ceil, exp
from multiprocessing import get_context
from pathlib import Path

from feature_repo.events import EARLIEST_EVENT, LATEST_EVENT, rfc3339
from spark_jobs.lake import day_bounds
from spark_jobs.simulation.catalogue import Catalogue
from spark_jobs.simulation.merging import merge
from spark_jobs.simulation.promotions import NAMES, Calendar, Promotion
from spark_jobs.simulation.shard import TRUTH_COLUMNS, Shard, simulate_shard

DEFAULT_START = date(2026, 3, 1)
BATCH_EVENTS = 100_000
UNFINISHED = ".simulating"
CATALOGUE_COLUMNS = ("item_id", "category", "brand", "price_minor", "title_zh", "title_en")
PROMOTION_COLUMNS = (
    "promotion_id",
    "category",
    "starts_at",
    "ends_at",
    "discount_percent",
    "traffic_lift",
    "name_zh",
    "name_en",
)
COUNTED = ("users", "bots", "sessions", "purchase_sessions", "events", "repeats")

Summary = dict[str, int | float | str]


def events_per_user(days: int) -> float:
    """Events to be expected of a shopper: a curve fitted to runs of 3 to 365 days, in which some lapse."""
    lasting, fading, fading_days = 3.9, 8.35, 70
    return lasting * days + fading * fading_days * (1 - exp(-days / fading_days))


def users_for(events: int, days: int) -> int:
    return max(1, round(events / events_per_user(days)))


def simulate(
    users: int,
    days: int,
    seed: int,
    out: Path,
    start: date = DEFAULT_START,
    processes: int | None = None,
    batch_events: int = BATCH_EVENTS,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Summary:
    """Write a run's files into the folder `out` and sum it up.

    Equal arguments give equal bytes, whatever the number of `processes` (default: one a core) and the
    `batch_events`, which is about how many events each of them holds in memory. The files appear together
    when the run is complete; until then the folder needs room for the log twice over. `progress` is told
    how many shards of shoppers are done, and of how many.
    """
    counts = {"users": users, "days": days, "processes": processes, "batch_events": batch_events}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}: a simulation needs at least 1")
    _check_calendar(start, days)
    out.mkdir(parents=True, exist_ok=True)
    folder = out / UNFINISHED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        shards = list(_shards(users, days, seed, start, folder, batch_events))
        with _workers(min(processes or os.cpu_count() or 1, len(shards))) as each:
            totals: Counter[str] = Counter()
            for done, counted in enumerate(each(simulate_shard, shards), 1):
                totals.update(counted)
                progress(done, len(shards))
            merge(shards, folder / "events.jsonl", batch_events, each)
        for name, columns in TRUTH_COLUMNS.items():
            _join(folder / name, columns, (shard.part(name) for shard in shards))
        _write_shop(folder, seed, start, start + timedelta(days - 1))
        for name in ("events.jsonl", *TRUTH_COLUMNS, "promotions.csv", "catalogue.csv"):
            os.replace(folder / name, out / name)
    finally:
        shutil.rmtree(folder)
    people_sessions = max(1, totals["sessions"] - totals["bot_sessions"])
    return {
        **{name: totals[name] for name in COUNTED},
        "purchase_session_share": round(totals["purchase_sessions"] / people_sessions, 4),
        "first_day": start.isoformat(),
        "last_day": (start + timedelta(days - 1)).isoformat(),
        "out": str(out),
    }


def _check_calendar(start: date, days: int) -> None:
    """Every event, the last late one included, must be one that the door takes."""
    first_us, _ = day_bounds(start.isoformat())
    if first_us < EARLIEST_EVENT or days > (LATEST_EVENT - first_us) // 86_400_000_000 - 7:
        raise ValueError(f"{days} days from {start}: the log would leave the years 2000 to 2199")


def _shards(
    users: int, days: int, seed: int, start: date, folder: Path, batch_events: int
) -> Iterator[Shard]:
    size = ceil(batch_events / events_per_user(days))
    for number, first in enumerate(range(0, users, size)):
        yield Shard(number, range(first, min(first + size, users)), seed, start, days, folder)


@contextmanager
def _workers(processes: int) -> Iterator[Callable[..., Iterable]]:
    """A `map` over worker processes that are started afresh; over none of them if one is enough."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _join(path: Path, columns: tuple[str, ...], parts: Iterable[Path]) -> None:
    with path.open("wb") as whole:
        whole.write((",".join(columns) + "\n").encode())
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)
            part.unlink()


def _write_shop(folder: Path, seed: int, first: date, last: date) -> None:
    catalogue = Catalogue(seed)
    items = (
        (i.item_id, i.category.path, i.brand, i.price_minor, i.title_zh, i.title_en) for i in catalogue.items
    )
    promotions = (_row(promotion) for promotion in Calendar(seed, catalogue).between(first, last))
    for name, columns, rows in (
        ("catalogue.csv", CATALOGUE_COLUMNS, items),
        ("promotions.csv", PROMOTION_COLUMNS, promotions),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(columns)
            table.writerows(rows)


def _row(promotion: Promotion) -> tuple[object, ...]:
    starts_us, _ = day_bounds(promotion.first_day.isoformat())
    _, ends_us = day_bounds(promotion.last_day.isoformat())
    return (
        promotion.promotion_id,
        promotion.department,
        rfc3339(starts_us),
        rfc3339(ends_us),
        promotion.discount_percent,
        promotion.traffic_lift,
        *NAMES[promotion.department],
    )
