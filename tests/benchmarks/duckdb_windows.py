"""The declared windows by DuckDB, from the files that Spark's jobs read: what these are measured against.

    python -m tests.benchmarks.duckdb_windows snapshot LAKE ACTIVITY AS_OF OUT
    python -m tests.benchmarks.duckdb_windows point_in_time LAKE ACTIVITY ROWS OUT

Counts and sums at given instants are differences of running sums, found by as-of joins at each window's two
ends; the rest is aggregated over the events that a join on entity and stretch of time finds. The queries
are written from the declarations, so an aggregate more is one here too.
"""

import sys
from pathlib import Path

import duckdb

from feature_repo.aggregates import ADDED, Activity, Aggregate, Where
from feature_repo.behavior import ACTIVITIES, WINDOWS
from feature_repo.sketch import HASH_BITS, HASH_HEX_DIGITS, K
from feature_repo.windows import US, Window

THREADS = 2
KEPT = {"count": "sum", "sum": "sum", "min": "min", "max": "max", "last": "max", "distinct": "list"}


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": THREADS})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    return connection


def snapshot(lake: Path, activity: Activity, as_of: int, out: Path) -> None:
    """Every window of every entity at `as_of` (microseconds UTC), to a Parquet file."""
    reach = min(w.tail(as_of) for w in WINDOWS)
    values = ", ".join(
        f"{_value(a, _over(a, f'at_us >= {w.tail(as_of)}'))} AS {a.feature(w)}"
        for a in activity.aggregates
        for w in a.windows_of(WINDOWS)
    )
    _write(
        f"SELECT {_keys(activity)}, {values} "
        f"FROM ({_contributions(lake, activity)}) WHERE at_us BETWEEN {reach} AND {as_of} "
        f"GROUP BY {_keys(activity)}",
        out,
    )


def point_in_time(lake: Path, activity: Activity, rows: Path, out: Path) -> None:
    """Every window at the instant of each of `rows`, which have the keys and event_timestamp."""
    ctes = [
        f"asked AS MATERIALIZED (SELECT row_number() OVER () AS row_id, {_keys(activity)}, event_timestamp, "
        f"epoch_us(event_timestamp) AS at_us FROM read_parquet('{rows}/*.parquet'))",
        f"contributions AS MATERIALIZED ({_contributions(lake, activity)})",
    ]
    added = [a for a in activity.aggregates if a.op in ADDED]
    columns, joins = [], []
    if added:
        ctes.append(_running(activity, added))
        joins.append(_as_of_join(activity, "head", "asked.at_us >= head.at_us"))
        for w in WINDOWS:
            joins.append(_as_of_join(activity, _tail(w), f"{_tail_at(w)} > {_tail(w)}.at_us"))
        columns += [
            f"coalesce(head.{a.name}, 0) - coalesce({_tail(w)}.{a.name}, 0) AS {a.feature(w)}"
            for a in added
            for w in a.windows_of(WINDOWS)
        ]
    for w in WINDOWS:
        merged = [a for a in activity.aggregates if a.op not in ADDED and w in a.windows_of(WINDOWS)]
        if merged:
            ctes.append(_merged(activity, merged, w))
            joins.append(f"LEFT JOIN {_merged_name(w)} USING (row_id)")
            columns += [
                f"coalesce({_merged_name(w)}.{a.feature(w)}, {'NULL' if a.default is None else a.default})"
                f" AS {a.feature(w)}"
                for a in merged
            ]
    keys = ", ".join(f"asked.{key}" for key in activity.keys)
    _write(
        f"WITH {', '.join(ctes)} SELECT {keys}, asked.event_timestamp, {', '.join(columns)} "
        f"FROM asked {' '.join(joins)}",
        out,
    )


def _write(query: str, out: Path) -> None:
    connect().execute(f"COPY ({query}) TO '{out}' (FORMAT parquet)")


# -- events ---------------------------------------------------------------------------------------


def _keys(activity: Activity) -> str:
    return ", ".join(activity.keys)


def _contributions(lake: Path, activity: Activity) -> str:
    """Rows of keys, at_us and a column per aggregate, null where the event does not concern it."""
    known = [f"{key} IS NOT NULL" for key in activity.keys] + ["personal"] * activity.personal
    concerned = " OR ".join(f"({_concerned(a)})" for a in activity.aggregates)
    columns = ", ".join(
        f"CASE WHEN {_concerned(a)} THEN {_partial(a)} END AS {a.name}" for a in activity.aggregates
    )
    return (
        f"SELECT {_keys(activity)}, epoch_us(event_time) AS at_us, {columns} "
        f"FROM read_parquet('{lake}/clean_events/day=*/*.parquet', hive_partitioning = false) "
        f"WHERE {' AND '.join(known)} AND ({concerned})"
    )


def _concerned(aggregate: Aggregate) -> str:
    conditions = [f"event_type IN {_texts(aggregate.event_types)}", *map(_holds, aggregate.where)]
    if aggregate.field is not None:
        conditions.append(f"{aggregate.field} IS NOT NULL")
    if aggregate.op == "sum":
        conditions.append(f"{aggregate.field} <> 0")
    return " AND ".join(conditions)


