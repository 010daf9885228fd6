"""Profiles out of day facts: a row per shopper or item and instant asked for.

`targets` name them: the key, `as_of` from which the row is to hold, `day` whose row it is, and `until`, the
number of the last day whose facts it may know.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.profiles import (
    HABIT_DAYS,
    HIGH_ABOVE,
    LOW_BELOW,
    PARTS_OF_DAY,
    POPULARITY_DAYS,
    PREFERRED,
    PRIOR_VISITORS,
)
from feature_repo.windows import DAY_US
from spark_jobs.transforms.co_views import co_viewed
from spark_jobs.transforms.item_facts import POSITION_POINTS, price_positions, price_step
from spark_jobs.transforms.spans import day_number, in_span
from spark_jobs.transforms.user_facts import BRAND, CATEGORY, DEVICE, HOURS

LIFETIME = ("view", "add_to_cart", "purchase", "search", "message")
SATURDAY = 5
RATED = ("visitors", "carters", "buyers")


def targets_of(facts: DataFrame, key: str, stamps: DataFrame) -> DataFrame:
    """A target for each key of `facts` (of the days asked for) and each instant of `stamps`, which has
    day, as_of and until. Days served live share an instant: the row is of the newest of them.
    """
    return (
        facts.select(key, F.date_format("start", "yyyy-MM-dd").alias("day"))
        .join(F.broadcast(stamps), "day")
        .groupBy(key, "as_of", "until")
        .agg(F.max("day").alias("day"))
    )


def known_at(targets: DataFrame, facts: DataFrame, key: str) -> DataFrame:
    """Each target with every fact it may know; `number` is the fact's day."""
    numbered = facts.withColumn("number", day_number(F.col("start")))
    return targets.join(numbered, key).where(F.col("number") <= F.col("until"))


def within(days: int) -> Column:
    return F.col("number") > F.col("until") - days


# -- shoppers -------------------------------------------------------------------------------------


def user_profiles(facts: DataFrame, targets: DataFrame) -> DataFrame:
    """USER_PROFILE without the persona, beside the targets' columns and `is_bot`."""
    target = ["user_id", "as_of", "until", "day"]
    known = known_at(targets, with_continued_visits(facts), "user_id")
    numbers = known.groupBy(*target).agg(*_sums())
    return (
        numbers.join(_preferences(known, target), target, "left")
        .withColumn("as_of_us", F.unix_micros("as_of"))
        .select(*target, "is_bot", *(value.alias(name) for name, value in _user_features().items()))
    )


def with_continued_visits(facts: DataFrame) -> DataFrame:
    """Visits and orders of each day without the one that began the day before and was counted there."""
    in_order = Window.partitionBy("user_id").orderBy("start")
    goes_on = F.coalesce(F.col("first_visit") == F.lag("last_visit").over(in_order), F.lit(False))
    one_order = goes_on & F.col("first_bought") & F.lag("last_bought").over(in_order)
    return facts.withColumns(
        {
            "visits": F.col("visits") - goes_on.cast("bigint"),
            "orders": F.col("orders") - one_order.cast("bigint"),
        }
    )


def _sums() -> list[Column]:
    habit = within(HABIT_DAYS)

    def recent(value: Column) -> Column:
        return F.coalesce(F.sum(F.when(habit, value)), F.lit(0))

    on_weekend = F.weekday(F.to_date("start")) >= SATURDAY
    events = F.aggregate("hours", F.lit(0).cast("bigint"), lambda total, n: total + n)
    return [
        *(F.sum(f"{kind}_count").alias(f"{kind}s") for kind in LIFETIME),
        F.sum("purchase_amount").alias("money"),
        F.sum("orders").alias("orders"),
        F.sum("visits").alias("visits"),
        F.count("*").alias("days"),
        F.min("first_event_us").alias("first_us"),
        F.max("last_purchase_us").alias("last_purchase_us"),
        F.array(*(recent(F.get("hours", F.lit(h))) for h in range(HOURS))).alias("hours"),
        recent(events).alias("events"),
        recent(F.when(on_weekend, events)).alias("weekend_events"),
        recent(F.col("price_weight")).alias("price_weight"),
        recent(F.col("price_points")).alias("price_points"),
        F.coalesce(F.bool_or(F.when(habit, F.col("is_bot"))), F.lit(False)).alias("is_bot"),
    ]


