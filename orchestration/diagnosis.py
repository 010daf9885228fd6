"""What kind of fault explains served inputs that differ from those recomputed.

A fault is named only if, done to the recomputation, it gives every value of the view as it was served. Where
several do, all are named; where none does, it is said to be unexplained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from feature_repo.behavior import (
    HOPS_S,
    SERVICE_FEATURES,
    SESSION_ACTIVITY,
    SESSION_AGGREGATES,
    USER,
    WINDOWS,
    session_values,
)
from feature_repo.events import from_us
from feature_repo.sequence import newest_steps, step_of
from feature_repo.windows import US, Window
from spark_jobs.jobs.score_inputs import equal, input_of

UNEXPLAINED = "unexplained"
# Of a shopper with more events or epochs only the newest are suspected.
SUSPECTED_EVENTS, SUSPECTED_EPOCHS = 300, 40
SHOWN_ALTERNATIVES = 3

Values = dict[str, Any]
_FEATURE = {f.reference: f for f in SERVICE_FEATURES}
_INPUTS = tuple(a for a in USER.aggregates if a.default is not None)
_MERGE = {"count": sum, "sum": sum, "min_time": min, "max_time": max}


class KnownEvent(NamedTuple):
    """What an aggregate may ask of an event, and by whom it was known."""

    event_id: str
    epoch: int
    event_time: int
    event_type: str
    amount: int
    item_id: str | None
    of_shopper: bool
    of_session: bool
    user_id: str | None = None
    session_id: str | None = None
    category: str | None = None
    brand: str | None = None
    price: int | None = None
    currency: str | None = None
    quantity: int = 1
    query: str | None = None
    text: str | None = None
    scenario: str | None = None
    consent: str | None = None
    device: str | None = None


class StoredRow(NamedTuple):
    view: str
    holds: int
    values: Mapping[str, Any]


class Case(NamedTuple):
    """A score with mismatches. `served`: its inputs by reference; `events`: what it had to know, `stored`:
    every row that there is of its shopper; `covered_epoch`: of its base, `in_service_epoch`: of the base
    that it should have been given."""

    score_id: str
    as_of: int
    covered_epoch: int | None
    in_service_epoch: int
    served: Values
    differing: tuple[str, ...]
    events: Sequence[KnownEvent]
    stored: Sequence[StoredRow] = ()


def diagnose(case: Case) -> list[str]:
    """A line for each view with a mismatch: `view: what explains it`."""
    views = dict.fromkeys(name.partition(":")[0] for name in case.differing)
    return [f"{view}: {_explained(case, view)}" for view in views]


def _explained(case: Case, view: str) -> str:
    found = list(dict.fromkeys(_SUSPICIONS.get(view, _of_stored)(case, view)))
    if len(found) > SHOWN_ALTERNATIVES:
        found = [*found[:SHOWN_ALTERNATIVES], f"{len(found) - SHOWN_ALTERNATIVES} more would do"]
    return ", or ".join(found) or UNEXPLAINED


def _of_windows(case: Case, view: str) -> Iterator[str]:
    events = [e for e in case.events if e.of_shopper]
    served = {name: case.served[name] for name in _references(view)}
    right = windows_of(events, case.as_of)
    for window in WINDOWS:
        for hop_s in HOPS_S:
            if hop_s != window.hop_s and windows_of(events, case.as_of, {window.name: hop_s}) == served:
                yield f"wrong hop: the window {window.name} moves by {hop_s} s, declared is {window.hop_s} s"
    for a, b in combinations(_INPUTS, 2):
        if a.windows != b.windows:
            continue
        names = {a.feature(w): b.feature(w) for w in a.windows_of(WINDOWS)}
        if _exchanged(right, {f"{view}:{k}": f"{view}:{v}" for k, v in names.items()}) == served:
            yield f"swapped columns: {a.name} and {b.name}, in every window"
    yield from _swapped_pair(case, right)
    yield from _miscounted(case, events, served, lambda some: windows_of(some, case.as_of))


def _of_session(case: Case, view: str) -> Iterator[str]:
    events = [e for e in case.events if e.of_session]
    served = {name: case.served[name] for name in _references(view)}
    yield from _swapped_pair(case, session_of(events))
    yield from _miscounted(case, events, served, session_of)


def _of_stored(case: Case, view: str) -> Iterator[str]:
    rows = sorted((row for row in case.stored if row.view == view), key=lambda row: -row.holds)
    held = [row for row in rows if row.holds <= case.as_of]
    if held:
        yield from _swapped_pair(case, _inputs(held[0]))
    served = {name: case.served[name] for name in _references(view)}
    for row in held[1:]:
        if _same(_inputs(row), served):
            yield f"stale row: the one of {from_us(row.holds).isoformat()}"
    if held and _same({name: input_of(_FEATURE[name], None) for name in served}, served):
        yield "not read: declared defaults in the place of the stored row"


_SUSPICIONS: Mapping[str, Callable[[Case, str], Iterator[str]]] = {
    "user_activity": _of_windows,
    "session_activity": _of_session,
}


def _miscounted(
    case: Case, events: list[KnownEvent], served: Values, count: Callable[[list[KnownEvent]], Values]
) -> Iterator[str]:
    epochs = sorted({e.epoch for e in events})[-SUSPECTED_EPOCHS:]
    for first, last in _runs(epochs):
        concerned = [e for e in events if first <= e.epoch <= last]
        rest = [e for e in events if not first <= e.epoch <= last]
        what = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        if len(concerned) == 1:
            what = f"event {concerned[0].event_id} of epoch {first}"
        if _same(count(rest), served):
            base = case.covered_epoch
            if (base or 0) < first and last <= case.in_service_epoch:
                covers = "nothing" if base is None else f"epochs up to {base}"
                yield f"stale base: it covers {covers}; neither it nor the live counts have {what}"
            else:
                yield f"not counted: {what}"
        if _same(count([*events, *concerned]), served):
            yield f"counted twice: {what}"
    for n, event in list(enumerate(events))[-SUSPECTED_EVENTS:]:
        if sum(e.epoch == event.epoch for e in events) == 1:
            continue  # its epoch has been looked at
        what = f"event {event.event_id} of epoch {event.epoch}"
        if _same(count([*events[:n], *events[n + 1 :]]), served):
            yield f"not counted: {what}"
        if _same(count([*events, event]), served):
            yield f"counted twice: {what}"


def _runs(epochs: list[int]) -> list[tuple[int, int]]:
    """Single epochs first, then longer stretches."""
    runs = [(a, b) for n, a in enumerate(epochs) for b in epochs[n:]]
    return sorted(runs, key=lambda run: (epochs.index(run[1]) - epochs.index(run[0]), run))


def _swapped_pair(case: Case, right: Values) -> Iterator[str]:
    differing = [name for name in case.differing if name in right]
    if len(differing) == 2 and _same(
        _exchanged(right, dict([differing])), {name: case.served[name] for name in right}
    ):
        yield f"swapped columns: {differing[0]} and {differing[1]}"


def _exchanged(values: Values, pairs: Mapping[str, str]) -> Values:
    both = {**pairs, **{b: a for a, b in pairs.items()}}
    return {name: values[both.get(name, name)] for name in values}


def _same(left: Values, right: Values) -> bool:
    return left.keys() == right.keys() and all(
        equal(_FEATURE[name], value, right[name]) for name, value in left.items()
    )


def _references(view: str) -> list[str]:
    return [name for name, feature in _FEATURE.items() if feature.view == view]


def _inputs(row: StoredRow) -> Values:
    return {name: input_of(_FEATURE[name], row.values[_FEATURE[name].name]) for name in _references(row.view)}


# -- the numbers of some events, by definition ----------------------------------------------------


def windows_of(events: Sequence[KnownEvent], as_of: int, hops_s: Mapping[str, int] | None = None) -> Values:
    """The inputs of `user_activity`; `hops_s`: other hops than declared, by window."""
    tails = {w.name: _tail(w, as_of, (hops_s or {}).get(w.name, w.hop_s)) for w in WINDOWS}
    given = [(e.event_time, _partials(e)) for e in events if e.event_time <= as_of]
    return {
        f"{USER.view}:{aggregate.feature(window)}": aggregate.value_of(
            partials[position]
            for time, partials in given
            if time >= tails[window.name] and partials[position] is not None
        )
        for position, aggregate in enumerate(_INPUTS)
        for window in aggregate.windows_of(WINDOWS)
    }


@lru_cache(maxsize=4_096)
def _partials(event: KnownEvent) -> tuple:
    return tuple(aggregate.partial(event) for aggregate in _INPUTS)


def _tail(window: Window, as_of: int, hop_s: int) -> int:
    hop = hop_s * US
    return (as_of - window.length_s * US) // hop * hop


def session_of(events: Sequence[KnownEvent]) -> Values:
    """The inputs of `session_activity` after these events of a session."""
    state = {}
    for aggregate in SESSION_AGGREGATES:
        matching = [e for e in events if aggregate.matches(e.event_type)]
        parts = {"count": (1 for _ in matching), "sum": (e.amount for e in matching)}
        times = (e.event_time for e in matching)
        if matching:
            state[aggregate.name] = _MERGE[aggregate.op](parts.get(aggregate.op, times))
    steps = newest_steps(step_of(e.event_time, e.event_type, e.item_id) for e in events)
    names = (f.reference for f in SESSION_ACTIVITY)
    return dict(zip(names, session_values(state, steps), strict=True))
