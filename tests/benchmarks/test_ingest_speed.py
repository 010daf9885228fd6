from tests.benchmarks.ingest_speed import Plan, Turn, report, started, table


def test_the_bare_client_leaves_what_the_api_leaves(tmp_path):
    with started(Plan(events=300, in_flight=1), tmp_path) as bench:
        through_api, counted_by_api = bench.api(), bench.live_counts()
        bare, counted_bare = bench.bare(), bench.live_counts()
    assert counted_by_api == counted_bare
    assert {name.split(b":")[3] for name in counted_bare} >= {b"user", b"s", b"item"}
    assert through_api.events_per_s > 0 and bare.events_per_s > 0


def test_the_report_compares_round_by_round():
    rounds = [(Turn(60, 30, 40, 10), Turn(100, 0, 40, 20)), (Turn(30, 30, 40, 10), Turn(60, 0, 50, 10))]
    found = report(Plan(), rounds)
    assert found["speed_ratio"] == {"median": 0.55, "low": 0.5, "high": 0.6}
    assert found["processor_ratio"]["median"] == 0.75
    assert "55% (50% to 60%)" in table(found)