def _holds(where: Where) -> str:
    conditions = [f"{where.field} IS NOT NULL"]
    if where.among:
        conditions.append(f"{where.field} IN {_texts(where.among)}")
    if where.at_least is not None:
        conditions.append(f"{where.field} >= {where.at_least}")
    if where.at_most is not None:
        conditions.append(f"{where.field} <= {where.at_most}")
    return " AND ".join(conditions)


def _texts(values: tuple[str | int, ...]) -> str:
    quoted = (str(v) if isinstance(v, int) else "'" + v.replace("'", "''") + "'" for v in values)
    return f"({', '.join(quoted)})"


def _partial(aggregate: Aggregate) -> str:
    if aggregate.op == "last":
        return f"{{'at_us': epoch_us(event_time), 'value': {aggregate.field}}}"
    return "1" if aggregate.op == "count" else aggregate.field


# -- values ---------------------------------------------------------------------------------------


def _over(aggregate: Aggregate, condition: str | None = None) -> str:
    """The aggregate of its column, over rows that meet the condition."""
    argument = f"DISTINCT {aggregate.name}" if aggregate.op == "distinct" else aggregate.name
    present = f"{aggregate.name} IS NOT NULL"
    kept = present if condition is None else f"{condition} AND {present}"
    return f"{KEPT[aggregate.op]}({argument}) FILTER ({kept})"


def _value(aggregate: Aggregate, merged: str) -> str:
    if aggregate.op == "last":
        return f"({merged}).value"
    if aggregate.op == "distinct":
        return _estimate(merged)
    return f"coalesce({merged}, 0)::BIGINT" if aggregate.op in ADDED else merged


def _estimate(different: str) -> str:
    """feature_repo.sketch of a list of different values; nothing is hashed where the count is exact."""
    hashed = f"CAST('0x' || md5(x::VARCHAR)[:{HASH_HEX_DIGITS}] AS BIGINT)"
    kth = f"greatest(list_sort(list_transform({different}, lambda x: {hashed}))[{K}], 1)"
    estimate = f"({(K - 1) << HASH_BITS}::HUGEINT // {kth})"
    size = f"coalesce(len({different}), 0)"
    return f"CASE WHEN {size} < {K} THEN {size} ELSE {estimate} END::BIGINT"


# -- as-of joins ----------------------------------------------------------------------------------


def _running(activity: Activity, added: list[Aggregate]) -> str:
    """Running sums, a row an entity and instant."""
    summed = ", ".join(f"sum({a.name}) AS {a.name}" for a in added)
    running = ", ".join(f"(sum({a.name}) OVER upto)::BIGINT AS {a.name}" for a in added)
    return (
        f"instants AS (SELECT {_keys(activity)}, at_us, {summed} FROM contributions "
        f"GROUP BY {_keys(activity)}, at_us), "
        f"running AS MATERIALIZED (SELECT {_keys(activity)}, at_us, {running} FROM instants "
        f"WINDOW upto AS (PARTITION BY {_keys(activity)} ORDER BY at_us ROWS UNBOUNDED PRECEDING))"
    )


def _as_of_join(activity: Activity, name: str, order: str) -> str:
    same = " AND ".join(f"asked.{key} = {name}.{key}" for key in activity.keys)
    return f"ASOF LEFT JOIN running {name} ON {same} AND {order}"


def _tail(window: Window) -> str:
    return f"tail_{window.name}"


def _tail_at(window: Window, at: str = "asked.at_us") -> str:
    hop_us = window.hop_s * US
    return f"(({at} - {window.length_s * US}) // {hop_us} * {hop_us})"


def _merged_name(window: Window) -> str:
    return f"merged_{window.name}"


def _merged(activity: Activity, merged: list[Aggregate], window: Window) -> str:
    """The events of each row's window, found by the stretches of its length that the window lies in."""
    stretch_us = (window.length_s + window.hop_s) * US
    there = " OR ".join(f"{a.name} IS NOT NULL" for a in merged)
    names = ", ".join(a.name for a in merged)
    same = " AND ".join(f"r.{key} = e.{key}" for key in activity.keys)
    values = ", ".join(f"{_value(a, _over(a))} AS {a.feature(window)}" for a in merged)
    return (
        f"{_merged_name(window)} AS (SELECT row_id, {values} FROM "
        f"(SELECT *, unnest([at_us // {stretch_us} - 1, at_us // {stretch_us}]) AS stretch FROM asked) r "
        f"JOIN (SELECT {_keys(activity)}, at_us, at_us // {stretch_us} AS stretch, {names} "
        f"FROM contributions WHERE {there}) e "
        f"ON {same} AND r.stretch = e.stretch AND e.at_us <= r.at_us "
        f"AND e.at_us >= {_tail_at(window, 'r.at_us')} GROUP BY row_id)"
    )


def main(task: str, lake: str, activity: str, given: str, out: str) -> None:
    (declared,) = (a for a in ACTIVITIES if a.name == activity)
    if task == "snapshot":
        snapshot(Path(lake), declared, int(given), Path(out))
    else:
        point_in_time(Path(lake), declared, Path(given), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
