"""What cleaning found on each day, as numbers: filled, corrected, flagged, late, refused at the door."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.tables import read_days, require_published
from spark_jobs.lake import Lake, replace_folder
from spark_jobs.transforms.cleaning import LABEL_SOURCES, PRICE_SOURCES

TABLE = "quality_days"
LATE_AFTER_S = 3_600
UNKNOWN_DAY = "unknown"

# What is told apart of an event; every metric is a sum over the few groups that a day has.
GROUPS = {
    "day": "date_format(event_time, 'yyyy-MM-dd')",
    "has_item": "item_id IS NOT NULL",
    "category_source": "category_source",
    "brand_source": "brand_source",
    "price_source": "price_source",
    "bot_reason": "bot_reason",
    "outlier_reason": "outlier_reason",
    "aggregate_consent": "NOT personal",
    "late": f"received_at > event_time + INTERVAL {LATE_AFTER_S} SECONDS",
    "ahead": "claimed_time > received_at",
    "purchase": "event_type = 'purchase'",
    "priceless_purchase": "event_type = 'purchase' AND price IS NULL",
}
FLAGS = {
    "late_events": "late",
    "claims_of_the_future": "ahead",
    "aggregate_consent_events": "aggregate_consent",
    "purchases": "purchase",
    "purchases_without_price": "priceless_purchase",
    "item_events": "has_item",
}
SOURCES = {"category": LABEL_SOURCES, "brand": LABEL_SOURCES, "price": PRICE_SOURCES}
NOWHERE = "unknown"

Metrics = dict[str, float]


class RefusedRow(msgspec.Struct):
    """What is read of a line of the quarantine."""

    code: str
    day: str | None = None


def run(spark: SparkSession, lake: Lake, days: list[str]) -> tuple[dict[str, Metrics], Counter[str]]:
    """Write candidates of `quality_days` from published clean events and the quarantine.

    What is in them, by day, and the refused rows of no known day, by code.
    """
    require_published(lake, "clean_events", days)
    events = read_days(spark, lake, "clean_events", min(days), max(days))
    groups = events.groupBy(*(F.expr(sql).alias(name) for name, sql in GROUPS.items())).count()
    of_day: dict[str, Metrics] = {day: empty_day() for day in days}
    for row in groups.where(F.col("day").isin(*days)).collect():
        add(of_day[row.day], row)
    refused = quarantined(lake)
    for day, metrics in of_day.items():
        metrics["quarantined"] = sum(refused.get(day, {}).values())
        metrics |= {f"quarantined: {code}": n for code, n in refused.get(day, {}).items()}
        write(lake, day, metrics)
    return of_day, refused.get(UNKNOWN_DAY, Counter())


def empty_day() -> Metrics:
    by_source = (
        source_metric(what, source) for what, sources in SOURCES.items() for source in (*sources, NOWHERE)
    )
    return dict.fromkeys(("events", *FLAGS, *by_source, "bot_events", "outlier_events"), 0)


def source_metric(what: str, source: str) -> str:
    """Of the events with an item, those whose category, brand or price came from there."""
    return f"{what}: {source}"


def add(metrics: Metrics, row: Row) -> None:
    """Add a group of events to its day."""
    count = row["count"]
    found = ["events", *(metric for metric, flag in FLAGS.items() if row[flag])]
    if row.has_item:
        found += [source_metric(what, row[f"{what}_source"] or NOWHERE) for what in SOURCES]
    for metric, reasons in (("bot_events", row.bot_reason), ("outlier_events", row.outlier_reason)):
        if reasons:
            found += [metric, *(f"{metric}: {reason}" for reason in reasons.split("; "))]
    for metric in found:
        metrics[metric] = metrics.get(metric, 0) + count


def quarantined(lake: Lake) -> dict[str, Counter[str]]:
    """Rows that committed imports refused, by day and code; UNKNOWN_DAY for rows without a readable time.

    Every file is read once, line by line.
    """
    found: dict[str, Counter[str]] = {}
    decoder = msgspec.json.Decoder(RefusedRow)
    for commit in lake.commits():
        path = lake.root / "quarantine" / f"import-{commit.epoch:012d}.jsonl"
        if commit.kind != "import" or not path.exists():
            continue
        with path.open("rb") as lines:
            for line in lines:
                row = decoder.decode(line)
                found.setdefault(row.day or UNKNOWN_DAY, Counter())[row.code] += 1
    return found


def write(lake: Lake, day: str, metrics: Metrics) -> None:
    candidate = lake.candidate(TABLE, day)
    scratch = candidate.with_name(f".writing-{candidate.name}")
    scratch.mkdir(parents=True, exist_ok=True)
    columns = {
        "day": [day] * len(metrics),
        "metric": list(metrics),
        "value": pa.array(metrics.values(), pa.float64()),
    }
    pq.write_table(pa.table(columns), scratch / "metrics.parquet", compression="zstd")
    replace_folder(scratch, candidate)


def read(lake: Lake, days: Iterable[str]) -> dict[str, Metrics]:
    """The published metrics of these days, where there are any."""
    published = set(lake.parts(TABLE))
    return {
        day: metrics_of(pq.ParquetDataset(lake.partition(TABLE, day), partitioning=None).read())
        for day in days
        if day in published
    }


def metrics_of(table: pa.Table) -> Metrics:
    return dict(zip(table["metric"].to_pylist(), table["value"].to_pylist(), strict=True))


def summary(of_day: Mapping[str, Metrics], undated: Counter[str]) -> dict:
    events = sum(metrics["events"] for metrics in of_day.values())
    return {"days": len(of_day), "events": events, "quarantined_without_day": undated.total()}


def main() -> None:
    options = day_parser(__doc__).parse_args()
    days = days_between(options.day, options.to)
    execute(TABLE, options, lambda spark, lake: summary(*run(spark, lake, days)))


if __name__ == "__main__":
    main()
