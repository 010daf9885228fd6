from pathlib import Path
from types import ModuleType

import pytest

from feature_repo import behavior
from feature_repo.behavior import (
    ACTIVITIES,
    DEFINITIONS_HASH,
    FEATURES,
    ITEM,
    SERVICE_FEATURES,
    SESSION_ACTIVITY,
    SESSION_AGGREGATES,
    USER,
    USER_ACTIVITY,
    VIEW_TTL_S,
    WINDOWS,
    session_values,
    windowed,
)
from feature_repo.events import EVENT_TYPES
from feature_repo.profiles import USER_PROFILE, USER_PROFILE_INPUTS
from feature_repo.sequence import SEQUENCE_STATISTICS

SOURCE = Path(behavior.__file__).read_text(encoding="utf-8")


def redeclared(old: str, new: str) -> ModuleType:
    """The declarations as they would be after an edit of the file."""
    assert SOURCE.count(old) == 1
    module = ModuleType("redeclared")
    exec(compile(SOURCE.replace(old, new), "redeclared", "exec"), module.__dict__)
    return module


def test_names_are_unique() -> None:
    for names in (
        [f.reference for f in FEATURES],
        *([a.name for a in activity.aggregates] for activity in ACTIVITIES),
        [activity.name for activity in ACTIVITIES],
        [a.name for a in SESSION_AGGREGATES],
        [w.name for w in WINDOWS],
    ):
        assert len(set(names)) == len(names)


def test_windowed_features_are_aggregate_by_window_in_the_order_values_are_computed() -> None:
    for activity in ACTIVITIES:
        expected = [f"{a.name}_{w.name}" for a in activity.aggregates for w in a.windows_of(WINDOWS)]
        assert [f.name for f in windowed(activity)] == expected
        assert all(f.view == f"{activity.name}_activity" for f in windowed(activity))
    names = [f.name for f in USER_ACTIVITY]
    assert names[:50] == [f.name for f in windowed(ITEM)]
    assert {"view_count_1h", "purchase_amount_30d", "viewed_item_count_24h"} <= set(names)


def test_every_kind_of_event_is_counted_once() -> None:
    counted = [t for a in USER.aggregates if a.op == "count" for t in a.event_types]
    assert counted == list(EVENT_TYPES)


def test_session_aggregates_match_known_events() -> None:
    for aggregate in SESSION_AGGREGATES:
        assert set(aggregate.event_types) <= set(EVENT_TYPES)
        matched = [t for t in EVENT_TYPES if aggregate.matches(t)]
        assert matched == [t for t in EVENT_TYPES if t in (aggregate.event_types or EVENT_TYPES)]


def test_every_feature_says_what_stands_in_for_it() -> None:
    kinds = {"int64": int, "float64": float, **dict.fromkeys(("vector", "string", "strings"), type(None))}
    for feature in FEATURES:
        if feature.source != "windowed" or feature in SERVICE_FEATURES:
            assert type(feature.default) is kinds[feature.dtype], feature.reference
        assert feature.unit
        assert feature.description
        assert feature.view in VIEW_TTL_S


def test_a_session_nothing_is_known_of_has_the_defaults() -> None:
    values = session_values({})
    assert values == [f.default for f in SESSION_ACTIVITY]
    assert [type(v) for v in values] == [type(f.default) for f in SESSION_ACTIVITY]


def test_session_values_come_in_the_order_of_the_features() -> None:
    state = {a.name: n for n, a in enumerate(SESSION_AGGREGATES, start=1)}
    state |= {"session_first_event_us": 1_500_000, "session_last_event_us": 4_000_000}
    values = dict(zip((f.name for f in SESSION_ACTIVITY), session_values(state), strict=True))
    assert values.pop("session_duration_s") == 2.5
    for statistic in SEQUENCE_STATISTICS:
        assert values.pop(statistic.name) == statistic.default
    assert values == {name: state[name] for name in values}


def test_the_service_is_shopper_session_profile_and_vector() -> None:
    views = list(dict.fromkeys(f.view for f in SERVICE_FEATURES))
    assert views == ["user_activity", "session_activity", "user_profile", "user_intent_embedding"]
    counted = [f for f in USER_ACTIVITY if f.default is not None]
    assert len(SERVICE_FEATURES) == len(counted) + len(SESSION_ACTIVITY) + len(USER_PROFILE_INPUTS) + 1


def test_a_profiles_numbers_are_model_inputs_and_at_least_0() -> None:
    """All but the one that depends on a fit; the model's inputs are logarithms of what is not negative."""
    numbers = {f.name for f in USER_PROFILE if f.dtype in ("int64", "float64")}
    assert {f.name for f in USER_PROFILE_INPUTS} == numbers - {"persona_confidence"}
    assert all(f.default >= 0 for f in USER_PROFILE_INPUTS)


def test_the_hash_is_the_same_wherever_it_is_computed() -> None:
    same = redeclared('PROJECT = "intent"', 'PROJECT = "intent"  # nothing declared')
    assert same.DEFINITIONS_HASH == DEFINITIONS_HASH
    assert len(DEFINITIONS_HASH) == 12
    assert int(DEFINITIONS_HASH, 16) >= 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('Window("10m", 600, 60)', 'Window("10m", 600, 120)'),
        ('Window("1h", 3_600, 60)', 'Window("1h", 7_200, 60)'),
        ('    Window("7d", 7 * 86_400, 86_400),\n', ""),
        ('("purchase",), "amount"', '("purchase", "checkout"), "amount"'),
        ('"session_cart_amount", "sum"', '"session_basket_amount", "sum"'),
        ('"session_event_count", "count")', '"session_event_count", "count", ("view",))'),
        ("EMBEDDING_DIM = 384", "EMBEDDING_DIM = 256"),
        ("RECENT_QUERIES = 10", "RECENT_QUERIES = 5"),
        ('"viewed_item_count", "distinct", ("view",)', '"viewed_item_count", "distinct", ("click",)'),
        (
            '"price", "minor units", windows=_DAY),\n        Aggregate("last',
            '"price", "cents", windows=_DAY),\n        Aggregate("last',
        ),
        ('("user_id", "category")', '("user_id", "brand")'),
    ],
)
def test_the_hash_changes_with_every_declaration(old: str, new: str) -> None:
    assert redeclared(old, new).DEFINITIONS_HASH != DEFINITIONS_HASH


def test_a_window_that_is_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="view_price_min: no window"):
        redeclared(
            '"view_price_min", "min", ("view",), "price", "minor units", windows=_DAY',
            '"view_price_min", "min", ("view",), "price", "minor units", windows=("1d",)',
        )
