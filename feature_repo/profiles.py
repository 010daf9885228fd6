"""The profiles of shoppers and items, as data: what each feature is, and the rules that its number follows.

A profile is a row per shopper or item and day on which something happened to it; its numbers are as of the
row's event_timestamp and stay as they are until there is a newer row.
"""

from typing import Literal

import msgspec

from feature_repo.feature import Dtype, Feature

# Preferences, habits and rates look back this many days; lifetime numbers over all that is in the lake.
HABIT_DAYS = 90
POPULARITY_DAYS = 30
PRICE_DAYS = 30
CO_VIEW_DAYS = 14
PROFILE_TTL_DAYS = 90

PREFERRED = 3
# Levels of the category tree by which interest is told: `electronics/phones`.
INTEREST_LEVELS = 2
# How much an event says about what a shopper likes; events that are not named say nothing.
INTEREST_WEIGHTS = {
    "view": 1,
    "click": 1,
    "wishlist": 2,
    "add_to_cart": 3,
    "checkout": 3,
    "purchase": 5,
}

# Prices are compared within a category by steps of an eighth of a doubling, about 9 %: prices of one step
# count as equal. A category with fewer priced items in PRICE_DAYS than this has no positions.
PRICE_STEPS_PER_DOUBLING = 8
MIN_PRICED_ITEMS = 5
LOW_BELOW, HIGH_ABOVE = 1 / 3, 2 / 3

# A rate is drawn to its category's as if this many visitors had behaved like the category's average.
PRIOR_VISITORS = 20

CO_VIEWED = 10
CO_VIEW_SUPPORT = 2
# Of a session's viewed items the first so many are paired, and of an item's partners on a day the strongest
# so many are kept: what bounds the work of very long sessions and very popular items.
CO_VIEW_SESSION_ITEMS = 30
CO_VIEW_KEPT_A_DAY = 20

PARTS_OF_DAY = {"night": (0, 5), "morning": (6, 11), "afternoon": (12, 17), "evening": (18, 23)}
WEEKEND_DEFAULT = 2 / 7
# Stands for "never bought" in a model's input: longer than any log.
NEVER_DAYS = 3_650


def _declared(view: str, *rows: tuple[str, Dtype, str, int | float | None, str]) -> tuple[Feature, ...]:
    return tuple(
        Feature(view, name, dtype, unit, default, "batch", description)
        for name, dtype, unit, default, description in rows
    )


_HABIT = f"over the last {HABIT_DAYS} days"

