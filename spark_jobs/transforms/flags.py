"""Columns that say what is odd about an event. Nothing is removed: every runtime counts every
event.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


@dataclass(frozen=True)
class BotRules:
    """A shopper whose day breaks one of these is taken for a machine, on that day."""

    max_events_a_minute: int = 60
    max_events_an_hour: int = 600
    # Pauses as even as clockwork: their standard deviation over their mean.
    regular_from_events: int = 30
    regular_variation: float = 0.05


@dataclass(frozen=True)
class OutlierRules:
    """A price this many times over or under the day's median of the item, else of the category."""

    item_factor: float = 10.0
    category_factor: float = 100.0
    from_prices: int = 5
    max_quantity: int = 100


def with_amount(events: DataFrame) -> DataFrame:
    """Adds `amount`, price times quantity in minor units (an absent price counts as 0), and
    `personal`.
    """
    amount = F.coalesce("price", F.lit(0)) * F.col("quantity")
    return events.withColumn("amount", amount.cast("bigint")).withColumn(
        "personal", F.col("consent") == "personalize"
    )


def with_bot_flags(events: DataFrame, rules: BotRules) -> DataFrame:
    """Adds `is_bot` and `bot_reason` (null if none): one verdict a shopper and UTC day."""
    of_day = ["user_id", F.to_date("event_time")]
    pauses = F.unix_micros("event_time") - F.unix_micros(
        F.lag("event_time").over(Window.partitionBy(*of_day).orderBy("event_time"))
    )
    day = Window.partitionBy(*of_day)
    in_minute = F.count("*").over(Window.partitionBy(*of_day, F.date_trunc("minute", "event_time")))
    in_hour = F.count("*").over(Window.partitionBy(*of_day, F.date_trunc("hour", "event_time")))
    variation = F.try_divide(F.stddev("pause").over(day), F.mean("pause").over(day))
    regular = (F.count("*").over(day) >= rules.regular_from_events) & (variation < rules.regular_variation)
    return (
        events.withColumn("pause", pauses)
        .withColumn("in_minute", in_minute)
        .withColumn("in_hour", in_hour)
        .withColumn(
            "bot_reason",
            reasons(
                (
                    F.max("in_minute").over(day) > rules.max_events_a_minute,
                    f"more than {rules.max_events_a_minute} events in a minute",
                ),
                (
                    F.max("in_hour").over(day) > rules.max_events_an_hour,
                    f"more than {rules.max_events_an_hour} events in an hour",
                ),
                (regular, "events at even intervals"),
            ),
        )
        .withColumn("is_bot", F.col("bot_reason").isNotNull())
        .drop("pause", "in_minute", "in_hour")
    )


def with_outlier_flags(events: DataFrame, rules: OutlierRules) -> DataFrame:
    """Adds `is_outlier` and `outlier_reason` (null if none), by the medians of the event's UTC
    day.
    """
    events = events.withColumn("price_day", F.to_date("event_time"))
    of_item = typical_price(events, "item_id", rules.from_prices)
    of_category = typical_price(events, "category", rules.from_prices)
    far_from_item = far(F.col("item_id_price"), rules.item_factor)
    far_from_category = F.col("item_id_price").isNull() & far(F.col("category_price"), rules.category_factor)
    return (
        events.join(of_item, ["item_id", "price_day"], "left")
        .join(of_category, ["category", "price_day"], "left")
        .withColumn(
            "outlier_reason",
            reasons(
                (
                    far_from_item,
                    f"price {rules.item_factor:g} times off the item's median of the day",
                ),
                (
                    far_from_category,
                    f"price {rules.category_factor:g} times off the category's median of the day",
                ),
                (F.col("quantity") > rules.max_quantity, f"quantity over {rules.max_quantity}"),
            ),
        )
        .withColumn("is_outlier", F.col("outlier_reason").isNotNull())
        .drop("price_day", "item_id_price", "category_price")
    )


def typical_price(events: DataFrame, column: str, from_prices: int) -> DataFrame:
    """The day's median price by item or category, where there are enough prices to have one."""
    return (
        events.where(F.col(column).isNotNull() & (F.col("price") > 0))
        .groupBy(column, "price_day")
        .agg(F.percentile_approx("price", 0.5).alias(f"{column}_price"), F.count("*").alias("prices"))
        .where(F.col("prices") >= from_prices)
        .drop("prices")
    )


def far(typical: Column, factor: float) -> Column:
    price = F.col("price")
    return (price > 0) & ((price > typical * factor) | (price * factor < typical))


def reasons(*rules: tuple[Column, str]) -> Column:
    """The sentences of the rules that hold, joined by `; `; null if none does."""
    sentences = F.concat_ws("; ", *(F.when(holds, F.lit(sentence)) for holds, sentence in rules))
    return F.nullif(sentences, F.lit(""))
