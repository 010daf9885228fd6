"""What an event does not say, filled from what is known of its item: category, brand, price.

The ledger's own columns stay; what was filled or corrected is a column beside them that names its source.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.transforms.category_tree import folded

EVENT, CATALOGUE, ITEM_HISTORY, UNIT_CORRECTED = "event", "catalogue", "item_history", "unit_corrected"
LABEL_SOURCES = (EVENT, CATALOGUE, ITEM_HISTORY)
PRICE_SOURCES = (EVENT, UNIT_CORRECTED, ITEM_HISTORY, CATALOGUE)

# What these do with an item happens at its current price; a purchase without a price stays without one.
AT_THE_CURRENT_PRICE = ("view", "click", "add_to_cart", "remove_from_cart", "wishlist")


@dataclass(frozen=True)
class CleaningRules:
    """An item has a typical price from `from_prices` priced events within `history_days` on. A price
    `unit_factor` times over or under it, within a factor `unit_tolerance`, is in the wrong unit.
    """

    history_days: int = 30
    from_prices: int = 5
    unit_factor: int = 100
    unit_tolerance: float = 2.0


def item_attributes(events: DataFrame) -> DataFrame:
    """A row an item and day: the newest category and brand named on it, the median price above 0 in minor
    units and how many prices it is of. `events` have `day`.
    """
    priced = F.when(F.col("price") > 0, F.col("price"))
    return (
        events.where(F.col("item_id").isNotNull())
        .groupBy("item_id", "day")
        .agg(
            newest_named("category").alias("category"),
            newest_named("brand").alias("brand"),
            F.percentile_approx(priced, 0.5).cast("bigint").alias("median_price"),
            F.count(priced).alias("priced_events"),
        )
        .withColumn("start", F.to_timestamp("day", "yyyy-MM-dd"))
    )


def newest_named(column: str) -> Column:
    named = folded(F.col(column)).isNotNull()
    return F.max_by(column, F.when(named, F.struct("event_time", "event_id")))


def known_of_items(attributes: DataFrame, rules: CleaningRules) -> DataFrame:
    """For each item and day of `attributes` what its rows of that day and `history_days` before say: the
    newest category and brand, and `history_price`, the median of the days' medians by their weight. With
    the day's own median price and the number of prices it is of.
    """
    days = Window.partitionBy("item_id").orderBy("day_number").rangeBetween(-rules.history_days, 0)
    typical = F.percentile("median_price", 0.5, F.col("priced_events")).over(days)
    enough = F.sum("priced_events").over(days) >= rules.from_prices
    return attributes.withColumn("day_number", F.unix_date(F.to_date("start"))).select(
        "item_id",
        F.date_format("start", "yyyy-MM-dd").alias("day"),
        F.last("category", ignorenulls=True).over(days).alias("history_category"),
        F.last("brand", ignorenulls=True).over(days).alias("history_brand"),
        F.when(enough, F.round(typical).cast("bigint")).alias("history_price"),
        F.col("median_price").alias("day_price"),
        F.col("priced_events").alias("day_prices"),
    )


def with_filled_labels(events: DataFrame) -> DataFrame:
    """Adds `category_path`, `brand_name` and their sources, out of `own_path`, `catalogue_path`,
    `history_path` and, in any spelling, `brand`, `catalogue_brand`, `history_brand`.
    """
    paths = [F.col(c) for c in ("own_path", "catalogue_path", "history_path")]
    brands = [folded(F.col(c)) for c in ("brand", "catalogue_brand", "history_brand")]
    return events.withColumns(
        {
            "category_path": F.coalesce(*paths),
            "category_source": first_filled(paths, LABEL_SOURCES),
            "brand_name": F.coalesce(*brands),
            "brand_source": first_filled(brands, LABEL_SOURCES),
        }
    )


def with_unit_price(events: DataFrame, rules: CleaningRules) -> DataFrame:
    """Adds `typical_price` (the item's by its history, else the catalogue's), `unit_price` and
    `price_source`.
    """
    price, typical = F.col("price"), F.col("typical_price")
    ratio = F.try_divide(price, typical)
    low, high = rules.unit_factor / rules.unit_tolerance, rules.unit_factor * rules.unit_tolerance
    over, under = ratio.between(low, high), ratio.between(1 / high, 1 / low)
    at_current = F.col("event_type").isin(*AT_THE_CURRENT_PRICE)
    from_history = price.isNull() & at_current & F.col("history_price").isNotNull()
    from_catalogue = price.isNull() & at_current & typical.isNotNull()
    unit_price = (
        F.when(over, F.round(price / rules.unit_factor))
        .when(under, price * rules.unit_factor)
        .when(from_catalogue, typical)
        .otherwise(price)
    )
    source = (
        F.when(over | under, UNIT_CORRECTED)
        .when(price.isNotNull(), EVENT)
        .when(from_history, ITEM_HISTORY)
        .when(from_catalogue, CATALOGUE)
    )
    return events.withColumn("typical_price", F.coalesce("history_price", "catalogue_price")).withColumns(
        {"unit_price": unit_price.cast("bigint"), "price_source": source}
    )


def first_filled(values: list[Column], sources: tuple[str, ...]) -> Column:
    return F.coalesce(
        *(F.when(v.isNotNull(), F.lit(source)) for v, source in zip(values, sources, strict=True))
    )
