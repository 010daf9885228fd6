"""A suite as a value, and the expectations that suites are put together from.

Each expectation carries in `meta` a name that is a claim, a description, and how to mend a failure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

import great_expectations.expectations as gxe
from great_expectations.core.metric_function_types import SummarizationMetricNameSuffixes
from great_expectations.expectations.expectation import (
    ColumnAggregateExpectation,
    ColumnMapExpectation,
    Expectation,
)
from great_expectations.validator.validator import ValidationDependencies

from feature_repo.events import from_us
from feature_repo.feature import Dtype
from orchestration.quality.rules import RowRule, Severity, is_null
from spark_jobs.lake import day_bounds

# The Spark types a column may have.
INTEGER = ("tinyint", "smallint", "int", "bigint")
NUMBER = (*INTEGER, "float", "double")
TEXT, TIME, FLAG = ("string",), ("timestamp",), ("boolean",)
VECTOR, WORDS = ("array<float>",), ("array<string>",)

FIX_JOB = "the job that makes this table is at fault: mend it by the rows shown, materialize again"
REPEATED = "rows were written twice: materialize again; if it stays, the job does not deduplicate"

FEATURE_TYPES: dict[Dtype, tuple[str, ...]] = {
    "int64": INTEGER,
    "float64": NUMBER,
    "vector": VECTOR,
    "string": TEXT,
    "strings": WORDS,
}

ColumnTypes = dict[str, tuple[str, ...]]


KEY = "__"


class Counted:
    """For an expectation of a column's values: rows that break it are counted, and fetched only where
    the run asks for samples. Great Expectations itself runs a query for them each time.
    """

    def get_validation_dependencies(self, *arguments, **named) -> ValidationDependencies:
        needed = super().get_validation_dependencies(*arguments, **named)
        if not needed.result_format.get("partial_unexpected_count"):
            values = f"{self.map_metric}.{SummarizationMetricNameSuffixes.UNEXPECTED_VALUES.value}"
            if values in needed.metric_configurations:
                needed.remove_metric_configuration(values)
        return needed


@cache
def counted(kind: type[ColumnMapExpectation]) -> type[ColumnMapExpectation]:
    return type(f"Counted{kind.__name__}", (Counted, kind), {})


class ExpectKeyToBeUnique(ColumnAggregateExpectation):
    """A key, derived as one column, has as many values as the table has rows.

    Both counts join the one aggregate pass of a suite's other expectations, where Great
    Expectations' own expectations of uniqueness each sort the table in a window.
    """

    metric_dependencies = ("column.distinct_values.count", "table.row_count")

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(self.column.removeprefix(KEY).split(KEY))

    def _validate(self, metrics: dict, runtime_configuration=None, execution_engine=None) -> dict:
        rows, keys = metrics["table.row_count"], metrics["column.distinct_values.count"]
        return {"success": keys == rows, "result": {"observed_value": f"{keys:,} keys in {rows:,} rows"}}


class ExpectColumnToBalance(ColumnAggregateExpectation):
    """The values of a column add up to nothing; those of an empty table do."""

    metric_dependencies = ("column.sum",)

    def _validate(self, metrics: dict, runtime_configuration=None, execution_engine=None) -> dict:
        total = metrics["column.sum"] or 0
        return {"success": total == 0, "result": {"observed_value": total}}


@dataclass(frozen=True)
class Suite:
    """What a table must satisfy. `key` names rows in samples; `derived` are SQL columns."""

    name: str
    key: tuple[str, ...]
    columns: ColumnTypes
    expectations: tuple[Expectation, ...]
    rules: tuple[RowRule, ...] = ()
    derived: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [e.meta["name"] for e in self.all_expectations()]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"suite {self.name}: expectations share a name: {', '.join(repeated)}")

    def all_expectations(self) -> list[Expectation]:
        """The rules come last, each as the expectation that its violation column is null."""
        return [*self.expectations, *(_rule_holds(rule) for rule in self.rules)]

    def all_derived(self) -> dict[str, str]:
        keys = (e for e in self.expectations if isinstance(e, ExpectKeyToBeUnique))
        return self.derived | {name: sql for e in keys for name, sql in key_columns(e).items()}


def expect(
    kind: type[Expectation],
    name: str,
    description: str,
    mend: str = FIX_JOB,
    severity: Severity = "critical",
    **arguments: object,
) -> Expectation:
    meta = {"name": name, "description": description, "mend": mend}
    if issubclass(kind, ColumnMapExpectation):
        kind = counted(kind)
    return kind(severity=severity, meta=meta, **arguments)


def _rule_holds(rule: RowRule) -> Expectation:
    return expect(
        gxe.ExpectColumnValuesToBeNull,
        rule.name,
        rule.description,
        rule.mend,
        rule.severity,
        column=rule.column,
    )


def has_rows(description: str, mend: str, severity: Severity = "critical") -> Expectation:
    return expect(gxe.ExpectTableRowCountToBeBetween, "has_rows", description, mend, severity, min_value=1)


def filled(*columns: str) -> RowRule:
    names = ", ".join(columns)
    return RowRule("required_columns_are_filled", f"never null: {names}", FIX_JOB, is_null(columns))


def unique(*key: str) -> Expectation:
    return expect(ExpectKeyToBeUnique, *_unique_claim(key), REPEATED, column=KEY.join(("", *key)))


def key_columns(expectation: ExpectKeyToBeUnique) -> dict[str, str]:
    """The derived column an expectation of uniqueness counts, and its SQL."""
    return {expectation.column: f"struct({', '.join(expectation.key)})"}


def repeated_rows(expectation: ExpectKeyToBeUnique) -> Expectation:
    """The same claim, row by row: costs a pass over the table of its own, and says which rows."""
    key = expectation.key
    if len(key) == 1:
        kind, arguments = gxe.ExpectColumnValuesToBeUnique, {"column": key[0]}
    else:
        kind, arguments = gxe.ExpectCompoundColumnsToBeUnique, {"column_list": list(key)}
    return expect(kind, *_unique_claim(key), REPEATED, **arguments)


def _unique_claim(key: tuple[str, ...]) -> tuple[str, str]:
    return f"{'_and_'.join(key)}_are_unique", f"({', '.join(key)}) names one row"


def in_set(name: str, column: str, values: Iterable[object], mend: str = FIX_JOB) -> Expectation:
    allowed = list(values)
    return expect(
        gxe.ExpectColumnValuesToBeInSet,
        name,
        f"{column} is {' or '.join(map(str, allowed))}",
        mend,
        column=column,
        value_set=allowed,
    )


def between(name: str, column: str, low: int, high: int | None = None) -> Expectation:
    return expect(
        gxe.ExpectColumnValuesToBeBetween,
        name,
        f"{column} is at least {low:,}" + ("" if high is None else f" and at most {high:,}"),
        column=column,
        min_value=low,
        max_value=high,
    )


def in_days(column: str, first_day: str, last_day: str) -> Expectation:
    """From the first instant of `first_day` to before the end of `last_day`, UTC."""
    start, end = _instant(first_day, 0), _instant(last_day, 1)
    days = first_day if first_day == last_day else f"{first_day} to {last_day}"
    return expect(
        gxe.ExpectColumnValuesToBeBetween,
        f"{column}_is_in_its_day",
        f"{column} lies in {days}, UTC",
        "rows of another day stand in this partition: the job cuts days in a zone other than UTC",
        column=column,
        min_value=start,
        max_value=end,
        strict_max=True,
    )


def _instant(day: str, side: int) -> datetime:
    return from_us(day_bounds(day)[side])
