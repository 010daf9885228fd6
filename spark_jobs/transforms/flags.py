"""Columns that say what is odd about an event. Nothing is removed: every runtime counts every
event.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.windows import US
from spark_jobs.transforms.cleaning import UNIT_CORRECTED

PAGES = ("view", "click", "search")


@dataclass(frozen=True)
class BotRules:
    """A shopper whose day breaks one of these is taken for a machine, on that day."""

    max_events_a_minute: int = 60
    max_events_an_hour: int = 600
    # Pages are views, clicks and searches: a full cart that is bought is many events at once, too.
    max_pages_in_10_s: int = 20
    # Pauses as even as clockwork: this share of them differs by so little from the one before. Shorter
    # ones than a tenth of a second are a client's that sends several events at once.
    regular_from_events: int = 30
    regular_from_pause_us: int = US // 10
    regular_share: float = 0.6
    regular_variation: float = 0.1


@dataclass(frozen=True)
class OutlierRules:
    """A price this many times over or under what is typical of the item, else of the day's category."""

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
    verdicts = F.broadcast(bot_verdicts(events, rules))
    return (
        events.withColumn("bot_day", F.to_date("event_time"))
        .join(verdicts, ["user_id", "bot_day"], "left")
        .withColumn("is_bot", F.col("bot_reason").isNotNull())
        .drop("bot_day")
    )


def bot_verdicts(events: DataFrame, rules: BotRules) -> DataFrame:
    """Rows of user_id, bot_day, bot_reason: the shoppers' days that a machine had.

    Pace is by the client's own clock: the time of an event from a clock that runs ahead is its arrival,
    which the way through the network has made uneven. Only what the rules need is sorted.
    """
    of_day = ["user_id", "bot_day"]
    in_order = Window.partitionBy(*of_day).orderBy("at_us")
    pause = F.col("at_us") - F.lag("at_us").over(in_order)
    before = F.lag("pause").over(in_order)
    near = F.abs(F.col("pause") - before) <= rules.regular_variation * before
    even = (before >= rules.regular_from_pause_us) & near
    in_10_s = F.count_if("is_page").over(in_order.rangeBetween(-10 * US + 1, 0))
    paced = (
        events.select(
            "user_id",
            F.to_date("event_time").alias("bot_day"),
            F.date_trunc("hour", "event_time").alias("hour"),
            F.date_trunc("minute", "event_time").alias("minute"),
            F.unix_micros("claimed_time").alias("at_us"),
            F.col("event_type").isin(*PAGES).alias("is_page"),
        )
        .withColumn("pause", pause)
        .withColumn("even", even)
        .withColumn("in_10_s", in_10_s)
    )
    carried = [F.max("in_10_s").alias("in_10_s"), *(F.sum(c).alias(c) for c in ("compared", "evens"))]
    by_minute = paced.groupBy(*of_day, "hour", "minute").agg(
        F.count("*").alias("events"),
        F.max("in_10_s").alias("in_10_s"),
        F.count("even").alias("compared"),
        F.count_if("even").alias("evens"),
    )
    by_hour = by_minute.groupBy(*of_day, "hour").agg(
        F.sum("events").alias("events"), F.max("events").alias("in_minute"), *carried
    )
    by_day = by_hour.groupBy(*of_day).agg(
        F.sum("events").alias("events"),
        F.max("events").alias("in_hour"),
        F.max("in_minute").alias("in_minute"),
        *carried,
    )
    regular = (F.col("events") >= rules.regular_from_events) & (
        F.col("evens") >= rules.regular_share * F.col("compared")
    )
    reason = reasons(
        (
            F.col("in_10_s") > rules.max_pages_in_10_s,
            f"more than {rules.max_pages_in_10_s} pages in 10 seconds",
        ),
        (
            F.col("in_minute") > rules.max_events_a_minute,
            f"more than {rules.max_events_a_minute} events in a minute",
        ),
        (
            F.col("in_hour") > rules.max_events_an_hour,
            f"more than {rules.max_events_an_hour} events in an hour",
        ),
        (regular, "events at even intervals"),
    )
    return by_day.select(*of_day, reason.alias("bot_reason")).where("bot_reason IS NOT NULL")


def with_outlier_flags(events: DataFrame, category_prices: DataFrame, rules: OutlierRules) -> DataFrame:
    """Adds `is_outlier` and `outlier_reason` (null if none), by the event's `typical_price`, whether its
    unit was corrected, and the prices of category_prices().
    """
    wrong_unit = F.col("price_source") == UNIT_CORRECTED
    far_from_item = ~wrong_unit & far(F.col("typical_price"), rules.item_factor)
    far_from_category = F.col("typical_price").isNull() & far(F.col("category_price"), rules.category_factor)
    return (
        events.join(F.broadcast(category_prices), ["category_path", "day"], "left")
        .withColumn(
            "outlier_reason",
            reasons(
                (wrong_unit, "price in the wrong unit, corrected in unit_price"),
                (far_from_item, f"price {rules.item_factor:g} times off what is typical of the item"),
                (
                    far_from_category,
                    f"price {rules.category_factor:g} times off the category's median of the day",
                ),
                (F.col("quantity") > rules.max_quantity, f"quantity over {rules.max_quantity}"),
            ),
        )
        .withColumn("is_outlier", F.col("outlier_reason").isNotNull())
        .drop("category_price")
    )


def category_prices(items: DataFrame, rules: OutlierRules) -> DataFrame:
    """The day's median price of each category, out of the medians of its items by their weight, where
    there are enough prices to have one. `items` as known_of_items() makes them, with `item_path`.
    """
    return (
        items.where("item_path IS NOT NULL AND day_price IS NOT NULL")
        .groupBy(F.col("item_path").alias("category_path"), "day")
        .agg(
            F.percentile("day_price", 0.5, F.col("day_prices")).alias("category_price"),
            F.sum("day_prices").alias("prices"),
        )
        .where(F.col("prices") >= rules.from_prices)
        .drop("prices")
    )


def far(typical: Column, factor: float) -> Column:
    price = F.col("price")
    return (price > 0) & ((price > typical * factor) | (price * factor < typical))


def reasons(*rules: tuple[Column, str]) -> Column:
    """The sentences of the rules that hold, joined by `; `; null if none does."""
    sentences = F.concat_ws("; ", *(F.when(holds, F.lit(sentence)) for holds, sentence in rules))
    return F.nullif(sentences, F.lit(""))
