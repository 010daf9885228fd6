"""Validates a Spark DataFrame against a suite, and tells Dagster about it.

Two runs at most: the first counts, in one query, what breaks each expectation; the second, only after a
failure, fetches a few offending rows.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
import great_expectations as gx
import msgspec
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame, SparkSession

from feature_repo.events import rfc3339, to_us
from orchestration.quality.engine import context_and_source, planned
from orchestration.quality.expectations import ExpectKeyToBeUnique, Suite, repeated_rows
from orchestration.quality.rules import VIOLATION, Severity, with_flags, with_violations

SAMPLES = 5
MAX_SAMPLE_CHARS = 300

logging.getLogger("great_expectations").setLevel(logging.ERROR)


class Finding(msgspec.Struct, frozen=True):
    """What became of one expectation. `unexpected_count` is None where rows are not counted."""

    name: str
    description: str
    mend: str
    severity: Severity
    passed: bool
    observed: str
    unexpected_count: int | None = None
    samples: tuple[str, ...] = ()


class GateResult(msgspec.Struct, frozen=True):
    """`rows` is None when the table lacks columns, for then nothing was counted."""

    suite: str
    rows: int | None
    findings: tuple[Finding, ...]
    spark_jobs: int
    seconds: float

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.passed)

    @property
    def passed(self) -> bool:
        """Nothing critical failed."""
        return not any(f.severity == "critical" for f in self.failed)


def validate(table: DataFrame, suite: Suite) -> GateResult:
    """Reads `table` a few times. Its session must be a classic one, not Spark Connect."""
    started = time.perf_counter()
    columns = _columns_finding(table, suite)
    if not columns.passed:
        return GateResult(suite.name, None, (columns,), 0, time.perf_counter() - started)
    spark = table.sparkSession
    with counted_jobs(spark, "Great Expectations gate") as spark_jobs, planned(table) as one:
        wide = with_flags(one, suite.all_derived(), suite.rules)
        expectations = suite.all_expectations()
        counted = _run(wide, expectations, {"result_format": "BASIC", "partial_unexpected_count": 0})
        sampled = _sample(table, suite, expectations, counted)
        jobs = spark_jobs()
    results = counted | sampled
    findings = tuple(_finding(e, results[e.meta["name"]], suite.key) for e in expectations)
    return GateResult(
        suite=suite.name,
        rows=_row_count(counted.values()),
        findings=(columns, *findings),
        spark_jobs=jobs,
        seconds=time.perf_counter() - started,
    )


def to_asset_check_result(result: GateResult) -> dg.AssetCheckResult:
    """Fails, as ERROR, when something critical failed; warnings alone are WARN and stop nothing."""
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=dg.AssetCheckSeverity.WARN if result.passed else dg.AssetCheckSeverity.ERROR,
        description=summary(result),
        metadata={
            "expectations": dg.MetadataValue.md(markdown(result)),
            "critical_failures": sum(f.severity == "critical" for f in result.failed),
            "warnings": sum(f.severity == "warning" for f in result.failed),
            **({} if result.rows is None else {"rows": result.rows}),
            "spark_jobs": result.spark_jobs,
            "seconds": round(result.seconds, 2),
        },
    )


def summary(result: GateResult) -> str:
    """One line: what failed, the critical first, and what to do about the first."""
    failed = sorted(result.failed, key=lambda f: f.severity)
    if not failed:
        return f"{result.suite}: all {len(result.findings)} expectations hold"
    names = ", ".join(f"{f.name} ({f.severity})" for f in failed)
    verdict = "may be published, with warnings" if result.passed else "is not published"
    return f"{result.suite} {verdict}: {names}. First: {failed[0].mend}"


def markdown(result: GateResult) -> str:
    """What failed and what to do, then a table of every expectation."""
    parts = [
        f"**✗ {f.name}** ({f.severity}): {_cell(f.description)}. Observed: {_cell(f.observed)}.\n\n"
        f"What to do: {_cell(f.mend)}.\n" + "".join(f"\n- `{_cell(s)}`" for s in f.samples)
        for f in sorted(result.failed, key=lambda f: f.severity)
    ]
    lines = ["| | expectation | what it says | severity | observed |", "|---|---|---|---|---|"]
    lines += [
        f"| {'✓' if f.passed else '✗'} | {f.name} | {_cell(f.description)} | {f.severity} "
        f"| {_cell(f.observed)} |"
        for f in result.findings
    ]
    return "\n\n".join([*parts, "\n".join(lines)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")


# -- Great Expectations ---------------------------------------------------------------------------


def _columns_finding(table: DataFrame, suite: Suite) -> Finding:
    """Whether the suite can be computed at all: its columns are there, of a type it can read."""
    types = {f.name: f.dataType.simpleString() for f in table.schema.fields}
    faults = [
        f"{name} is missing" if name not in types else f"{name} is {types[name]}"
        for name, allowed in suite.columns.items()
        if types.get(name) not in allowed
    ]
    return Finding(
        "columns_are_as_declared",
        f"the {len(suite.columns)} columns that are checked exist and have their types",
        "the job wrote another schema: it and the declarations in feature_repo must say the same",
        "critical",
        passed=not faults,
        observed=", ".join(faults) or "as declared",
    )


def _run(
    table: DataFrame, expectations: list[Expectation], result_format: dict
) -> dict[str, ExpectationValidationResult]:
    """Results by the expectations' names."""
    name = uuid.uuid4().hex
    own = [e.copy(deep=True) for e in expectations]
    context, source = context_and_source()
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=own))
    try:
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        results = definition.run(batch_parameters={"dataframe": table}, result_format=result_format).results
    finally:
        source.delete_asset(name)
        context.suites.delete(name)
    return {r.expectation_config.meta["name"]: r for r in results}


