"""A suite as a value, and the expectations that suites are put together from.

Each expectation carries in `meta` a name that is a claim, a description, and how to mend a failure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from feature_repo.events import from_us
from orchestration.quality.rules import RowRule, Severity
from spark_jobs.lake import day_bounds

# The Spark types a column may have.
INTEGER = ("tinyint", "smallint", "int", "bigint")
NUMBER = (*INTEGER, "float", "double")
TEXT, TIME, FLAG, VECTOR = ("string",), ("timestamp",), ("boolean",), ("array<float>",)

FIX_JOB = "the job that makes this table is at fault: mend it by the rows shown, materialize again"
REPEATED = "rows were written twice: materialize again; if it stays, the job does not deduplicate"

ColumnTypes = dict[str, tuple[str, ...]]


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


def expect(
    kind: type[Expectation],
    name: str,
    description: str,
    mend: str = FIX_JOB,
    severity: Severity = "critical",
    **arguments: object,
) -> Expectation:
    meta = {"name": name, "description": description, "mend": mend}
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


def filled(*columns: str) -> tuple[Expectation, ...]:
    return tuple(
        expect(gxe.ExpectColumnValuesToNotBeNull, f"{c}_is_filled", f"{c} is never null", column=c)
        for c in columns
    )


def unique(*key: str) -> Expectation:
    name, description = f"{'_and_'.join(key)}_are_unique", f"({', '.join(key)}) names one row"
    if len(key) == 1:
        kind, arguments = gxe.ExpectColumnValuesToBeUnique, {"column": key[0]}
    else:
        kind, arguments = gxe.ExpectCompoundColumnsToBeUnique, {"column_list": list(key)}
    return expect(kind, name, description, REPEATED, **arguments)


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
