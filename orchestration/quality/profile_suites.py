"""Suites of the profiles, built from their declarations."""

from collections.abc import Iterable

import great_expectations.expectations as gxe

from feature_repo.events import DEVICES, EVENT_TYPES
from feature_repo.feature import Feature
from feature_repo.profiles import CO_VIEWED, ITEM_PROFILE, PARTS_OF_DAY, PREFERRED, USER_PROFILE
from orchestration.quality.expectations import (
    FEATURE_TYPES,
    FIX_JOB,
    INTEGER,
    TEXT,
    TIME,
    Suite,
    expect,
    filled,
    in_days,
    unique,
)
from orchestration.quality.rules import Broken, RowRule, is_greater, is_negative, is_null

# What may be unknown of a shopper or item of whom a row is made; all else is filled.
MAY_BE_NULL = {
    *("recency_days", "price_band", "price_position", "entry_device", "persona", "persona_confidence"),
    *("price_minor", "item_price_position", "category_path", "brand_name"),
}
MIN_PERSONA_SHARE = 0.5
TOLERANCE = 1e-6


def user_day_facts(first_day: str, last_day: str) -> Suite:
    counts = tuple(f"{event_type}_count" for event_type in EVENT_TYPES)
    rules = (
        RowRule(
            "visits_hold_their_orders",
            "a visit with a purchase is a visit, and there is at least one visit",
            FIX_JOB,
            (Broken("visits < 1", ("visits",)), *is_greater((("orders", "visits"),))),
        ),
        RowRule(
            "hours_hold_every_event",
            "events by hour add up to the events by type",
            FIX_JOB,
            (Broken(f"aggregate(hours, 0L, (a, h) -> a + h) <> {' + '.join(counts)}", counts[:1]),),
        ),
    )
    return _facts("user_day_facts", "user_id", (*counts, "visits", "orders"), rules, first_day, last_day)


def item_day_facts(first_day: str, last_day: str) -> Suite:
    numbers = ("view_count", "add_to_cart_count", "purchase_count", "visitors", "carters", "buyers", "visits")
    rules = (
        RowRule(
            "those_who_bought_were_there",
            "buyers and carters are visitors, and no more than their events",
            FIX_JOB,
            is_greater(
                (
                    ("buyers", "visitors"),
                    ("carters", "visitors"),
                    ("buyers", "purchase_count"),
                    ("carters", "add_to_cart_count"),
                )
            ),
        ),
    )
    return _facts("item_day_facts", "item_id", numbers, rules, first_day, last_day)


def _facts(
    name: str,
    entity: str,
    numbers: tuple[str, ...],
    rules: tuple[RowRule, ...],
    first_day: str,
    last_day: str,
) -> Suite:
    return Suite(
        name=name,
        key=(entity, "start"),
        columns={entity: TEXT, "start": TIME, **dict.fromkeys(numbers, INTEGER)},
        expectations=(
            unique(entity, "start"),
            in_days("start", first_day, last_day),
        ),
        rules=(
            filled(entity, "start", *numbers),
            RowRule("numbers_are_not_negative", "numbers are at least 0", FIX_JOB, is_negative(numbers)),
            *rules,
        ),
    )


def user_profile() -> Suite:
    named = expect(
        gxe.ExpectColumnValuesToNotBeNull,
        "most_shoppers_have_a_persona",
        f"at least {MIN_PERSONA_SHARE:.0%} of the rows name a persona",
        "materialize `personas`, then this day again; with fewer shoppers than it asks for there are none",
        "warning",
        column="persona",
        mostly=MIN_PERSONA_SHARE,
    )
    return _profile("user_profile", "user_id", USER_PROFILE, (named,), _user_rules())


def item_profile() -> Suite:
    return _profile("item_profile", "item_id", ITEM_PROFILE, (), _item_rules())


def _profile(name: str, entity: str, features: tuple[Feature, ...], more: tuple, rules: tuple) -> Suite:
    key = (entity, "event_timestamp")
    return Suite(
        name=name,
        key=key,
        columns={
            entity: TEXT,
            **dict.fromkeys(("event_timestamp", "created_timestamp"), TIME),
            **{f.name: FEATURE_TYPES[f.dtype] for f in features},
        },
        expectations=(unique(*key), *more),
        rules=(filled(*key, "created_timestamp"), *_filled_and_in_range(features), *rules),
    )


