"""The declared features by their definition: each number is asked of the raw events, one by one.

Nothing here is fast or shared with what it judges: a window at `t` is
`floor((t - length) / hop) * hop <= event_time <= t`, and that sentence is all it knows of windows.
Times are microseconds UTC.
"""

from collections import Counter
from collections.abc import Iterable
from hashlib import md5
from itertools import pairwise
from zlib import crc32

from feature_repo.aggregates import Activity, Aggregate
from feature_repo.behavior import ACTIVITIES, SESSION_AGGREGATES, WINDOWS
from feature_repo.events import EVENT_TYPES, LedgerEvent

SECOND = 1_000_000


def covered(event_time: int, as_of: int, length_s: int, hop_s: int) -> bool:
    hop = hop_s * SECOND
    tail = (as_of - length_s * SECOND) // hop * hop
    return tail <= event_time <= as_of


def concerns(event: LedgerEvent, entity: str | Activity, entity_id: str | tuple[str, ...]) -> bool:
    """A shopper's numbers know only events given for personalisation; an item's know them all."""
    keys = declared(entity).keys
    wanted = (entity_id,) if isinstance(entity_id, str) else entity_id
    if "user_id" in keys and event.consent != "personalize":
        return False
    return tuple(getattr(event, key) for key in keys) == wanted


def declared(entity: str | Activity) -> Activity:
    return next(a for a in ACTIVITIES if a.name == entity) if isinstance(entity, str) else entity


def worth(event: LedgerEvent, value: str):
    if value == "amount":
        return 0 if event.price is None else event.price * event.quantity
    return getattr(event, value)


def passes(event: LedgerEvent, aggregate: Aggregate) -> bool:
    if event.event_type not in aggregate.event_types:
        return False
    for where in aggregate.where:
        value = worth(event, where.field)
        if value is None or (where.among and value not in where.among):
            return False
        if where.at_least is not None and value < where.at_least:
            return False
        if where.at_most is not None and value > where.at_most:
            return False
    return True


def answer(aggregate: Aggregate, events: list[LedgerEvent]) -> int | str | None:
    """An aggregate over the events of a window, by the sentence that says what its operation is."""
    if aggregate.op == "count":
        return len(events)
    told = [(e.event_time, worth(e, aggregate.field)) for e in events]
    told = [(time, value) for time, value in told if value is not None]
    values = [value for _, value in told]
    if aggregate.op == "sum":
        return sum(values)
    if aggregate.op == "distinct":
        return different(values)
    if not told:
        return None
    if aggregate.op == "last":
        return max(told)[1]
    return min(values) if aggregate.op == "min" else max(values)


def different(values: list) -> int:
    """Exact below 256; from there on (256 - 1) over the share of the range below the 256th hash."""
    hashes = sorted({int(md5(str(v).encode()).hexdigest()[:13], 16) for v in values})
    return len(hashes) if len(hashes) < 256 else 255 * 16**13 // hashes[255]


def window_values(events: Iterable[LedgerEvent], entity: str | Activity, entity_id, as_of: int) -> dict:
    """Every windowed feature at `as_of` of a shopper (`user`), an item (`item`) and so on."""
    own = [e for e in events if concerns(e, entity, entity_id)]
    return {
        f"{aggregate.name}_{window.name}": answer(
            aggregate,
            [
                event
                for event in own
                if passes(event, aggregate)
                and covered(event.event_time, as_of, window.length_s, window.hop_s)
            ],
        )
        for aggregate in declared(entity).aggregates
        for window in WINDOWS
        if not aggregate.windows or window.name in aggregate.windows
    }


def session_state(events: Iterable[LedgerEvent], user_id: str, session_id: str, as_of: int) -> dict[str, int]:
    """Every session aggregate of a client's session up to `as_of`; times only if there are any."""
    own = [
        e
        for e in events
        if concerns(e, "user", user_id) and e.session_id == session_id and e.event_time <= as_of
    ]
    state = {}
    for aggregate in SESSION_AGGREGATES:
        of_type = [e for e in own if not aggregate.event_types or e.event_type in aggregate.event_types]
        times = [e.event_time for e in of_type]
        if aggregate.op == "count":
            state[aggregate.name] = len(of_type)
        elif aggregate.op == "sum":
            state[aggregate.name] = sum(worth(e, "amount") for e in of_type)
        elif times:
            state[aggregate.name] = min(times) if aggregate.op == "min_time" else max(times)
    return state


def session_features(
    events: Iterable[LedgerEvent], user_id: str, session_id: str, as_of: int
) -> dict[str, int | float]:
    state = session_state(events, user_id, session_id, as_of)
    first, last = state.pop("session_first_event_us", 0), state.pop("session_last_event_us", 0)
    sequence = sequence_features(newest_events(events, user_id, session_id, as_of))
    return {**state, "session_duration_s": (last - first) / SECOND, **sequence}