def _preferences(known: DataFrame, target: list[str]) -> DataFrame:
    """The weightiest names of each kind, of equals the first in the alphabet."""

    def ranked(kind: str) -> Column:
        mine = F.when(F.col("of.kind") == kind, F.struct((-F.col("weight")).alias("rank"), "of.name"))
        return F.array_sort(F.collect_list(mine)).alias(kind)

    return (
        known.where(within(HABIT_DAYS))
        .select(*target, F.explode("interests").alias("of"))
        .groupBy(*target, F.struct("of.kind", "of.name").alias("of"))
        .agg(F.sum("of.weight").alias("weight"))
        .groupBy(*target)
        .agg(ranked(CATEGORY), ranked(BRAND), ranked(DEVICE))
    )


def _user_features() -> dict[str, Column]:
    def whole_days(since_us: str) -> Column:
        return F.floor((F.col("as_of_us") - F.col(since_us)) / F.lit(DAY_US)).cast("bigint")

    def names(kind: str) -> Column:
        first = F.slice(kind, 1, PREFERRED).getField("name")
        return F.coalesce(first, F.array().cast("array<string>"))

    def share_of(*hours: int) -> Column:
        count = sum((F.get("hours", F.lit(h)) for h in hours[1:]), F.get("hours", F.lit(hours[0])))
        return F.coalesce(F.try_divide(count, F.col("events")), F.lit(0.0))

    interest = F.aggregate(CATEGORY, F.lit(0).cast("bigint"), lambda total, c: total - c["rank"])
    strongest = -F.get(CATEGORY, F.lit(0)).getField("rank")
    position = F.try_divide(F.col("price_points"), F.col("price_weight") * POSITION_POINTS)
    return {
        "recency_days": whole_days("last_purchase_us"),
        "frequency": F.col("orders"),
        "monetary_minor": F.col("money"),
        "average_order_minor": F.coalesce(
            F.round(F.try_divide(F.col("money"), F.col("orders"))).cast("bigint"), F.lit(0)
        ),
        **{f"lifetime_{kind}_count": F.col(f"{kind}s") for kind in LIFETIME},
        "lifetime_session_count": F.col("visits"),
        "active_days": F.col("days"),
        "days_since_first_seen": whole_days("first_us"),
        "preferred_categories": names(CATEGORY),
        "preferred_brands": names(BRAND),
        "preferred_category_share": F.coalesce(F.try_divide(strongest, interest), F.lit(0.0)),
        "price_band": F.when(position < LOW_BELOW, "low")
        .when(position > HIGH_ABOVE, "high")
        .when(position.isNotNull(), "mid"),
        "price_position": position,
        "active_hour": F.array_position("hours", F.array_max("hours")) - 1,
        **{f"{part}_share": share_of(*range(a, b + 1)) for part, (a, b) in PARTS_OF_DAY.items()},
        "weekend_share": F.coalesce(F.try_divide("weekend_events", "events"), F.lit(0.0)),
        "entry_device": F.get(DEVICE, F.lit(0)).getField("name"),
    }


# -- items ----------------------------------------------------------------------------------------


def item_profiles(facts: DataFrame, targets: DataFrame) -> DataFrame:
    """ITEM_PROFILE beside the targets' columns. `facts` are of all items, for comparison."""
    target = ["item_id", "as_of", "until", "day"]
    spans = targets.select("until").distinct()
    asked = facts.join(targets.select("item_id").distinct(), "item_id", "left_semi")
    numbers = known_at(targets, asked, "item_id").groupBy(*target).agg(*_item_sums())
    own_step = price_step(F.col("price_minor"))
    shop = shop_rates(facts, spans)
    rates = category_rates(facts, spans, shop)
    positions = price_positions(facts, spans).withColumnRenamed("points", "price_points")
    day = Window.partitionBy("day", "until").orderBy("recent_views")
    return (
        numbers.withColumn("popularity", F.percent_rank().over(day))
        .withColumn("step", own_step)
        .join(F.broadcast(shop), "until")
        .join(F.broadcast(rates), ["until", "category"], "left")
        .join(F.broadcast(positions), ["until", "category_path", "step"], "left")
        .join(co_viewed(facts, targets, spans), ["item_id", "until"], "left")
        .select(*target, *(value.alias(name) for name, value in _item_features().items()))
    )