def _filled_and_in_range(features: Iterable[Feature]) -> tuple[RowRule, ...]:
    numbers = tuple(f.name for f in features if f.dtype in ("int64", "float64"))
    shares = tuple(f.name for f in features if f.dtype == "float64")
    required = tuple(f.name for f in features if f.name not in MAY_BE_NULL)
    return (
        RowRule("features_are_filled", "what is always known is not null", FIX_JOB, is_null(required)),
        RowRule("features_are_not_negative", "numbers are at least 0", FIX_JOB, is_negative(numbers)),
        RowRule(
            "shares_are_at_most_1",
            "shares, rates and positions are at most 1",
            FIX_JOB,
            tuple(Broken(f"NOT {name} <= 1 + {TOLERANCE}", (name,)) for name in shares),
        ),
        RowRule(
            "lists_name_each_thing_once",
            "no list has a null, an empty name, or a name twice",
            FIX_JOB,
            tuple(
                Broken(
                    f"exists({name}, n -> n IS NULL OR n = '') "
                    f"OR size(array_distinct({name})) < size({name})",
                    (name,),
                )
                for name in (f.name for f in features if f.dtype == "strings")
            ),
        ),
    )


def _user_rules() -> tuple[RowRule, ...]:
    parts = tuple(f"{part}_share" for part in PARTS_OF_DAY)
    orders = ("frequency", "recency_days", "monetary_minor", "lifetime_purchase_count")
    devices = ", ".join(f"'{device}'" for device in DEVICES)
    return (
        RowRule(
            "orders_add_up",
            "orders are no more than purchases, and without one there is no recency, money or average",
            FIX_JOB,
            (
                *is_greater((("frequency", "lifetime_purchase_count"),)),
                Broken("(frequency = 0) <> (recency_days IS NULL)", orders),
                Broken("frequency = 0 AND (monetary_minor <> 0 OR average_order_minor <> 0)", orders),
            ),
        ),
        RowRule(
            "times_add_up",
            "nobody bought before being seen, was active on more days than have passed, or at hour 24",
            FIX_JOB,
            (
                *is_greater((("recency_days", "days_since_first_seen"),)),
                Broken("active_days > days_since_first_seen + 2", ("active_days", "days_since_first_seen")),
                Broken("active_days < 1 OR lifetime_session_count < 1", ("active_days",)),
                Broken("active_hour > 23", ("active_hour",)),
                Broken(f"abs({' + '.join(parts)} - 1) > {TOLERANCE}", parts),
            ),
        ),
        RowRule(
            "words_fit_their_numbers",
            f"at most {PREFERRED} preferences; a band, device and persona are known ones, with their numbers",
            FIX_JOB,
            (
                Broken(f"size(preferred_categories) > {PREFERRED}", ("preferred_categories",)),
                Broken(f"size(preferred_brands) > {PREFERRED}", ("preferred_brands",)),
                Broken("price_band NOT IN ('low', 'mid', 'high')", ("price_band",)),
                Broken("(price_band IS NULL) <> (price_position IS NULL)", ("price_band", "price_position")),
                Broken(f"entry_device NOT IN ({devices})", ("entry_device",)),
                Broken(
                    "(persona IS NULL) <> (persona_confidence IS NULL)", ("persona", "persona_confidence")
                ),
            ),
        ),
    )


def _item_rules() -> tuple[RowRule, ...]:
    return (
        RowRule(
            "co_viewed_items_are_others",
            f"at most {CO_VIEWED} items, and never the item itself",
            FIX_JOB,
            (
                Broken(f"size(co_viewed_items) > {CO_VIEWED}", ("co_viewed_items",)),
                Broken("array_contains(co_viewed_items, item_id)", ("co_viewed_items",)),
            ),
        ),
        RowRule(
            "prices_add_up",
            "a price is above 0, and only what has one and a category stands among its prices",
            FIX_JOB,
            (
                Broken("price_minor <= 0", ("price_minor",)),
                Broken(
                    "item_price_position IS NOT NULL AND (price_minor IS NULL OR category_path IS NULL)",
                    ("item_price_position", "price_minor", "category_path"),
                ),
            ),
        ),
        RowRule(
            "buyers_have_bought",
            "no buyer without a purchase, and no purchase without a buyer",
            FIX_JOB,
            (
                Broken(
                    "(item_buyer_count = 0) <> (item_purchase_count = 0)",
                    ("item_buyer_count", "item_purchase_count"),
                ),
            ),
        ),
    )
