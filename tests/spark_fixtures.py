"""One Spark session for all tests that ask for it, and lakes filled from events."""

from collections.abc import Callable, Iterable

import pytest

from feature_repo.events import LedgerEvent

# On a few rows, planning a query anew while it runs, compiling it and optimising that are never earned back.
SMALL_DATA = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    from spark_jobs.session import build_session

    session = build_session(
        "tests",
        "local[2]",
        tmp_path_factory.mktemp("spark"),
        {
            **SMALL_DATA,
            "spark.default.parallelism": "2",
        },
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def fill_lake(tmp_path_factory) -> Callable:
    """Makes a lake whose ledger holds the events, committed as one import of epoch 1."""
    from spark_jobs.lake import Commit, Lake, day_of
    from spark_jobs.ledger_files import Position, ledger_table, write_ledger_file

    def fill(events: Iterable[LedgerEvent]) -> Lake:
        lake, by_day = Lake(tmp_path_factory.mktemp("lake")), {}
        for seq, event in enumerate(events):
            rows = by_day.setdefault(day_of(event.event_time), [])
            rows.append((event, Position(0, seq, 1)))
        files = tuple(
            write_ledger_file(lake, day, "import-1", ledger_table(rows))
            for day, rows in sorted(by_day.items())
        )
        times = [e.event_time for rows in by_day.values() for e, _ in rows]
        lake.commit(
            Commit(1, "import", files, len(times), min(times, default=None), max(times, default=None))
        )
        return lake

    return fill
