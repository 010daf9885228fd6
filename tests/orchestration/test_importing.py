import gzip
import json
from pathlib import Path

import pytest

from feature_repo.events import rfc3339
from online_api.ledger import append
from orchestration.importing import Import, NothingImported
from orchestration.landing import land
from spark_jobs.importers import UnknownFormat, UnreadableLog
from tests.online_api.events import DAY, HOUR, NOW, event, stamped


def write_log(path, *rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def importing(lake, ledger, settings):
    def make(now=NOW + HOUR):
        return Import(lake, ledger, settings.door, now, settings.clock_max_jump_s)

    return make


def test_every_row_is_accounted_for(importing, tmp_path, lake):
    log = write_log(
        tmp_path / "log.jsonl",
        event("e1"),
        event("e1"),
        event("e2", "purchase", NOW + 1_000_000),
        "not json",
        event("e3", currency="EUR"),
    )
    report = importing().run(log)
    assert (report.read, report.accepted, report.duplicates) == (5, 2, 1)
    assert report.quarantined == {"not_json": 1, "currency": 1}
    assert report.purchases_without_price == 1
    assert (report.first_event_time, report.last_event_time) == (rfc3339(NOW), rfc3339(NOW + 1_000_000))
    lines = [json.loads(line) for line in Path(report.quarantine_file).read_text().splitlines()]
    assert [(row["line"], row["code"]) for row in lines] == [(4, "not_json"), (5, "currency")]


def test_a_log_imported_twice_counts_once(importing, tmp_path, lake):
    log = write_log(tmp_path / "log.jsonl", *(event(f"e{i}") for i in range(5)))
    assert importing().run(log).accepted == 5
    again = importing().run(log)
    assert (again.accepted, again.duplicates) == (0, 5)
    assert sum(c.rows for c in lake.commits()) == 5


def test_an_event_posted_and_imported_counts_once_whichever_came_first(
    importing, tmp_path, lake, ledger, blocking, settings
):
    assert blocking.do(append([stamped("e1")], settings)) == [True]
    log = write_log(tmp_path / "log.jsonl", event("e1"), event("e2"))
    report = importing().run(log)
    assert (report.accepted, report.duplicates) == (1, 1)
    assert blocking.do(append([stamped("e2")], settings)) == [False]
    land(ledger, lake)
    assert sum(c.rows for c in lake.commits()) == 2


def test_an_import_cut_short_is_taken_up_again_by_importing_the_file_again(importing, tmp_path, lake):
    rows = [json.dumps(event(f"e{i}")) + "\n" for i in range(20_000)]
    whole = gzip.compress("".join(rows).encode(), 1)
    damaged = tmp_path / "log.jsonl.gz"
    damaged.write_bytes(whole[:-2_000])
    with pytest.raises(UnreadableLog):
        importing().run(damaged)
    assert lake.commits() == []
    damaged.write_bytes(whole)
    report = importing().run(damaged)
    assert (report.accepted, report.duplicates) == (20_000, 0)


def test_on_the_event_clock_one_broken_row_does_not_carry_time_away(importing, tmp_path, ledger):
    log = write_log(tmp_path / "log.jsonl", event("e1"), event("e2", event_time=NOW + 400 * DAY), event("e3"))
    report = importing(now=None).run(log)
    assert report.accepted == 2
    assert report.quarantined == {"too_far_ahead": 1}
    assert ledger.clock() == NOW


def test_a_row_from_the_future_is_quarantined_on_the_wall_clock(importing, tmp_path):
    log = write_log(tmp_path / "log.jsonl", event("e1"), event("e2", event_time=NOW + 3 * DAY))
    assert importing().run(log).quarantined == {"too_far_ahead": 1}


@pytest.mark.parametrize(("content", "error"), [("", UnreadableLog), ("a;b;c\n1;2;3\n", UnknownFormat)])
def test_what_is_no_log_is_refused_and_nothing_lands(importing, tmp_path, lake, content, error):
    path = tmp_path / "log"
    path.write_text(content)
    with pytest.raises(error):
        importing().run(path)
    assert lake.commits() == []


def test_a_log_of_which_no_row_can_be_read_is_refused(importing, tmp_path, lake):
    log = write_log(tmp_path / "log.jsonl", event("e1", event_type="stare"), event("e2", price=-1))
    with pytest.raises(NothingImported, match="none of its 2 rows"):
        importing().run(log)
    assert lake.commits() == []
