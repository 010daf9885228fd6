"""Items viewed in the same visits."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.profiles import CO_VIEW_DAYS, CO_VIEW_SUPPORT, CO_VIEWED
from spark_jobs.transforms.spans import day_number, in_span


def co_view_counts(events: DataFrame, session_items: int, kept: int) -> DataFrame:
    """Rows of item_id, day, visits, co_views: in how many visits of the day the item was viewed, and in how
    many of them each of at most `kept` other items, the most frequent.

    Only personal views are paired. A visit is cut at midnight, and only the first `session_items` items
    of it are paired. Of equally frequent partners a hash of the pair chooses, the same ones every day.
    """
    views = events.where(F.col("personal") & (F.col("event_type") == "view"))
    visits = (
        views.groupBy("user_id", "session_key", "day", "item_id")
        .agg(F.min("event_time").alias("at"))
        .groupBy("user_id", "session_key", "day")
        .agg(F.array_sort(F.collect_list(F.struct("at", "item_id"))).getField("item_id").alias("items"))
        .withColumn("paired", F.slice("items", 1, session_items))
        .select("day", "paired", F.explode("items").alias("item_id"))
    )
    # An item is among its own partners, and that pair counts its visits.
    partners = F.when(F.array_contains("paired", F.col("item_id")), F.col("paired")).otherwise(
        F.array("item_id")
    )
    pairs = (
        visits.select("day", "item_id", F.explode(partners).alias("partner"))
        .groupBy("day", "item_id", "partner")
        .agg(F.count("*").alias("visits"))
    )
    itself = F.col("partner") == F.col("item_id")
    ranked = F.when(
        ~itself,
        F.struct(
            (-F.col("visits")).alias("rank"),
            F.xxhash64("item_id", "partner").alias("choice"),
            F.col("partner").alias("item_id"),
            "visits",
        ),
    )
    return (
        pairs.groupBy("item_id", "day")
        .agg(
            F.max(F.when(itself, F.col("visits"))).alias("visits"),
            F.slice(F.array_sort(F.collect_list(ranked)), 1, kept).alias("ranked"),
        )
        .select(
            "item_id",
            "day",
            "visits",
            F.transform("ranked", lambda r: F.struct(r["item_id"], r["visits"])).alias("co_views"),
        )
    )


def co_viewed(facts: DataFrame, targets: DataFrame, spans: DataFrame) -> DataFrame:
    """Rows of item_id, until, co_viewed_items: for each of `targets` (item_id, until) the items viewed in
    the same visits of the CO_VIEW_DAYS days up to then, by cosine: visits with both over the root of the
    product of the visits with each.
    """
    visits = (
        in_span(facts.where(F.col("visits") > 0).select("item_id", "start", "visits"), spans, CO_VIEW_DAYS)
        .groupBy("item_id", "until")
        .agg(F.sum("visits").alias("visits"))
    )
    # Pairs that never reach the support are dropped before they are multiplied by the days asked for.
    pairs = (
        facts.select("item_id", day_number(F.col("start")).alias("number"), F.explode("co_views").alias("co"))
        .groupBy("item_id", F.col("co.item_id").alias("partner"))
        .agg(F.collect_list(F.struct("number", "co.visits")).alias("days"), F.sum("co.visits").alias("most"))
        .where(F.col("most") >= CO_VIEW_SUPPORT)
    )
    until = F.col("until")
    counted = F.filter("days", lambda d: (d["number"] <= until) & (d["number"] > until - CO_VIEW_DAYS))
    together = F.aggregate(counted, F.lit(0).cast("bigint"), lambda total, d: total + d["visits"])
    of_partner = visits.select(
        F.col("item_id").alias("partner"), "until", F.col("visits").alias("partner_visits")
    )
    cosine = F.col("together") / F.sqrt(F.col("visits") * F.col("partner_visits"))
    return (
        targets.select("item_id", "until")
        .join(pairs, "item_id")
        .select("item_id", "until", "partner", together.alias("together"))
        .where(F.col("together") >= CO_VIEW_SUPPORT)
        .join(visits, ["item_id", "until"])
        .join(of_partner, ["partner", "until"])
        .select("item_id", "until", F.struct((-cosine).alias("rank"), "partner").alias("co"))
        .groupBy("item_id", "until")
        .agg(F.slice(F.array_sort(F.collect_list("co")), 1, CO_VIEWED).alias("co"))
        .select("item_id", "until", F.col("co.partner").alias("co_viewed_items"))
    )