def step(event: LedgerEvent) -> tuple[int, int, int]:
    item = 0 if event.item_id is None else max(crc32(event.item_id.encode("utf-8")), 1)
    return event.event_time, EVENT_TYPES.index(event.event_type), item


def newest_events(
    events: Iterable[LedgerEvent], user_id: str, session_id: str, as_of: int
) -> list[LedgerEvent]:
    """The last 64 of a client's session up to `as_of`, by time, then kind, then item's code."""
    own = [
        e
        for e in events
        if concerns(e, "user", user_id) and e.session_id == session_id and e.event_time <= as_of
    ]
    return sorted(own, key=step)[-64:]


def sequence_features(events: list[LedgerEvent]) -> dict[str, int | float]:
    """Each statistic by its own sentence, of a session's newest events in order."""
    views = Counter(e.item_id for e in events if e.event_type == "view" and e.item_id)
    with_item = [e.item_id for e in events if e.item_id]
    others = [n for n, item in enumerate(with_item) if item != with_item[-1]]
    answered = [n for n, e in enumerate(events) if e.event_type != "search" and (e.item_id or is_look(e))]
    after = events[answered[-1] + 1 :] if answered else events
    pauses = [late.event_time - early.event_time for early, late in pairwise(events)]
    recent = pauses[-5:]
    return {
        "session_distinct_item_count": len(set(with_item)),
        "session_repeat_view_count": sum(n - 1 for n in views.values()),
        "session_top_item_view_count": max(views.values(), default=0),
        "session_item_run_length": len(with_item) - (others[-1] + 1 if others else 0),
        "session_unanswered_search_count": sum(e.event_type == "search" for e in after),
        "session_cart_item_count": len(cart_items(events)),
        "session_last_pause_s": pauses[-1] / SECOND if pauses else 0.0,
        "session_recent_pause_s": sum(recent) / (len(recent) * SECOND) if recent else 0.0,
    }


def is_look(event: LedgerEvent) -> bool:
    return event.event_type in ("view", "click")


def cart_items(events: list[LedgerEvent]) -> set[str | None]:
    """Items whose newest addition nothing has taken back since: no removal or purchase of the item, and
    no purchase that names none."""
    kept = set()
    for n, event in enumerate(events):
        later = events[n + 1 :]
        taken = any(
            (e.event_type in ("remove_from_cart", "purchase") and e.item_id == event.item_id)
            or (e.event_type == "purchase" and e.item_id is None)
            for e in later
        )
        if event.event_type == "add_to_cart" and not taken:
            kept.add(event.item_id)
    return kept


def session_keys(events: Iterable[LedgerEvent], gap_s: int) -> dict[tuple[str, str], str]:
    """The session of each (user_id, event_id): the client's, else the run of events around it."""
    events = sorted(events, key=lambda e: e.event_time)
    keys: dict[tuple[str, str], str] = {}
    for event in events:
        key = event.session_id
        if key is None:
            start = event.event_time
            for other in reversed([e for e in events if e.event_time <= event.event_time]):
                mine = (other.user_id, other.session_id, other.consent) == (
                    event.user_id,
                    None,
                    event.consent,
                )
                if mine and start - other.event_time <= gap_s * SECOND:
                    start = other.event_time
            key = f"gap:{start}"
        keys[event.user_id, event.event_id] = key
    return keys


def labels(
    events: Iterable[LedgerEvent], horizon: str, log_end: int, gap_s: int, ahead_s: int
) -> dict[tuple[str, str, int], tuple[int, int, int]]:
    """(purchase, add_to_cart, leave) by (user_id, session key, instant), where the log shows them."""
    events = [e for e in events if e.consent == "personalize"]
    keys = session_keys(events, gap_s)
    answers = {}
    for event in events:
        key, now = keys[event.user_id, event.event_id], event.event_time
        of_shopper = [e for e in events if e.user_id == event.user_id]
        of_session = [e for e in of_shopper if keys[e.user_id, e.event_id] == key]
        quiet = max(e.event_time for e in of_session) + gap_s * SECOND <= log_end
        seen = now + ahead_s * SECOND <= log_end or (horizon == "session" and quiet)
        if not seen:
            continue
        relevant = of_session if horizon == "session" else of_shopper
        ahead = [e for e in relevant if now < e.event_time <= now + ahead_s * SECOND]
        more = any(now < e.event_time <= now + ahead_s * SECOND for e in of_session)
        types = {e.event_type for e in ahead}
        answers[event.user_id, key, now] = (
            int("purchase" in types),
            int("add_to_cart" in types),
            int(not more),
        )
    return answers