def _sample(
    table: DataFrame,
    suite: Suite,
    expectations: list[Expectation],
    counted: dict[str, ExpectationValidationResult],
) -> dict[str, ExpectationValidationResult]:
    """Each failed expectation that counts rows again, with a few of the rows that break it."""
    broken = (e for e in expectations if not counted[e.meta["name"]].success)
    failed = [
        repeated_rows(e) if isinstance(e, ExpectKeyToBeUnique) else e
        for e in broken
        if isinstance(e, ExpectKeyToBeUnique) or counted[e.meta["name"]].result.get("unexpected_count")
    ]
    if not failed:
        return {}
    result_format = {
        "result_format": "SUMMARY",
        "partial_unexpected_count": SAMPLES,
        "unexpected_index_column_names": list(suite.key),
    }
    names = {e.meta["name"] for e in failed}
    rules = tuple(rule for rule in suite.rules if rule.name in names)
    wide = with_violations(table, suite.derived, rules)
    return _run(wide, failed, result_format)


def _samples(result: ExpectationValidationResult, key: tuple[str, ...]) -> tuple[str, ...]:
    """Offending rows as text: the row's key and what is wrong."""
    rows = result.result.get("partial_unexpected_index_list") or []
    return tuple(sorted({_row_text(row, key) for row in rows}))


def _row_text(row: dict[str, object], key: tuple[str, ...]) -> str:
    named = ", ".join(f"{c}={_value(row[c])}" for c in key)
    wrong = ", ".join(
        _value(v) if c.startswith(VIOLATION) else f"{c}={_value(v)}" for c, v in row.items() if c not in key
    )
    text = f"{named}: {wrong}" if wrong else named
    return text if len(text) <= MAX_SAMPLE_CHARS else f"{text[: MAX_SAMPLE_CHARS - 1]}…"


def _value(value: object) -> str:
    if isinstance(value, datetime):  # Spark hands rows over with naive times of the process's zone
        return rfc3339(to_us(value.astimezone(UTC)))
    return "null" if value is None else str(value)


def _finding(expectation: Expectation, result: ExpectationValidationResult, key: tuple[str, ...]) -> Finding:
    return Finding(
        name=expectation.meta["name"],
        description=expectation.meta["description"],
        mend=expectation.meta["mend"],
        severity=expectation.severity.value,
        passed=bool(result.success),
        observed=_observed(result),
        unexpected_count=_unexpected_count(result),
        samples=_samples(result, key),
    )


def _unexpected_count(result: ExpectationValidationResult) -> int | None:
    """None where the expectation is not about rows; a sum over no rows, which is null, is 0."""
    if "unexpected_count" not in result.result:
        return None
    return result.result["unexpected_count"] or 0


def _observed(result: ExpectationValidationResult) -> str:
    count, seen = _unexpected_count(result), result.result
    if count is not None:
        rows = seen["element_count"]
        share = f" ({count / rows:.2%})" if count else ""
        return f"{count:,} of {rows:,} rows break it{share}"
    if "observed_value" in seen:
        return str(seen["observed_value"])
    return f"could not be computed: {_reason(result.exception_info)}"


def _reason(info: dict) -> str:
    """The first line of the error; Great Expectations keys errors by metric when one raised."""
    if "exception_message" not in info:
        info = next((v for v in info.values() if isinstance(v, dict)), {})
    lines = str(info.get("exception_message") or "no reason given").splitlines()
    return lines[0][:MAX_SAMPLE_CHARS]


def _row_count(results: Iterable[ExpectationValidationResult]) -> int | None:
    return next((r.result["element_count"] for r in results if "element_count" in r.result), None)


@contextmanager
def counted_jobs(spark: SparkSession, description: str) -> Iterator[Callable[[], int]]:
    """Says how many Spark jobs were started inside; the caller's own job group is put back."""
    context, group = spark.sparkContext, f"counted-{uuid.uuid4()}"
    names = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")
    before = {name: context.getLocalProperty(name) for name in names}
    context.setJobGroup(group, description)
    try:
        yield lambda: len(context.statusTracker().getJobIdsForGroup(group))
    finally:
        for name, value in before.items():
            context.setLocalProperty(name, value)
