"""What each day says of each item, in numbers that add up over days. Bots' events do not count."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.profiles import (
    CO_VIEW_KEPT_A_DAY,
    CO_VIEW_SESSION_ITEMS,
    MIN_PRICED_ITEMS,
    PRICE_DAYS,
    PRICE_STEPS_PER_DOUBLING,
)
from spark_jobs.transforms.co_views import co_view_counts
from spark_jobs.transforms.spans import in_span

# Positions are whole points, so that sums of them do not depend on the order.
POSITION_POINTS = 1_000
SKETCH_LG_K = 12


def item_facts(events: DataFrame) -> DataFrame:
    """A row per item and day of `events` (which have `day`), as SCHEMAS["item_day_facts"] has it.

    `visitors`, `carters`, `buyers`: different shoppers of the day who did anything with the item, put it
    into the cart, bought it. `buyer_sketch` merges into the number of different buyers over days.
    """
    of_items = events.where(F.col("item_id").isNotNull() & ~F.col("is_bot"))
    price = F.when((F.col("unit_price") > 0) & ~F.col("is_outlier"), F.col("unit_price"))
    of_shoppers = of_items.groupBy("item_id", "day", "user_id").agg(
        *(F.count_if(F.col("event_type") == kind).alias(f"{kind}_count") for kind in COUNTED),
        newest_known(price).alias("price"),
        newest_known(F.col("category_path")).alias("category"),
        newest_known(F.col("brand_name")).alias("brand"),
    )
    bought = F.col("purchase_count") > 0
    buyers = F.count_if(bought)
    counted = of_shoppers.groupBy("item_id", "day").agg(
        *(F.sum(f"{kind}_count").alias(f"{kind}_count") for kind in COUNTED),
        F.count("*").alias("visitors"),
        F.count_if(F.col("add_to_cart_count") > 0).alias("carters"),
        buyers.alias("buyers"),
        F.when(buyers > 0, F.hll_sketch_agg(F.when(bought, F.col("user_id")), SKETCH_LG_K)).alias(
            "buyer_sketch"
        ),
        *(
            F.max(column).getField("value").alias(name)
            for column, name in (
                ("price", "price_minor"),
                ("category", "category_path"),
                ("brand", "brand_name"),
            )
        ),
    )
    together = co_view_counts(of_items, CO_VIEW_SESSION_ITEMS, CO_VIEW_KEPT_A_DAY)
    return (
        counted.join(together, ["item_id", "day"], "left")
        .fillna(0, ["visits"])
        .withColumn("start", F.to_timestamp("day", "yyyy-MM-dd"))
    )


COUNTED = ("view", "add_to_cart", "purchase")


def newest_known(value: Column) -> Column:
    """A struct, `value` of the newest event that has one: greatest of many, its `value` is the newest."""
    return F.max(F.when(value.isNotNull(), F.struct("event_time", "epoch", "seq", value.alias("value"))))


def price_step(price: Column) -> Column:
    """Prices of one step count as equal; null for none."""
    return F.floor(F.log2(F.when(price > 0, price)) * PRICE_STEPS_PER_DOUBLING)


def price_positions(facts: DataFrame, spans: DataFrame) -> DataFrame:
    """Rows of until, category_path, step, points: where a price of this step stands in its category, of
    POSITION_POINTS, by the items of the PRICE_DAYS days up to day `until`. `spans` has these days.

    Of the item-days whose price is of another step, the share that is cheaper; without row where there
    are too few.
    """
    priced = (
        facts.where(F.col("category_path").isNotNull())
        .select("start", "category_path", price_step(F.col("price_minor")).alias("step"))
        .where(F.col("step").isNotNull())
        .groupBy("start", "category_path", "step")
        .agg(F.count("*").alias("items"))
    )
    of_category = ["until", "category_path"]
    steps = (
        in_span(priced, spans, PRICE_DAYS).groupBy(*of_category, "step").agg(F.sum("items").alias("items"))
    )
    return (
        steps.groupBy(*of_category)
        .agg(F.sum("items").alias("total"), F.collect_list(F.struct("step", "items")).alias("steps"))
        .where(F.col("total") >= MIN_PRICED_ITEMS)
        .select("*", F.explode("steps").alias("own"))
        .select(*of_category, F.col("own.step").alias("step"), _points().alias("points"))
        .where(F.col("points").isNotNull())
    )


def _points() -> Column:
    cheaper = F.aggregate(
        F.filter("steps", lambda s: s["step"] < F.col("own.step")),
        F.lit(0).cast("bigint"),
        lambda total, s: total + s["items"],
    )
    return F.round(F.try_divide(cheaper * POSITION_POINTS, F.col("total") - F.col("own.items"))).cast(
        "bigint"
    )
