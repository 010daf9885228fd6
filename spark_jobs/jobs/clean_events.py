"""Ledger to clean events, no row dropped: session, bot and outlier columns, categories, brands and prices
filled and normalised. Beside them what each day says of its items.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import SESSION_GAP_S
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import NoEvents, read_ledger, read_parts, write_days
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.ledger_files import LEDGER_SCHEMA
from spark_jobs.shop_files import ShopFileError, catalogue_parquet, placed_categories
from spark_jobs.transforms.category_tree import tree_frame, with_path
from spark_jobs.transforms.cleaning import (
    CleaningRules,
    item_attributes,
    known_of_items,
    with_filled_labels,
    with_unit_price,
)
from spark_jobs.transforms.flags import (
    BotRules,
    OutlierRules,
    category_prices,
    with_amount,
    with_bot_flags,
    with_outlier_flags,
)
from spark_jobs.transforms.sessions import with_sessions

TABLE, ATTRIBUTES = "clean_events", "item_attributes"

CATALOGUE_ITEMS = "item_id string, catalogue_path string, catalogue_brand string, catalogue_price bigint"

# A number a row, of all that the ledger says of the event: their sum tells whether anything changed.
FINGERPRINT = f"pmod(xxhash64({', '.join(LEDGER_SCHEMA.names)}), 1000003)"


@dataclass(frozen=True)
class ShopFiles:
    """What the shop tells about itself: CSV files, or nothing."""

    catalogue: Path | None = None
    categories: Path | None = None


@dataclass(frozen=True)
class LedgerCount:
    """How many events the ledger has of some days, and the sum of their fingerprints."""

    rows: int
    fingerprint: int


def run(
    spark: SparkSession,
    lake: Lake,
    days: list[str],
    *,
    upto_epoch: int | None = None,
    shop: ShopFiles | None = None,
    rules: CleaningRules | None = None,
    bots: BotRules | None = None,
    outliers: OutlierRules | None = None,
) -> dict:
    """Write candidates of `clean_events` and `item_attributes` for `days`, from the ledger as of
    `upto_epoch` and the item_attributes published for the days before; metadata by table. Raises NoEvents
    if none of the days has any event, ShopFileError if a file of the shop cannot be read.
    """
    require_events(lake, days)
    shop, rules = shop or ShopFiles(), rules or CleaningRules()
    tree = category_tree(spark, shop.categories)
    catalogue = catalogue_items(spark, lake, shop.catalogue, tree)
    attributes = item_attributes(with_day(read_ledger(spark, lake, days, upto_epoch)))
    said = write_days(attributes, lake, ATTRIBUTES, days)
    known = known_items(spark, lake, days, rules, tree, catalogue)

    before = {day_of(day_bounds(day)[0] - 1) for day in days}
    ledger = read_ledger(spark, lake, sorted({*days, *before}), upto_epoch)
    events = with_day(with_sessions(ledger, SESSION_GAP_S)).where(F.col("day").isin(*days))
    events = with_bot_flags(with_amount(events), bots or BotRules())
    events = with_path(events, "category", "own_path", tree).join(known, ["item_id", "day"], "left")
    events = with_unit_price(with_filled_labels(events), rules)
    outliers = outliers or OutlierRules()
    events = with_outlier_flags(events, category_prices(known, outliers), outliers)
    noticed = Observation()
    written = write_days(events.observe(noticed, *noticed_metrics()), lake, TABLE, days)
    return {TABLE: {**written.metadata(), **noticed.get}, ATTRIBUTES: said.metadata()}


def noticed_metrics():
    """What the table's metadata counts, on the way to its files."""
    priceless = (F.col("event_type") == "purchase") & F.col("price").isNull()
    filled = {
        "categories_filled": F.col("category_source") != "event",
        "brands_filled": F.col("brand_source") != "event",
        "prices_filled": F.col("price_source").isin("item_history", "catalogue"),
        "prices_unit_corrected": F.col("price_source") == "unit_corrected",
        "bot_events": F.col("is_bot"),
        "outlier_events": F.col("is_outlier"),
        "aggregate_consent_events": ~F.col("personal"),
        "purchases_without_price": priceless,
    }
    return [F.count_if(holds).alias(name) for name, holds in filled.items()]


