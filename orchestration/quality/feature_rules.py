"""The row rules that the declarations imply: a newly declared aggregate is covered the same day."""

from collections.abc import Iterable
from itertools import permutations

from feature_repo.aggregates import ADDED, Activity, Aggregate
from feature_repo.behavior import (
    EMBEDDING_DIM,
    HOPS_S,
    SESSION_ACTIVITY,
    SESSION_AGGREGATES,
    WINDOWS,
)
from feature_repo.events import EVENT_TYPES
from feature_repo.sequence import STEP_LIMIT
from feature_repo.windows import US, Window
from orchestration.quality.expectations import FIX_JOB
from orchestration.quality.rules import Broken, RowRule, is_greater, is_negative, is_null

UNIT_NORM_TOLERANCE = 1e-3
# Read from their JSON once a row, for all that is asked of them.
TILES_COLUMNS = {"tiles_read": "from_json(tiles, 'array<array<string>>')"}
STATE_COLUMNS = {
    "state_read": "from_json(state, 'map<string,bigint>')",
    "steps_read": "from_json(steps, 'array<array<bigint>>')",
}
VECTOR_COLUMNS = {"dimension": "size(embedding)", "norm": "vector_norm(embedding)"}


def nested_windows(windows: Iterable[Window]) -> tuple[tuple[Window, Window], ...]:
    """Pairs (short, long) of which the long one covers the short one at every instant.

    The short window's tail lies after `t - length - hop`, the long one's at or before `t - length`.
    With one and the same hop both tails move together. Pairs that follow from others are left out.
    """

    def covers(long: Window, short: Window) -> bool:
        slack_s = 0 if long.hop_s == short.hop_s else short.hop_s
        return long.length_s >= short.length_s + slack_s

    nested = {(short, long) for short, long in permutations(windows, 2) if covers(long, short)}
    return tuple(
        sorted(
            (
                (short, long)
                for short, long in nested
                if not any((short, w) in nested and (w, long) in nested for w in windows)
            ),
            key=lambda pair: pair[0].length_s,
        )
    )


def _filled(names: tuple[str, ...]) -> RowRule:
    return RowRule(
        "features_are_filled", "no feature with a number for nothing is null", FIX_JOB, is_null(names)
    )


def _not_negative(names: tuple[str, ...]) -> RowRule:
    return RowRule(
        "features_are_not_negative", "numbers and durations are at least 0", FIX_JOB, is_negative(names)
    )


def _over_windows(aggregates: tuple[Aggregate, ...]) -> tuple[str, ...]:
    return tuple(a.feature(w) for a in aggregates for w in a.windows_of(WINDOWS))


def windowed_rules(activity: Activity) -> tuple[RowRule, ...]:
    """For the view of an activity: every aggregate over each of its windows."""
    added = tuple(a for a in activity.aggregates if a.op in ADDED)
    counts = tuple(a for a in activity.aggregates if a.default is not None)
    numbers = tuple(a for a in activity.aggregates if not a.is_text)
    nested = tuple(
        (a.feature(short), a.feature(long))
        for a in added
        for short, long in nested_windows(a.windows_of(WINDOWS))
    )
    amounts = tuple(
        (count.feature(w), amount.feature(w))
        for count in added
        for amount in added
        for w in WINDOWS
        if (count.op, amount.op) == ("count", "sum")
        and (count.event_types, count.where) == (amount.event_types, amount.where)
        and w in count.windows_of(WINDOWS)
        and w in amount.windows_of(WINDOWS)
    )
    return (
        _filled(_over_windows(counts)),
        _not_negative(_over_windows(numbers)),
        RowRule(
            "longer_windows_count_no_less",
            "a window that covers a shorter one counts at least as much",
            FIX_JOB,
            is_greater(nested),
        ),
        RowRule(
            "no_amount_without_its_event",
            "a sum is 0 over a window in which its kind of event did not happen",
            FIX_JOB,
            tuple(Broken(f"{n} = 0 AND {sum_} <> 0", (n, sum_)) for n, sum_ in amounts),
        ),
    )


def session_rules() -> tuple[RowRule, ...]:
    kinds = tuple(a.name for a in SESSION_AGGREGATES if a.op == "count" and a.event_types)
    duration = ("session_event_count", "session_duration_s")
    cart = ("session_add_to_cart_count", "session_cart_amount")
    of_views = ("session_repeat_view_count", "session_top_item_view_count")
    return (
        _filled(tuple(f.name for f in SESSION_ACTIVITY)),
        _not_negative(tuple(f.name for f in SESSION_ACTIVITY)),
        RowRule(
            "a_row_follows_an_event",
            "a row counts at least its own event, and no more events by kind than in all",
            FIX_JOB,
            (
                Broken("session_event_count < 1", ("session_event_count",)),
                Broken(f"{' + '.join(kinds)} > session_event_count", ("session_event_count", *kinds)),
            ),
        ),
        RowRule(
            "duration_fits_the_events",
            "the duration is a finite number of seconds, and 0 after one event",
            FIX_JOB,
            (
                Broken("NOT session_duration_s < double('Infinity')", duration),
                Broken("session_event_count = 1 AND session_duration_s <> 0", duration),
            ),
        ),
        RowRule(
            "no_cart_amount_without_a_cart",
            "session_cart_amount is 0 while nothing was added to the cart",
            FIX_JOB,
            (Broken(f"{cart[0]} = 0 AND {cart[1]} <> 0", cart),),
        ),
        RowRule(
            "sequence_fits_the_counts",
            "what the newest events say is no more than the whole session's counts and duration allow",
            FIX_JOB,
            (
                *_at_most("session_view_count", *of_views),
                *_at_most("session_event_count", "session_distinct_item_count", "session_item_run_length"),
                *_at_most("session_search_count", "session_unanswered_search_count"),
                *_at_most("session_add_to_cart_count", "session_cart_item_count"),
                *_at_most("session_duration_s", "session_last_pause_s", "session_recent_pause_s"),
            ),
        ),
    )


