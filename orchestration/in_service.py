"""When what was brought into service: so that a score can be held against what was in service then.

The asset `online_store` notes each materialization as it starts and as it ends, in the lake's state.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import msgspec

from feature_repo.windows import US
from orchestration.staleness import TILES
from spark_jobs.jobs.score_inputs import Served
from spark_jobs.lake import Lake

STATE = "in_service"
KEPT = 1_000
# How far the clocks of the machines that score and materialize may differ.
SKEW_US = 2 * US
NEVER, FOREVER = -(2**62), 2**62
UNKNOWN_BEFORE = "older than what is known of materializations"
IMPORT_UNDER_WAY = "an import was being put into service"


class Materialization(msgspec.Struct, frozen=True):
    """`clock`: stored rows up to this instant; `covered_epoch`, `imports`: the events in the base, see
    `Served`. `finished_at` FOREVER: it goes on, or has failed. Microseconds by the wall's clock."""

    started_at: int
    clock: int
    covered_epoch: int
    imports: tuple[str, ...]
    finished_at: int = FOREVER


class History(msgspec.Struct, frozen=True):
    """`complete`: nothing was in service before the first of them."""

    complete: bool
    materializations: tuple[Materialization, ...] = ()


def read_history(lake: Lake) -> History:
    state = lake.read_state(STATE)
    return msgspec.convert(state, History) if state else History(complete=True)


def note_start(lake: Lake, started: Materialization) -> None:
    history = read_history(lake)
    kept = (*history.materializations, started)[-KEPT:]
    complete = history.complete and len(history.materializations) < KEPT
    _write(lake, History(complete, kept))


def note_end(lake: Lake, finished_at: int) -> None:
    history = read_history(lake)
    *before, last = history.materializations
    ended = msgspec.structs.replace(last, finished_at=finished_at)
    _write(lake, History(history.complete, (*before, ended)))


def superseded_epoch(lake: Lake, kept: int) -> int:
    """Up to which epoch live counts may go: what the materialization covered that is `kept` before the last
    to have ended, for readers may still hold rows of those since. 0: there is none."""
    ended = [m for m in read_history(lake).materializations if m.finished_at != FOREVER]
    return ended[-1 - kept].covered_epoch if len(ended) > kept else 0


def _write(lake: Lake, history: History) -> None:
    lake.write_state(STATE, msgspec.to_builtins(history))


def imports_in_tiles(lake: Lake) -> tuple[str, ...]:
    """The imports that all tiles hold, by epoch, or day by day where they hold a part."""

    @cache
    def seen(day: str) -> int:
        return min(lake.seen_epoch(table, day) for table in TILES)

    held: list[str] = []
    for commit in lake.commits():
        if commit.kind == "import":
            days = {f.day for f in commit.files}
            shown = sorted(day for day in days if seen(day) >= commit.epoch)
            whole = len(shown) == len(days)
            held += [str(commit.epoch)] if whole else [f"{commit.epoch}/{day}" for day in shown]
    return tuple(held)


def served_over_time(history: History) -> list[Served]:
    """Stretches of the wall's clock without a gap, each with what was or may have been in service."""
    materializations = history.materializations
    edges = {NEVER, FOREVER}
    edges |= {m.started_at - SKEW_US for m in materializations}
    edges |= {m.finished_at + SKEW_US for m in materializations if m.finished_at != FOREVER}
    ordered = sorted(edges)
    return [_served(history, since, until) for since, until in pairwise(ordered)]


def _served(history: History, since: int, until: int) -> Served:
    held = list(in_service(history.materializations, since))
    finished = bool(held) and held[0].finished_at + SKEW_US <= since
    if not finished and not history.complete:
        return Served(since, until, [], [], UNKNOWN_BEFORE)
    imports = {m.imports for m in held} | (set() if finished else {()})
    reason = IMPORT_UNDER_WAY if len(imports) > 1 else None
    clocks = [m.clock for m in held] + ([] if finished else [NEVER])
    return Served(since, until, list(*imports) if reason is None else [], clocks, reason)


def in_service(materializations: Sequence[Materialization], at: int) -> Iterator[Materialization]:
    """The last that had ended, then those under way or broken off since."""
    ended = [m for m in materializations if m.finished_at + SKEW_US <= at]
    last = max(ended, key=lambda m: m.finished_at, default=None)
    if last is not None:
        yield last
    for m in materializations:
        going_on = m.started_at - SKEW_US <= at < m.finished_at + SKEW_US
        if going_on and (last is None or m.started_at > last.started_at):
            yield m