USER_PROFILE = _declared(
    "user_profile",
    ("recency_days", "int64", "days", NEVER_DAYS, "whole days since the last purchase; null: never bought"),
    ("frequency", "int64", "orders", 0, "visits with a purchase, lifetime"),
    ("monetary_minor", "int64", "minor units", 0, "money of all purchases, lifetime"),
    ("average_order_minor", "int64", "minor units", 0, "monetary_minor over frequency; 0 without an order"),
    ("lifetime_view_count", "int64", "events", 0, "views, lifetime"),
    ("lifetime_add_to_cart_count", "int64", "events", 0, "items put into the cart, lifetime"),
    ("lifetime_purchase_count", "int64", "events", 0, "purchase events, lifetime"),
    ("lifetime_search_count", "int64", "events", 0, "searches, lifetime"),
    ("lifetime_message_count", "int64", "events", 0, "messages, lifetime"),
    ("lifetime_session_count", "int64", "sessions", 0, "visits, lifetime"),
    ("active_days", "int64", "days", 0, "UTC days with an event, lifetime"),
    ("days_since_first_seen", "int64", "days", 0, "whole days since the first event"),
    (
        "preferred_categories",
        "strings",
        "category paths",
        None,
        f"up to {PREFERRED} categories of most weighted interest {_HABIT}, the first {INTEREST_LEVELS} "
        "levels of the tree",
    ),
    (
        "preferred_brands",
        "strings",
        "brands",
        None,
        f"up to {PREFERRED} brands of most weighted interest {_HABIT}",
    ),
    (
        "preferred_category_share",
        "float64",
        "share",
        0.0,
        f"share of the first preferred category in all categories' weighted interest {_HABIT}",
    ),
    (
        "price_band",
        "string",
        "low, mid or high",
        None,
        "price_position in thirds; null: no price seen that can be compared",
    ),
    (
        "price_position",
        "float64",
        "0 cheapest to 1 dearest",
        0.5,
        f"weighted mean position of the prices looked at within their categories {_HABIT}",
    ),
    (
        "active_hour",
        "int64",
        "hour of day, UTC",
        12,
        f"hour with most events {_HABIT}, the earliest of equals",
    ),
    *(
        (f"{part}_share", "float64", "share", 0.25, f"share of events from {first} to {last} h UTC {_HABIT}")
        for part, (first, last) in PARTS_OF_DAY.items()
    ),
    (
        "weekend_share",
        "float64",
        "share",
        WEEKEND_DEFAULT,
        f"share of events on Saturday or Sunday, UTC, {_HABIT}",
    ),
    (
        "entry_device",
        "string",
        "device",
        None,
        f"device on which most visits begin {_HABIT}; null: never named",
    ),
    ("persona", "string", "slug", None, "group of like-minded shoppers; null: a bot, or none fitted yet"),
    (
        "persona_confidence",
        "float64",
        "0 to 1",
        0.0,
        "how much nearer the persona's centre is than the next one's: 0 half-way, 1 at its centre",
    ),
)

# What the served model reads. How sure a persona is depends on the fit of the day, not on the shopper alone.
USER_PROFILE_INPUTS = tuple(
    f for f in USER_PROFILE if f.dtype in ("int64", "float64") and f.name != "persona_confidence"
)

ITEM_PROFILE = _declared(
    "item_profile",
    (
        "popularity",
        "float64",
        "0 to 1",
        0.0,
        f"share of the day's items with fewer views in {POPULARITY_DAYS} days",
    ),
    ("view_share", "float64", "share", 0.0, f"share of the shop's views in {POPULARITY_DAYS} days"),
    ("item_view_count", "int64", "events", 0, "views, lifetime"),
    ("item_add_to_cart_count", "int64", "events", 0, "times put into a cart, lifetime"),
    ("item_purchase_count", "int64", "events", 0, "purchase events, lifetime"),
    (
        "item_buyer_count",
        "int64",
        "shoppers",
        0,
        "different shoppers who bought it, lifetime; estimated above some hundreds, within 2 %",
    ),
    (
        "conversion_rate",
        "float64",
        "share",
        0.0,
        f"share of a day's visitors of the item who bought it that day, {_HABIT}, drawn to the category's "
        f"by {PRIOR_VISITORS} visitors",
    ),
    (
        "cart_rate",
        "float64",
        "share",
        0.0,
        f"share of a day's visitors of the item who put it into the cart that day, {_HABIT}, drawn to the "
        f"category's by {PRIOR_VISITORS} visitors",
    ),
    ("price_minor", "int64", "minor units", 0, "newest price above 0 that is not an outlier"),
    (
        "item_price_position",
        "float64",
        "0 cheapest to 1 dearest",
        0.5,
        f"share that is cheaper of the category's items priced differently, {PRICE_DAYS} days",
    ),
    ("category_path", "string", "category path", None, "newest known place in the category tree"),
    ("brand_name", "string", "brand", None, "newest known brand"),
    (
        "co_viewed_items",
        "strings",
        "item ids",
        None,
        f"up to {CO_VIEWED} items viewed in the same visits, {CO_VIEW_DAYS} days: visits with both over the "
        f"root of the product of the visits with each, from {CO_VIEW_SUPPORT} visits with both",
    ),
)


PERSONA_WEIGHTS = {"doing": 1.0, "loyalty": 1.0, "price": 1.0, "taste": 0.7, "time": 0.4}