def _at_most(bound: str, *features: str) -> tuple[Broken, ...]:
    """A negative bound is another rule's."""
    return tuple(Broken(f"{feature} > greatest({bound}, 0)", (feature, bound)) for feature in features)


def vector_rules() -> tuple[RowRule, ...]:
    """For a column `embedding`, with VECTOR_COLUMNS derived from it."""
    return (
        RowRule(
            "embedding_has_the_declared_dimension",
            f"every vector has {EMBEDDING_DIM} numbers",
            "the encoder does not fit EMBEDDING_DIM: check INTENT_ENCODER, then embed again",
            (
                Broken("embedding IS NULL", ("embedding",)),
                Broken(f"dimension <> {EMBEDDING_DIM}", ("dimension",)),
            ),
        ),
        RowRule(
            "embedding_is_finite",
            "no number in a vector is null, NaN or infinite",
            "the encoder overflowed, most likely in half precision: embed again in full precision",
            (
                Broken(
                    "embedding IS NOT NULL AND coalesce(NOT norm < float('Infinity'), true)",
                    ("norm",),
                ),
            ),
        ),
        RowRule(
            "embedding_has_unit_norm",
            f"every vector has length 1 within {UNIT_NORM_TOLERANCE:g}",
            "the vectors were stored before they were normalised: mend the job, embed again",
            (
                Broken(
                    f"norm < float('Infinity') AND abs(norm - 1) > {UNIT_NORM_TOLERANCE}",
                    ("norm",),
                ),
            ),
        ),
    )


def tiles_rule(activity: Activity) -> RowRule:
    """`tiles`: JSON `[[hop_s, start_us, aggregate, value], ...]`, with TILES_COLUMNS derived."""
    hop, start, aggregate = (f"try_cast(get(t, {i}) AS bigint)" for i in range(3))
    value = "get(t, 3)"
    listed = [i for i, a in enumerate(activity.aggregates) if a.op in ("last", "distinct")]
    is_list = f"{aggregate} IN ({', '.join(map(str, listed))})" if listed else "false"
    right = " AND ".join(
        (
            "size(t) = 4",
            f"{hop} IN ({', '.join(map(str, HOPS_S))})",
            f"try_mod({start}, {hop} * {US}) = 0",
            f"{aggregate} BETWEEN 0 AND {len(activity.aggregates) - 1}",
            f"CASE WHEN {is_list} THEN {value} LIKE '[%]' ELSE try_cast({value} AS bigint) >= 0 END",
        )
    )
    return RowRule(
        "tiles_are_well_formed",
        "tiles is JSON [[hop, start, aggregate, value], ...]: declared, aligned, not negative",
        FIX_JOB,
        (Broken(f"NOT coalesce(forall(tiles_read, t -> coalesce({right}, false)), false)", ("tiles",)),),
    )


def state_rule() -> RowRule:
    """`state`: JSON object of SESSION_AGGREGATES by name, with STATE_COLUMNS derived."""
    names = ", ".join(f"'{a.name}'" for a in SESSION_AGGREGATES)
    events, first, last = (
        f"element_at(state_read, 'session_{part}')"
        for part in ("event_count", "first_event_us", "last_event_us")
    )
    right = " AND ".join(
        (
            f"size(array_except(map_keys(state_read), array({names}))) = 0",
            "forall(map_values(state_read), v -> coalesce(v >= 0, false))",
            f"{events} >= 1",
            f"{first} <= {last}",
        )
    )
    return RowRule(
        "state_is_well_formed",
        "state is JSON {aggregate: value}: declared, one event or more, in order of time",
        FIX_JOB,
        (Broken(f"NOT coalesce({right}, false)", ("state",)),),
    )


def steps_rule() -> RowRule:
    """`steps`: JSON `[[at_us, event type, item], ...]`, with STATE_COLUMNS derived."""
    right = " AND ".join(
        (
            "size(s) = 3",
            f"get(s, 1) BETWEEN 0 AND {len(EVENT_TYPES) - 1}",
            "get(s, 2) BETWEEN 0 AND 4294967295",
        )
    )
    return RowRule(
        "steps_are_well_formed",
        f"steps is JSON [[at_us, event type, item], ...]: known types, in order, at most {STEP_LIMIT}",
        FIX_JOB,
        (
            Broken(f"NOT coalesce(forall(steps_read, s -> coalesce({right}, false)), false)", ("steps",)),
            Broken(f"size(steps_read) NOT BETWEEN 1 AND {STEP_LIMIT}", ("steps",)),
            Broken("array_sort(steps_read) <> steps_read", ("steps",)),
        ),
    )
