"""What must hold inside one row of clean events and of what they say of items."""

from orchestration.quality.expectations import FIX_JOB
from orchestration.quality.rules import Broken, RowRule, is_negative, is_null
from spark_jobs.transforms.cleaning import (
    CATALOGUE,
    EVENT,
    ITEM_HISTORY,
    LABEL_SOURCES,
    PRICE_SOURCES,
    UNIT_CORRECTED,
)

# What cleaning made, what the event said, where it came from, and where it can come from.
FILLED = (
    ("category_path", "category", "category_source", LABEL_SOURCES),
    ("brand_name", "brand", "brand_source", LABEL_SOURCES),
    ("unit_price", "price", "price_source", PRICE_SOURCES),
)


def event_rules() -> tuple[RowRule, ...]:
    times = ("event_time", "claimed_time", "received_at")
    return (
        RowRule(
            "events_arrive_after_they_happen",
            "received_at is not before event_time, the earlier of claimed_time and received_at",
            "the door stamps these times: this was not written by landing or import; land it again",
            (
                Broken("received_at < event_time", times),
                Broken("event_time <> least(claimed_time, received_at)", times),
            ),
        ),
        RowRule(
            "derived_columns_follow_the_event",
            "amount is price times quantity or 0, personal is the consent, flags are set",
            FIX_JOB,
            (
                *is_null(("event_type", "consent", "currency", "quantity")),
                *is_null(("amount", "personal", "is_bot", "is_outlier")),
                Broken(
                    "amount <> try_multiply(coalesce(price, 0), quantity)",
                    ("amount", "price", "quantity"),
                ),
                Broken("personal <> (consent = 'personalize')", ("personal", "consent")),
            ),
        ),
        RowRule(
            "filled_values_name_their_source",
            "a category_path, brand_name or unit_price has a known source, and a source has its value",
            FIX_JOB,
            tuple(
                Broken(
                    f"({value} IS NULL) <> ({source} IS NULL) OR {source} NOT IN {sources}", (value, source)
                )
                for value, _, source, sources in FILLED
            ),
        ),
        RowRule(
            "what_the_event_says_comes_first",
            "a value is the event's own, or its source says why not; a price off by its unit is flagged",
            FIX_JOB,
            (
                *(
                    Broken(f"{source} = '{EVENT}' AND {said} IS NULL", (value, said, source))
                    for value, said, source, _ in FILLED
                ),
                Broken(
                    f"price_source = '{EVENT}' AND unit_price <> price",
                    ("unit_price", "price", "price_source"),
                ),
                Broken(
                    f"price IS NOT NULL AND price_source NOT IN ('{EVENT}', '{UNIT_CORRECTED}')",
                    ("unit_price", "price", "price_source"),
                ),
                Broken(
                    f"price_source = '{UNIT_CORRECTED}' AND (price IS NULL OR NOT is_outlier)",
                    ("price", "price_source", "is_outlier"),
                ),
                Broken(
                    f"event_type = 'purchase' AND price_source IN ('{ITEM_HISTORY}', '{CATALOGUE}')",
                    ("event_type", "price_source"),
                ),
            ),
        ),
        RowRule(
            "categories_and_brands_are_normalised",
            "levels of a category_path have names and no blanks; a brand_name is trimmed, in lower case",
            FIX_JOB,
            (
                Broken(r"category_path RLIKE '^/|//|/$|\\s|^$'", ("category_path",)),
                Broken("brand_name <> lower(trim(brand_name)) OR brand_name = ''", ("brand_name",)),
            ),
        ),
        RowRule(
            "purchases_carry_a_price",
            "a purchase names its price; one that does not counts as no money",
            "ask the shop to send price with purchases: purchase_amount is too low without it",
            (Broken("event_type = 'purchase' AND price IS NULL", ("event_type", "price")),),
            severity="warning",
        ),
    )


def item_rules() -> tuple[RowRule, ...]:
    shown = ("median_price", "priced_events")
    return (
        RowRule(
            "a_median_has_its_prices",
            "median_price is above 0 and of priced_events prices, or both are absent",
            FIX_JOB,
            (
                *is_negative(("priced_events",)),
                Broken("(median_price IS NULL) <> (priced_events = 0)", shown),
                Broken("median_price <= 0", shown),
            ),
        ),
        RowRule(
            "category_and_brand_say_something",
            "a category or brand is a name or absent, never blank",
            FIX_JOB,
            (Broken("trim(category) = ''", ("category",)), Broken("trim(brand) = ''", ("brand",))),
        ),
    )
