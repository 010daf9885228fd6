"""What must hold of the partial aggregates that every window is summed from."""

from itertools import pairwise

from great_expectations.expectations.expectation import Expectation

from feature_repo.aggregates import ADDED, Activity
from feature_repo.behavior import SESSION_AGGREGATES, WINDOWS
from feature_repo.windows import US, hops_of
from orchestration.quality.expectations import (
    FIX_JOB,
    INTEGER,
    TEXT,
    TIME,
    ExpectColumnToBalance,
    Suite,
    expect,
    filled,
    in_days,
    in_set,
    unique,
)
from orchestration.quality.rules import Broken, RowRule, is_greater, is_negative
from spark_jobs.transforms.contributions import is_empty, partial_type
from spark_jobs.transforms.tiles import kept_since

START = "unix_micros(start)"


def day_tiles(activity: Activity, first_day: str, last_day: str, newest_us: int) -> Suite:
    """Tiles of one activity: every hop tells of the same events, as far back as its tiles are kept."""
    added = tuple(a.name for a in activity.aggregates if a.op in ADDED)
    numbers = tuple(a.name for a in activity.aggregates if a.op not in ("last", "distinct"))
    key = (*activity.keys, "hop_s", "start")
    counted = tuple(a.name for a in activity.aggregates if a.op == "count")
    declared = activity.windows_of(WINDOWS)
    hops = hops_of(declared)
    nested = list(pairwise(hops)) if counted else []
    return Suite(
        name=activity.day_tiles,
        key=key,
        columns={
            **dict.fromkeys(activity.keys, TEXT),
            "start": TIME,
            **dict.fromkeys(("hop_s", "newest_event_us"), INTEGER),
            **{a.name: (partial_type(a),) for a in activity.aggregates},
        },
        derived={
            _balance(s): _signed_events(kept_since(declared, s, START, newest_us), s, longer_s, counted)
            for s, longer_s in nested
        },
        expectations=(
            unique(*key),
            in_days("start", first_day, last_day),
            in_set("hop_is_declared", "hop_s", hops),
            *(_same_events(hop_s, longer_s) for hop_s, longer_s in nested),
        ),
        rules=(
            filled(*key, "newest_event_us", *added),
            RowRule(
                "aggregates_are_not_negative", "every number is at least 0", FIX_JOB, is_negative(numbers)
            ),
            RowRule(
                "tiles_stand_at_their_hops",
                "a tile starts at a multiple of its hop, and its newest event lies in it",
                FIX_JOB,
                (
                    Broken(f"unix_micros(start) % (hop_s * {US}L) <> 0", ("hop_s", "start")),
                    Broken(
                        f"newest_event_us - unix_micros(start) NOT BETWEEN 0 AND hop_s * {US}L - 1",
                        ("hop_s", "start", "newest_event_us"),
                    ),
                ),
            ),
            RowRule(
                "tiles_are_of_events",
                "a tile without any event is not kept",
                FIX_JOB,
                (Broken(" AND ".join(map(is_empty, activity.aggregates)), ("hop_s", "start")),),
            ),
        ),
    )


def _balance(hop_s: int) -> str:
    return f"events_by_{hop_s}_s"


def _signed_events(kept_since: str, hop_s: int, longer_s: int, counted: tuple[str, ...]) -> str:
    """Less those of the longer tiles, since the shorter ones are kept."""
    events = " + ".join(counted)
    signed = f"CASE hop_s WHEN {hop_s} THEN {events} WHEN {longer_s} THEN -({events}) ELSE 0 END"
    return f"CASE WHEN {START} >= {kept_since} THEN {signed} ELSE 0 END"


def _same_events(hop_s: int, longer_s: int) -> Expectation:
    return expect(
        ExpectColumnToBalance,
        f"tiles_of_{hop_s}_s_count_the_same_events",
        f"tiles of {hop_s} s count as many events as tiles of {longer_s} s, since they are kept",
        column=_balance(hop_s),
    )


def session_day_tiles(first_day: str, last_day: str) -> Suite:
    sums = tuple(a.name for a in SESSION_AGGREGATES if a.op in ("count", "sum"))
    times = ("session_first_event_us", "session_last_event_us")
    parts = tuple(n for n in sums if n.endswith("_count") and n != "session_event_count")
    return Suite(
        name="session_day_tiles",
        key=("user_id", "session_id", "start"),
        columns={
            **dict.fromkeys(("user_id", "session_id"), TEXT),
            "start": TIME,
            **dict.fromkeys((*sums, *times), INTEGER),
        },
        expectations=(
            unique("user_id", "session_id", "start"),
            in_days("start", first_day, last_day),
        ),
        rules=(
            filled("user_id", "session_id", "start", *times, *sums),
            RowRule(
                "aggregates_are_not_negative", "counts and sums are at least 0", FIX_JOB, is_negative(sums)
            ),
            RowRule(
                "parts_do_not_exceed_the_whole",
                "a session has at least as many events as of any types together, and starts before it ends",
                FIX_JOB,
                (
                    Broken(f"{' + '.join(parts)} > session_event_count", ("session_event_count", *parts)),
                    *is_greater((times,)),
                ),
            ),
        ),
    )
