"""Good profiles pass; each corruption is named by the one rule it breaks."""

from datetime import UTC, datetime

import pytest
from pyspark.sql.types import StructType

from orchestration.quality import profile_suites
from orchestration.quality.gate import validate
from orchestration.quality.rules import VIOLATION, with_flags
from spark_jobs.jobs.tables import SCHEMAS

AT = datetime(2024, 3, 2, tzinfo=UTC)
STAMPS = {"event_timestamp": AT, "created_timestamp": AT}
USER = {
    **STAMPS, "user_id": "u1", "recency_days": 2, "frequency": 1, "monetary_minor": 900,
    "average_order_minor": 900, "lifetime_view_count": 9, "lifetime_add_to_cart_count": 2,
    "lifetime_purchase_count": 2, "lifetime_search_count": 1, "lifetime_message_count": 0,
    "lifetime_session_count": 2, "active_days": 3, "days_since_first_seen": 2,
    "preferred_categories": ["电器/手机", "shoes"], "preferred_brands": [], "preferred_category_share": 0.6,
    "price_band": "low", "price_position": 0.2, "active_hour": 23, "night_share": 0.1,
    "morning_share": 0.2, "afternoon_share": 0.3, "evening_share": 0.4, "weekend_share": 1.0,
    "entry_device": "mobile", "persona": "evening-browser", "persona_confidence": 0.4,
}  # fmt: skip
NEWCOMER = {
    **USER, "user_id": "u2", "recency_days": None, "frequency": 0, "monetary_minor": 0,
    "average_order_minor": 0, "lifetime_purchase_count": 0, "price_band": None, "price_position": None,
    "entry_device": None, "preferred_categories": [],
}  # fmt: skip
ITEM = {
    **STAMPS, "item_id": "i1", "popularity": 1.0, "view_share": 0.2, "item_view_count": 5,
    "item_add_to_cart_count": 1, "item_purchase_count": 1, "item_buyer_count": 1, "conversion_rate": 0.1,
    "cart_rate": 0.2, "price_minor": 500, "item_price_position": 0.0, "category_path": "shoes",
    "brand_name": None, "co_viewed_items": ["i2"],
}  # fmt: skip
UNPRICED = {**ITEM, "item_id": "i3", "price_minor": None, "item_price_position": None}
SUITES = {
    "user_profile": (profile_suites.user_profile(), (USER, NEWCOMER)),
    "item_profile": (profile_suites.item_profile(), (ITEM, UNPRICED)),
}
WRONG = {
    "user_profile": [
        ({"active_days": None}, {"features_are_filled"}),
        ({"preferred_brands": None}, {"features_are_filled"}),
        ({"lifetime_view_count": -1}, {"features_are_not_negative"}),
        ({"preferred_category_share": 1.1}, {"shares_are_at_most_1"}),
        ({"price_position": float("nan")}, {"shares_are_at_most_1"}),
        ({"preferred_brands": ["a", "a"]}, {"lists_name_each_thing_once"}),
        ({"preferred_categories": [""]}, {"lists_name_each_thing_once"}),
        ({"preferred_brands": list("abcd")}, {"words_fit_their_numbers"}),
        ({"frequency": 3}, {"orders_add_up"}),
        ({"recency_days": None}, {"orders_add_up"}),
        ({"frequency": 0, "recency_days": None}, {"orders_add_up"}),
        ({"recency_days": 3}, {"times_add_up"}),
        ({"active_days": 5}, {"times_add_up"}),
        ({"active_hour": 24}, {"times_add_up"}),
        ({"evening_share": 0.5}, {"times_add_up"}),
        ({"price_band": "dear"}, {"words_fit_their_numbers"}),
        ({"price_band": None}, {"words_fit_their_numbers"}),
        ({"entry_device": "fridge"}, {"words_fit_their_numbers"}),
        ({"persona": None}, {"words_fit_their_numbers"}),
    ],
    "item_profile": [
        ({"co_viewed_items": None}, {"features_are_filled"}),
        ({"cart_rate": -0.1}, {"features_are_not_negative"}),
        ({"conversion_rate": 1.5}, {"shares_are_at_most_1"}),
        ({"co_viewed_items": ["i2", None]}, {"lists_name_each_thing_once"}),
        ({"co_viewed_items": ["i1"]}, {"co_viewed_items_are_others"}),
        ({"co_viewed_items": [f"i{n}" for n in range(2, 13)]}, {"co_viewed_items_are_others"}),
        ({"price_minor": 0}, {"prices_add_up"}),
        ({"price_minor": None}, {"prices_add_up"}),
        ({"item_buyer_count": 0}, {"buyers_have_bought"}),
    ],
}


def frame(spark, view: str, rows):
    schema = StructType.fromDDL(SCHEMAS[view])
    return spark.createDataFrame([tuple(row[f.name] for f in schema) for row in rows], schema)


@pytest.mark.parametrize("view", SUITES)
def test_good_profiles_pass(spark, view):
    suite, rows = SUITES[view]
    result = validate(frame(spark, view, rows), suite)
    assert result.passed and not result.failed


@pytest.mark.parametrize("view", WRONG)
def test_each_corruption_breaks_the_rule_that_names_it(spark, view):
    suite, (good, *_) = SUITES[view]
    rows = [good | change for change, _ in WRONG[view]]
    flagged = with_flags(frame(spark, view, rows), suite.derived, suite.rules).collect()
    found = [{rule.name for rule in suite.rules if row[f"{VIOLATION}{rule.name}"]} for row in flagged]
    assert found == [broken for _, broken in WRONG[view]]
