"""What the tables have seen of the ledger: which days must run, and which epochs a snapshot covers."""

from datetime import date, timedelta

from feature_repo.behavior import WINDOWS
from feature_repo.windows import DAY_S
from spark_jobs.lake import Lake

# The tables at the end of a day's path: a day is done when all of these have seen its newest events.
LEAVES = ("user_activity", "user_intent_embedding")
TILES = ("user_day_tiles", "item_day_tiles", "session_day_tiles")


# How many days later an event can still be in some window.
LOOK_BACK_DAYS = max(-(-(w.length_s + w.hop_s) // DAY_S) for w in WINDOWS)


class UnevenTiles(RuntimeError):
    """Some days' tiles hold an epoch of which other days' tiles miss a part."""


def stale_days(lake: Lake) -> list[str]:
    """Days with events that some table has not seen, and every later day within the longest window."""
    days = lake.ledger_days()
    changed = [
        day for day, newest in days.items() if any(lake.seen_epoch(table, day) < newest for table in LEAVES)
    ]
    affected = set(changed)
    for day in changed:
        horizon = (date.fromisoformat(day) + timedelta(days=LOOK_BACK_DAYS)).isoformat()
        affected.update(d for d in days if day < d <= horizon)
    return sorted(affected)


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