class PersonaInput(msgspec.Struct, frozen=True):
    """A number by which shoppers are grouped: SQL over a profile's columns, and words for both ends.

    Shares are drawn to their default by three visits, so that one visit does not decide where somebody
    belongs. `role`: a `doing` gives the group its noun, the others its adjectives, one a role.
    """

    @property
    def weight(self) -> float:
        """How far a standard deviation moves apart: what shoppers do counts more than when they come."""
        return PERSONA_WEIGHTS[self.role]

    name: str
    sql: str
    role: Literal["doing", "time", "price", "loyalty", "taste"]
    high: str
    low: str | None
    high_en: str
    low_en: str
    high_zh: str
    low_zh: str


def _drawn(share: str, default: float) -> str:
    visits = "lifetime_session_count"
    return f"(coalesce({share}, {default}D) * {visits} + 3 * {default}D) / ({visits} + 3)"


def _per_visit(count: str) -> str:
    return f"ln(1 + {count} / greatest(lifetime_session_count, 1))"


PERSONA_INPUTS = (
    PersonaInput(
        "orders", "ln(1 + frequency)", "doing", "buyer", None,
        "buys more often", "buys less often", "购买更频繁", "购买更少",
    ),
    PersonaInput(
        "views", _per_visit("lifetime_view_count"), "doing", "browser", None,
        "looks at more items per visit", "looks at fewer items per visit",
        "每次浏览更多商品", "每次浏览更少商品",
    ),
    PersonaInput(
        "carts", _per_visit("lifetime_add_to_cart_count"), "doing", "cart-filler", None,
        "fills carts more", "fills carts less", "更常加购", "较少加购",
    ),
    PersonaInput(
        "searches", _per_visit("lifetime_search_count"), "doing", "searcher", None,
        "searches more", "searches less", "更常搜索", "较少搜索",
    ),
    PersonaInput(
        "messages", _per_visit("lifetime_message_count"), "doing", "asker", None,
        "writes to customer service more", "writes to customer service less", "更常咨询客服", "较少咨询客服",
    ),
    PersonaInput(
        "visits", "ln(1 + lifetime_session_count)", "loyalty", "regular", "occasional",
        "comes back more", "comes back less", "回访更多", "回访更少",
    ),
    PersonaInput(
        "price", _drawn("price_position", 0.5), "price", "premium", "bargain",
        "prefers dearer items of a category", "prefers cheaper items of a category",
        "偏好同类中较贵的商品", "偏好同类中较便宜的商品",
    ),
    PersonaInput(
        "focus", _drawn("nullif(preferred_category_share, 0)", 0.5), "taste", "focused", "roaming",
        "stays with one category", "wanders between categories", "集中于一个品类", "浏览多个品类",
    ),
    PersonaInput(
        "morning", _drawn("morning_share", 0.25), "time", "morning", None,
        "comes in the morning more (UTC)", "comes in the morning less (UTC)",
        "上午更活跃（UTC）", "上午较少活跃（UTC）",
    ),
    PersonaInput(
        "afternoon", _drawn("afternoon_share", 0.25), "time", "afternoon", None,
        "comes in the afternoon more (UTC)", "comes in the afternoon less (UTC)",
        "下午更活跃（UTC）", "下午较少活跃（UTC）",
    ),
    PersonaInput(
        "evening", _drawn("evening_share", 0.25), "time", "evening", None,
        "comes in the evening more (UTC)", "comes in the evening less (UTC)",
        "晚间更活跃（UTC）", "晚间较少活跃（UTC）",
    ),
    PersonaInput(
        "night", _drawn("night_share", 0.25), "time", "night", None,
        "comes at night more (UTC)", "comes at night less (UTC)", "夜间更活跃（UTC）", "夜间较少活跃（UTC）",
    ),
    PersonaInput(
        "weekend", _drawn("weekend_share", WEEKEND_DEFAULT), "time", "weekend", "weekday",
        "comes at weekends more", "comes on weekdays more", "周末更活跃", "工作日更活跃",
    ),
)  # fmt: skip
