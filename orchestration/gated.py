"""A table's way from candidate to published: past its gate, or not at all."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import dagster as dg
from pyspark.sql import DataFrame

from orchestration.columns import column_lineage
from orchestration.quality.expectations import Suite
from orchestration.quality.gate import GateResult, counted_jobs, to_asset_check_result, validate
from orchestration.resources import Platform

JOB_JOBS, JOB_SECONDS = "job: spark jobs", "job: seconds"


def contract_of(*tables: str) -> list[dg.AssetCheckSpec]:
    """The blocking check that each of these tables carries."""
    return [
        dg.AssetCheckSpec(
            check_name(table),
            asset=table,
            blocking=True,
            description=f"{table} is published, and anything downstream computed, only if this holds",
        )
        for table in tables
    ]


def check_name(table: str) -> str:
    return f"{table}_meets_its_contract"


def days_to_run(context: dg.AssetExecutionContext, platform: Platform) -> tuple[list[str], dict[str, int]]:
    """The run's days that have events, and for each the newest ledger epoch its clean events hold."""
    lake = platform.lake
    asked = sorted(context.partition_keys)
    with_events = lake.ledger_days()
    days = [day for day in asked if day in with_events]
    if not days:
        there = (
            f"the lake has {min(with_events)} to {max(with_events)}" if with_events else "import a log first"
        )
        raise dg.Failure(f"no events on {asked[0]} to {asked[-1]}: {there}", allow_retries=False)
    return days, {day: lake.seen_epoch("clean_events", day) for day in days}


def measure(platform: Platform, job: Callable[..., Mapping[str, object]], *arguments, **named) -> dict:
    """Runs a job in the platform's Spark on its lake. What it says of itself, and what it cost: the cost of
    its gates is held against that."""
    spark = platform.spark()
    started = time.perf_counter()
    with counted_jobs(spark, "job") as spark_jobs:
        said = job(spark, platform.lake, *arguments, **named)
        jobs = spark_jobs()
    return {**said, JOB_JOBS: jobs, JOB_SECONDS: round(time.perf_counter() - started, 2)}


def stop_if_unsound(table: DataFrame, suite: Suite, asset: str, check: str) -> Iterator[dg.AssetCheckResult]:
    """Check what an asset is about to be made from; fails the step if it does not hold."""
    result = validate(table, suite)
    yield to_asset_check_result(result)._replace(asset_key=dg.AssetKey(asset), check_name=check)
    broken = [f.description for f in result.failed if f.severity == "critical"]
    if broken:
        raise dg.Failure(
            f"{suite.name} does not hold, {asset} is not made from it: {'; '.join(broken)}. "
            "The check's table says how to mend it",
            allow_retries=False,
        )


def publish_if_sound(
    platform: Platform,
    suites: Mapping[str, Suite],
    parts: Sequence[str],
    measured: Mapping[str, object],
    epochs: Mapping[str, int] | None = None,
    extra_parts: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Check the candidates of each table; publish all of them or none.

    A refusal fails the step with the first broken expectation; what was published before stays.
    """
    parts_of = {table: [*parts, *(extra_parts or {}).get(table, ())] for table in suites}
    refused: list[str] = []
    gates: dict[str, GateResult] = {}
    for table, suite in suites.items():
        gates[table] = result = validate(_candidate(platform, table, parts_of[table]), suite)
        yield to_asset_check_result(result)._replace(
            asset_key=dg.AssetKey(table), check_name=check_name(table)
        )
        refused += [f"{table}: {f.description}" for f in result.failed if f.severity == "critical"]
    if refused:
        raise dg.Failure(
            f"{parts[0]} to {parts[-1]} not published, what was served before stays: "
            f"{'; '.join(refused)}. The check's table says how to mend it",
            allow_retries=False,
        )
    together = sum(gate.seconds for gate in gates.values())
    for table, gate in gates.items():
        cost = {"gate: spark jobs": gate.spark_jobs, "gate: seconds": round(gate.seconds, 2)}
        if JOB_SECONDS in measured:
            cost["gate: share of the job's seconds"] = round(gate.seconds / measured[JOB_SECONDS], 3)
            cost["gates of this job together: share"] = round(together / measured[JOB_SECONDS], 3)
        rows = {"dagster/row_count": gate.rows}
        yield publish(platform, table, parts_of[table], {**measured, **rows, **cost}, epochs)


def publish(
    platform: Platform,
    table: str,
    parts: Iterable[str],
    measured: Mapping[str, object],
    epochs: Mapping[str, int] | None = None,
) -> dg.MaterializeResult:
    """Put a table's candidates in place and say so. `measured` is the table's, or has an entry for it."""
    parts = list(parts)
    others = [key for key, value in measured.items() if isinstance(value, Mapping) and "files" in value]
    own = measured.get(table, {})
    shown = {k: v for k, v in {**measured, **own}.items() if k not in others and v not in ([], {})}
    for part in parts:
        platform.lake.publish(table, part, (epochs or {}).get(part))
    count = shown.get("dagster/row_count", shown.get("rows", "?"))
    dg.get_dagster_logger().info(f"published {table}: {count} rows, {parts[0]} to {parts[-1]}")
    lineage = column_lineage(table)
    columns = {} if lineage is None else {"dagster/column_lineage": lineage}
    return dg.MaterializeResult(
        asset_key=table, metadata={"parts": f"{parts[0]} to {parts[-1]}", **shown, **columns}
    )


def _candidate(platform: Platform, table: str, parts: Sequence[str]):
    return platform.spark().read.parquet(*(str(platform.lake.candidate(table, p)) for p in parts))
