"""What the tables have seen of the ledger: which days must run, and which epochs a snapshot covers."""

from collections.abc import Iterable
from datetime import date, timedelta

from feature_repo.behavior import WINDOWS
from feature_repo.windows import DAY_S
from spark_jobs.lake import Lake

# The tables at the end of a day's path: a day is done when all of these have seen its newest events.
LEAVES = ("user_activity", "user_profile", "item_profile", "user_intent_embedding", "user_keywords")
FACTS = "user_day_facts"
TILES = ("user_day_tiles", "item_day_tiles", "session_day_tiles")


# How many days later an event can still be in some window.
LOOK_BACK_DAYS = max(-(-(w.length_s + w.hop_s) // DAY_S) for w in WINDOWS)


class UnevenTiles(RuntimeError):
    """Some days' tiles hold an epoch of which other days' tiles miss a part."""


def stale_days(lake: Lake) -> list[str]:
    """Days of which some leaf has not seen all events of the days it looks back on, its own included."""
    newest = lake.ledger_days()
    return [
        day
        for day in newest
        if any(
            lake.seen_epoch(leaf, day) < sum(newest[d] for d in looked_back_on(newest, day))
            for leaf in LEAVES
        )
    ]


def seen_through_tiles(lake: Lake, day: str) -> int:
    """What a leaf computed now sees of the ledger: the epochs that the tiles it looks back on hold, summed.

    A sum, so that a change of any one of those days shows.
    """
    return _seen_through(lake, TILES[0], day)


def seen_through_facts(lake: Lake, day: str) -> int:
    """The same of a leaf that is summed from the facts of days, as profiles are."""
    return _seen_through(lake, FACTS, day)


def _seen_through(lake: Lake, table: str, day: str) -> int:
    return sum(lake.seen_epoch(table, d) for d in looked_back_on(lake.ledger_days(), day))


def looked_back_on(days: Iterable[str], day: str) -> list[str]:
    earliest = (date.fromisoformat(day) - timedelta(LOOK_BACK_DAYS)).isoformat()
    return [d for d in days if earliest <= d <= day]


def covered_epoch(lake: Lake) -> int:
    """The newest epoch of the live log up to which the tiles hold every event, and beyond which none.

    A snapshot of the tiles may say that it covers this epoch: live counters of later epochs then add
    to it without any event being in both or in neither. Raises UnevenTiles where there is no such epoch.
    """
    covered, missing = 0, None
    for commit in lake.commits():
        if commit.kind != "stream":
            continue
        seen = {
            f"{table} of {f.day}": lake.seen_epoch(table, f.day) >= commit.epoch
            for f in commit.files
            for table in TILES
        }
        if missing is None and all(seen.values()):
            covered = commit.epoch
            continue
        missing = missing or next(part for part, was_seen in seen.items() if not was_seen)
        if any(seen.values()):
            ahead = next(part for part, was_seen in seen.items() if was_seen)
            raise UnevenTiles(
                f"{ahead} holds events of epoch {commit.epoch}, {missing} does not hold all events "
                "up to it: run `intent materialize` without days, which brings both up to date"
            )
    return covered
