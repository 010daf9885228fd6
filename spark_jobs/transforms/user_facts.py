"""What each day says of each shopper, in numbers that add up over days. Only personal events count."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_repo.events import EVENT_TYPES
from feature_repo.profiles import INTEREST_LEVELS, INTEREST_WEIGHTS
from spark_jobs.transforms.item_facts import price_step

CATEGORY, BRAND, DEVICE = "category", "brand", "device"
HOURS = 24
OF_DAY = ["user_id", "day"]


def user_facts(events: DataFrame, positions: DataFrame) -> DataFrame:
    """A row per shopper and day of `events` (which have `day`), as SCHEMAS["user_day_facts"] has it.

    `positions` are `price_positions` as of each of the days. A visit with a purchase is an order. The
    day's first and last visit are named, so that one which goes on after midnight counts once.
    """
    personal = with_points(events.where(F.col("personal")), positions)
    visits = visits_of(personal)
    return (
        days_of(visits)
        .join(interests_of(personal, visits), OF_DAY, "left")
        .withColumn("interests", F.coalesce("interests", F.array().cast(INTERESTS)))
        .withColumn("start", F.to_timestamp("day", "yyyy-MM-dd"))
    )


INTERESTS = "array<struct<kind:string,name:string,weight:bigint>>"


def with_points(events: DataFrame, positions: DataFrame) -> DataFrame:
    """Adds `weight`, how much the event says of what its shopper likes, and `points`, the position of its
    price in its category; null where there is none.
    """
    weight = F.lit(0)
    for kind, value in INTEREST_WEIGHTS.items():
        weight = F.when(F.col("event_type") == kind, value).otherwise(weight)
    return (
        events.withColumn("weight", weight.cast("bigint"))
        .withColumn("until", F.unix_date(F.to_date("day")))
        .withColumn("step", F.when(F.col("weight") > 0, price_step(F.col("unit_price"))))
        .join(F.broadcast(positions), ["until", "category_path", "step"], "left")
    )


def visits_of(events: DataFrame) -> DataFrame:
    """A row per shopper, day and visit."""
    is_purchase = F.col("event_type") == "purchase"
    at_us = F.unix_micros("event_time")
    hour = F.hour("event_time")
    first = F.min(F.struct("event_time", "epoch", "seq", "device"))
    return events.groupBy(*OF_DAY, "session_key").agg(
        *(F.count_if(F.col("event_type") == kind).alias(f"{kind}_count") for kind in EVENT_TYPES),
        F.sum(F.when(is_purchase, F.col("amount")).otherwise(0)).alias("purchase_amount"),
        F.max(F.when(is_purchase, at_us)).alias("last_purchase_us"),
        F.min(at_us).alias("first_event_us"),
        F.max(at_us).alias("newest_event_us"),
        F.array(*(F.count_if(hour == h) for h in range(HOURS))).alias("hours"),
        F.sum(F.when(F.col("points").isNotNull(), F.col("weight"))).alias("price_weight"),
        F.sum(F.col("weight") * F.col("points")).alias("price_points"),
        first.getField("device").alias(DEVICE),
        F.bool_or("is_bot").alias("is_bot"),
    )


def days_of(visits: DataFrame) -> DataFrame:
    bought = F.col("purchase_count") > 0
    visit = F.struct("first_event_us", F.col("session_key").alias("key"), bought.alias("bought"))
    last = F.struct("newest_event_us", F.col("session_key").alias("key"), bought.alias("bought"))
    return visits.groupBy(*OF_DAY).agg(
        *(F.sum(f"{kind}_count").alias(f"{kind}_count") for kind in EVENT_TYPES),
        F.sum("purchase_amount").alias("purchase_amount"),
        F.max("last_purchase_us").alias("last_purchase_us"),
        F.min("first_event_us").alias("first_event_us"),
        F.max("newest_event_us").alias("newest_event_us"),
        F.count("*").alias("visits"),
        F.count_if(bought).alias("orders"),
        F.min(visit).getField("key").alias("first_visit"),
        F.min(visit).getField("bought").alias("first_bought"),
        F.max(last).getField("key").alias("last_visit"),
        F.max(last).getField("bought").alias("last_bought"),
        F.array(*(F.sum(F.get("hours", F.lit(h))) for h in range(HOURS))).alias("hours"),
        F.coalesce(F.sum("price_weight"), F.lit(0)).alias("price_weight"),
        F.coalesce(F.sum("price_points"), F.lit(0)).alias("price_points"),
        F.bool_or("is_bot").alias("is_bot"),
    )


def interests_of(events: DataFrame, visits: DataFrame) -> DataFrame:
    """Rows of user_id, day, interests: weights by kind (category, brand, device of entry) and name."""
    category = F.array_join(F.slice(F.split("category_path", "/"), 1, INTEREST_LEVELS), "/")
    named = F.array(_interest(CATEGORY, category), _interest(BRAND, F.col("brand_name")))
    liked = events.where(F.col("weight") > 0).select(*OF_DAY, "weight", F.explode(named).alias("of"))
    devices = visits.select(
        *OF_DAY, F.lit(1).cast("bigint").alias("weight"), _interest(DEVICE, F.col(DEVICE)).alias("of")
    )
    return (
        liked.unionByName(devices)
        .where(F.col("of.name").isNotNull())
        .groupBy(*OF_DAY, "of")
        .agg(F.sum("weight").alias("weight"))
        .groupBy(*OF_DAY)
        .agg(F.array_sort(F.collect_list(F.struct("of.kind", "of.name", "weight"))).alias("interests"))
    )


def _interest(kind: str, name: Column) -> Column:
    return F.struct(F.lit(kind).alias("kind"), name.alias("name"))
