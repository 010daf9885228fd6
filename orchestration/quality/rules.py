"""Row rules: what must hold inside one row, as a column that is null where it does.

A rule becomes one column and one expectation that this column is null. So any number of comparisons
over fifty feature columns joins the one aggregate pass that Great Expectations makes for a suite's
column expectations, where a query expectation for each would read the table each time. What is wrong
in a row is put into words only for the rows sampled after a failure.
"""

from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Severity = Literal["critical", "warning"]

VIOLATION = "broken__"


@dataclass(frozen=True)
class Broken:
    """SQL that holds in a row breaking the rule (null: it does not), and the columns to show."""

    when: str
    shown: tuple[str, ...]

    @property
    def text(self) -> str:
        values = (f"concat('{c}=', coalesce(cast({c} AS string), 'null'))" for c in self.shown)
        return f"concat_ws(', ', {', '.join(values)})"


@dataclass(frozen=True)
class RowRule:
    """One claim about every row; a row breaks it when any of `broken` holds."""

    name: str
    description: str
    mend: str
    broken: tuple[Broken, ...]
    severity: Severity = "critical"

    @property
    def column(self) -> str:
        return f"{VIOLATION}{self.name}"

    def flag(self) -> Column:
        """True in a row that breaks the rule, else null: what is cheap enough for every row."""
        broken = ", ".join(f"coalesce({b.when}, false)" for b in self.broken)
        return F.expr(f"CASE WHEN array_contains(array({broken}), true) THEN true END")

    def violation(self) -> Column:
        """What is wrong in a row that breaks the rule, else null."""
        anything = " OR ".join(f"({b.when})" for b in self.broken)
        texts = ", ".join(f"CASE WHEN {b.when} THEN {b.text} END" for b in self.broken)
        return F.expr(f"CASE WHEN {anything} THEN concat_ws('; ', {texts}) END")


def with_flags(table: DataFrame, derived: dict[str, str], rules: tuple[RowRule, ...]) -> DataFrame:
    """`table` with `derived` columns (name to SQL) and one flag a rule."""
    return _derive(table, derived).withColumns({rule.column: rule.flag() for rule in rules})


def with_violations(table: DataFrame, derived: dict[str, str], rules: tuple[RowRule, ...]) -> DataFrame:
    """`table` with `derived` columns and one text a rule, under the names that the flags have."""
    return _derive(table, derived).withColumns({rule.column: rule.violation() for rule in rules})


def _derive(table: DataFrame, derived: dict[str, str]) -> DataFrame:
    return table.withColumns({name: F.expr(sql) for name, sql in derived.items()})


def is_null(columns: tuple[str, ...]) -> tuple[Broken, ...]:
    return tuple(Broken(f"{c} IS NULL", (c,)) for c in columns)


def is_negative(columns: tuple[str, ...]) -> tuple[Broken, ...]:
    return tuple(Broken(f"{c} < 0", (c,)) for c in columns)


def is_greater(pairs: tuple[tuple[str, str], ...]) -> tuple[Broken, ...]:
    """The first column of a pair is greater than the second."""
    return tuple(Broken(f"{small} > {large}", (small, large)) for small, large in pairs)