def _item_sums() -> list[Column]:
    def recent(column: str, days: int) -> Column:
        return F.coalesce(F.sum(F.when(within(days), F.col(column))), F.lit(0))

    def newest(column: str) -> Column:
        return F.max_by(column, F.when(F.col(column).isNotNull(), F.col("number")))

    category = newest("category_path")
    return [
        F.sum("view_count").alias("item_view_count"),
        F.sum("add_to_cart_count").alias("item_add_to_cart_count"),
        F.sum("purchase_count").alias("item_purchase_count"),
        F.coalesce(F.hll_sketch_estimate(F.hll_union_agg("buyer_sketch")), F.lit(0)).alias(
            "item_buyer_count"
        ),
        recent("view_count", POPULARITY_DAYS).alias("recent_views"),
        *(recent(c, HABIT_DAYS).alias(f"recent_{c}") for c in RATED),
        newest("price_minor").alias("price_minor"),
        newest("brand_name").alias("brand_name"),
        category.alias("category_path"),
        F.coalesce(category, F.lit("")).alias("category"),
    ]


def shop_rates(facts: DataFrame, spans: DataFrame) -> DataFrame:
    """A row per until: shop_views of POPULARITY_DAYS, shop_buyers and shop_carters as shares of visitors."""
    totals = {c: F.sum(c).alias(c) for c in ("view_count", *RATED)}
    by_day = in_span(facts.groupBy("start").agg(*totals.values()), spans, HABIT_DAYS)
    recent = day_number(F.col("start")) > F.col("until") - POPULARITY_DAYS
    return by_day.groupBy("until").agg(
        F.sum(F.when(recent, F.col("view_count"))).alias("shop_views"),
        *((F.sum(c) / F.sum("visitors")).alias(f"shop_{c}") for c in ("buyers", "carters")),
    )


def category_rates(facts: DataFrame, spans: DataFrame, shop: DataFrame) -> DataFrame:
    """A row per until and category: the shares that those of its items are drawn to, which are themselves
    drawn to the whole shop's. Items of no category are one more.
    """
    sums = [F.sum(c).alias(c) for c in RATED]
    by_day = facts.groupBy("start", F.coalesce("category_path", F.lit("")).alias("category")).agg(*sums)
    of_category = in_span(by_day, spans, HABIT_DAYS).groupBy("until", "category").agg(*sums)
    return of_category.join(F.broadcast(shop), "until").select(
        "until",
        "category",
        *(
            drawn(F.col(c), F.col("visitors"), F.col(f"shop_{c}")).alias(f"category_{c}")
            for c in ("buyers", "carters")
        ),
    )


def drawn(count: Column, visitors: Column, prior: Column) -> Column:
    """A share of visitors, as if PRIOR_VISITORS more had behaved like `prior`."""
    return (count + prior * PRIOR_VISITORS) / (visitors + PRIOR_VISITORS)


def _item_features() -> dict[str, Column]:
    def rate(count: str) -> Column:
        prior = F.coalesce(f"category_{count}", f"shop_{count}")
        return drawn(F.col(f"recent_{count}"), F.col("recent_visitors"), prior)

    counted = ("item_view_count", "item_add_to_cart_count", "item_purchase_count", "item_buyer_count")
    return {
        "popularity": F.col("popularity"),
        "view_share": F.coalesce(F.try_divide("recent_views", "shop_views"), F.lit(0.0)),
        **{name: F.col(name) for name in counted},
        "conversion_rate": rate("buyers"),
        "cart_rate": rate("carters"),
        "price_minor": F.col("price_minor"),
        "item_price_position": F.col("price_points") / POSITION_POINTS,
        "category_path": F.col("category_path"),
        "brand_name": F.col("brand_name"),
        "co_viewed_items": F.coalesce("co_viewed_items", F.array().cast("array<string>")),
    }