def with_day(events: DataFrame) -> DataFrame:
    return events.withColumn("day", F.date_format("event_time", "yyyy-MM-dd"))


def category_tree(spark: SparkSession, path: Path | None) -> DataFrame | None:
    if path is None:
        return None
    rows = placed_categories(path)
    return tree_frame(spark.createDataFrame(rows, "category string, levels array<string>, line bigint"))


def catalogue_items(
    spark: SparkSession, lake: Lake, path: Path | None, tree: DataFrame | None
) -> DataFrame | None:
    """A row an item: `catalogue_path`, `catalogue_brand`, `catalogue_price`; its last line counts."""
    if path is None:
        return None
    lines = spark.read.parquet(str(catalogue_parquet(lake, path)))
    columns = {"category": "catalogue_category", "brand": "catalogue_brand", "price_minor": "catalogue_price"}
    newest = F.max_by(F.struct(*columns), "line").alias("newest")
    items = lines.groupBy("item_id").agg(newest)
    items = items.select("item_id", *(F.col(f"newest.{c}").alias(name) for c, name in columns.items()))
    return with_path(items, "catalogue_category", "catalogue_path", tree).drop("catalogue_category")


def known_items(
    spark: SparkSession,
    lake: Lake,
    days: list[str],
    rules: CleaningRules,
    tree: DataFrame | None,
    catalogue: DataFrame | None,
) -> DataFrame:
    """What is known of each item on each of `days`: their own candidates of item_attributes, what is
    published for the days before, and the catalogue.
    """
    earliest = (date.fromisoformat(min(days)) - timedelta(rules.history_days)).isoformat()
    folders = [lake.candidate(ATTRIBUTES, day) for day in days]
    published = (part for part in lake.parts(ATTRIBUTES) if earliest <= part <= max(days))
    folders += [lake.partition(ATTRIBUTES, part) for part in published if part not in days]
    known = known_of_items(read_parts(spark, ATTRIBUTES, folders), rules).where(F.col("day").isin(*days))
    known = with_path(known, "history_category", "history_path", tree).drop("history_category")
    if catalogue is None:
        catalogue = spark.createDataFrame([], CATALOGUE_ITEMS)
    known = known.join(catalogue, "item_id", "left")
    return known.withColumn("item_path", F.coalesce("history_path", "catalogue_path"))


def ledger_count(spark: SparkSession, lake: Lake, days: list[str], upto_epoch: int | None) -> LedgerCount:
    """What clean events of these days have to add up to."""
    ledger = read_ledger(spark, lake, days, upto_epoch)
    rows, fingerprint = ledger.agg(F.count("*"), F.expr(f"coalesce(sum({FINGERPRINT}), 0)")).first()
    return LedgerCount(rows, fingerprint)


def require_events(lake: Lake, days: list[str]) -> None:
    known = list(lake.ledger_days())
    if any(day in known for day in days):
        return
    having = ", ".join(known) if len(known) <= 10 else f"{len(known)} days, {known[0]} to {known[-1]}"
    raise NoEvents(
        f"no events on {' to '.join(sorted({min(days), max(days)}))}; days with events: "
        f"{having or 'none, import a log first'}"
    )


def with_shop_files(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    for name, what in (("catalogue", "what is sold"), ("categories", "the tree of categories")):
        variable = f"INTENT_{name.upper()}"
        given = os.environ.get(variable)
        default = Path(given) if given else None
        parser.add_argument(f"--{name}", type=Path, default=default, help=f"{what}, a CSV ({variable})")
    return parser


def main() -> None:
    options = with_shop_files(day_parser(__doc__)).parse_args()
    days, shop = days_between(options.day, options.to), ShopFiles(options.catalogue, options.categories)
    try:
        execute(TABLE, options, lambda spark, lake: run(spark, lake, days, shop=shop))
    except ShopFileError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
