"""The rival computes the same numbers, and the comparison would say if it did not."""

from msgspec.structs import replace

from feature_repo.behavior import ACTIVITIES, USER
from feature_repo.windows import DAY_US
from spark_jobs.jobs import clean_events, point_in_time
from spark_jobs.lake import day_bounds
from tests.benchmarks import batch_speed, duckdb_windows
from tests.benchmarks.batch_jobs import as_of_job
from tests.benchmarks.batch_speed import Turn, bench_of, report, result, table
from tests.parity.streams import random_events

START = day_bounds("2024-03-10")[0]
MANY = 300  # more different items than a sketch counts exactly


def test_spark_and_duckdb_compute_the_same_windows(spark, fill_lake, tmp_path):
    events = random_events(17, 400, START, START + 3 * DAY_US)
    view = next(e for e in events if e.personal)
    events += [
        replace(view, event_id=f"many-{n}", event_type="view", user_id="many", item_id=f"i{n}", event_time=at)
        for n, at in enumerate(range(START, START + DAY_US, DAY_US // MANY))
    ]
    lake = fill_lake(events)
    clean_events.run(spark, lake, list(lake.ledger_days()))
    for day in lake.ledger_days():
        lake.publish("clean_events", day)
    bench = bench_of(lake, tmp_path)
    as_of_job(spark, lake, bench.as_of, bench.days)
    for activity in ACTIVITIES:
        duckdb_windows.snapshot(
            lake.root, activity, bench.as_of, result(bench, "duckdb", "snapshot", activity)
        )
        assert batch_speed.differing_entities(bench, activity) == 0
        out = result(bench, "spark", "point_in_time", activity)
        point_in_time.run(spark, lake, bench.rows, out, activity=activity)
        out = result(bench, "duckdb", "point_in_time", activity)
        duckdb_windows.point_in_time(lake.root, activity, bench.rows, out)
        assert batch_speed.differing_rows(bench, activity) == 0
    hour_before = bench._replace(as_of=bench.as_of - DAY_US // 24)
    duckdb_windows.snapshot(lake.root, USER, hour_before.as_of, result(bench, "duckdb", "snapshot", USER))
    assert batch_speed.differing_entities(bench, USER) > 0


def test_the_report_sets_both_side_by_side(tmp_path):
    bench = batch_speed.Bench(None, tmp_path, 1_000, [], 0)
    turns = {"spark": [Turn(10, 12, 900, 4, 50), Turn(30, 40, 1_000, 5, 60)], "duckdb": [Turn(5, 9, 400)] * 2}
    found = report(bench, {"incremental": turns})
    assert found["jobs"]["incremental"]["ratio"] == {"median": 4.0, "low": 2.0, "high": 6.0}
    assert found["jobs"]["incremental"]["spark"]["shuffle_mb"]["median"] == 55
    assert "20.0 (10.0 to 30.0)" in table([found])
