import gzip
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.events import DoorPolicy, Refusal, admit, arrival_on_event_clock, rfc3339, to_us
from online_api.ledger import append
from orchestration.importing import Import, NothingImported
from orchestration.landing import land
from spark_jobs.importers import ParsedRow, UnknownFormat, UnreadableLog, open_log
from spark_jobs.lake import Lake
from spark_jobs.ledger_files import LEDGER_SCHEMA
from tests.online_api.events import DAY, HOUR, NOW, event, stamped


def write_log(path, *rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def importing(lake, ledger, settings):
    def make(now=NOW + HOUR, processes=None):
        return Import(lake, ledger, settings.door, now, settings.clock_max_jump_s, processes)

    return make


def in_lake(lake):
    """Every row of the ledger, in the order of its log."""
    rows = [row for path in lake.ledger_files() for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: (row["epoch"], row["seq"]))


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


# -- the same by one process and by several, and as the door says row by row ----------------------


def messy_log(path, rows=1_500, seed=3):
    """Repeats, leaps of time, refusals of every kind, over a month."""
    chance = random.Random(seed)
    lines, time = [], NOW - 20 * DAY
    for _ in range(rows):
        time += chance.randrange(-HOUR, 2 * HOUR)
        fields = {"user_id": f"用户{chance.randrange(50)}", "item_id": f"i{chance.randrange(30)}"}
        at = time + chance.choice([0] * 40 + [40 * DAY, 29 * DAY, -300 * DAY])
        if chance.random() < 0.2:
            fields["received_at"] = rfc3339(at + chance.randrange(-2 * DAY, 2 * DAY))
        if chance.random() < 0.02:
            fields["currency"] = "EUR"
        row = event(f"e{chance.randrange(rows)}", chance.choice(["view", "purchase"]), at, **fields)
        lines.append("broken" if chance.random() < 0.01 else row)
    return write_log(path, *lines)


def row_by_row(path, policy, max_jump_s):
    """What of a log is accepted on the event clock, and why the rest is not: the oracle."""
    clock, known, accepted, codes, duplicates = None, set(), [], {}, 0
    for row in open_log(path)[1]:
        if not isinstance(row, ParsedRow):
            codes[row.code] = codes.get(row.code, 0) + 1
            continue
        received = to_us(row.event.event_time) if row.received_at is None else row.received_at
        moved = arrival_on_event_clock(clock, received, max_jump_s)
        stamped = moved if isinstance(moved, Refusal) else admit(row.event, received, policy)
        if isinstance(stamped, Refusal):
            codes[stamped.code] = codes.get(stamped.code, 0) + 1
            continue
        clock = moved
        if (identity := (stamped.user_id, stamped.event_id)) in known:
            duplicates += 1
            continue
        known.add(identity)
        accepted.append((stamped.event_id, stamped.user_id, stamped.event_time, stamped.received_at))
    return accepted, codes, duplicates, clock


@pytest.mark.parametrize("processes", [1, 2])
def test_an_import_accepts_what_the_door_does_row_by_row(
    importing, tmp_path, lake, settings, monkeypatch, processes
):
    monkeypatch.setattr("spark_jobs.importers.source.BLOCK_BYTES", 1 << 14)
    log = messy_log(tmp_path / "log.jsonl")
    accepted, codes, duplicates, clock = row_by_row(
        log, DoorPolicy(late_horizon_s=None), settings.clock_max_jump_s
    )
    job = importing(now=None, processes=processes)
    report = job.run(log)
    assert (report.accepted, report.duplicates) == (len(accepted), duplicates)
    assert report.quarantined == codes
    assert report.read == report.accepted + report.duplicates + sum(codes.values()) == 1_500
    assert job.clock == clock
    found = [
        (r["event_id"], r["user_id"], to_us(r["event_time"]), to_us(r["received_at"])) for r in in_lake(lake)
    ]
    assert found == accepted
    assert min(len(codes), duplicates, len(lake.commits()[0].files)) > 2
    assert pq.read_schema(lake.ledger_files()[0]).equals(LEDGER_SCHEMA)
    assert not (lake.root / ".importing").exists()


def test_quarantined_rows_name_the_day_they_belong_to(importing, tmp_path):
    log = write_log(
        tmp_path / "log.jsonl",
        "broken at once",
        event("e1"),
        "broken after a row",
        event("e2", event_time=NOW - 3 * DAY, price=-1),
        "broken after that",
        event("e3", event_time=NOW - DAY, currency="EUR"),
    )
    report = importing().run(log)
    days = [json.loads(line)["day"] for line in Path(report.quarantine_file).read_text().splitlines()]
    assert days == [None, "2025-10-09", "2025-10-06", "2025-10-06", "2025-10-08"]


def test_ignored_rows_are_counted_by_reason(importing, tmp_path):
    lines = [
        f'10.0.0.1 - - [09/Oct/2025:08:00:0{n} +0000] "GET {target} HTTP/1.1" {status} 12'
        for n, (target, status) in enumerate(
            [("/p/1", 200), ("/app.js", 200), ("/p/2", 404), ("/about", 200)]
        )
    ]
    report = importing().run(write_log(tmp_path / "access.log", *lines))
    assert (report.read, report.accepted) == (4, 1)
    assert report.ignored == {"asset": 1, "status_4xx": 1, "no_rule": 1}
    with pytest.raises(
        NothingImported, match="none of its 1 rows is a shopper's event as access_log: asset 1"
    ):
        importing().run(write_log(tmp_path / "assets.log", lines[1]))


class KilledBeforeCommit(Lake):
    def commit(self, commit):
        raise KeyboardInterrupt


def test_an_import_killed_before_its_commit_is_taken_up_again(importing, tmp_path, lake, ledger, settings):
    log = write_log(tmp_path / "log.jsonl", *(event(f"e{i}") for i in range(20)))
    with pytest.raises(KeyboardInterrupt):
        Import(KilledBeforeCommit(lake.root), ledger, settings.door, NOW + HOUR, 0).run(log)
    assert lake.commits() == []
    report = importing().run(log)
    assert (report.accepted, report.duplicates) == (20, 0)


def test_the_first_of_equal_identity_is_kept_also_across_days(importing, tmp_path, lake):
    log = write_log(
        tmp_path / "log.jsonl",
        event("e1", event_time=NOW - DAY, item_id="first"),
        event("e1", event_time=NOW, item_id="second"),
        event("e1", event_time=NOW, item_id="other", user_id="u2"),
    )
    assert importing().run(log).duplicates == 1
    assert [row["item_id"] for row in in_lake(lake)] == ["first", "other"]
