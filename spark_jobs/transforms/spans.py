"""Stretches of days that end with a day: the days that a number as of then looks back on."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def until_day(as_of: Column) -> Column:
    """The day, as a number, of the last instant before `as_of`."""
    return F.unix_date(F.to_date(as_of - F.expr("INTERVAL 1 MICROSECOND")))


def day_number(start: Column) -> Column:
    return F.unix_date(F.to_date(start))


def in_span(rows: DataFrame, spans: DataFrame, days: int) -> DataFrame:
    """The rows, each once for every `until` of `spans` whose last `days` days its `start` lies in."""
    number = day_number(F.col("start"))
    until = F.col("until")
    return rows.join(F.broadcast(spans), (number <= until) & (number > until - days))
