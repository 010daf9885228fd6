"""The stage model from a day's clean events, with and without a simulation's truth."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.runtime.stage import StageModel
from orchestration import releases
from orchestration.defs.release.stage import stage_model
from orchestration.importing import STAGES, TRUTH, _note_truth
from orchestration.resources import Platform
from spark_jobs.lake import Commit, LedgerFile

DAY = "2026-03-01"
START = datetime(2026, 3, 1, tzinfo=UTC)
TOLD = ("search", "view", "view", "add_to_cart")


@pytest.fixture
def platform(settings, lake):
    rows = [
        {
            "user_id": f"u{n}", "session_key": "s", "event_id": f"e{n}-{i}",
            "event_time": START + timedelta(seconds=60 * n + 9 * i), "event_type": kind,
            "item_id": None if kind == "search" else f"i{i // 2}", "personal": True, "is_bot": False,
        }
        for n in range(40)
        for i, kind in enumerate(TOLD)
    ]  # fmt: skip
    folder = lake.candidate("clean_events", DAY)
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "part.parquet")
    lake.publish("clean_events", DAY)
    ledger_file = lake.root / "ledger" / f"day={DAY}" / "import-1.parquet"
    ledger_file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"n": [1]}), ledger_file)
    in_ledger = LedgerFile(DAY, str(ledger_file.relative_to(lake.root)), len(rows))
    lake.commit(Commit(1, "import", (in_ledger,), len(rows), 0, 1, "simulated log events.jsonl"))
    return Platform(settings)


def metadata(platform) -> dict:
    made = dg.materialize([stage_model], resources={"platform": platform}, selection=[stage_model])
    (event,) = made.asset_materializations_for_node("stage_model")
    return {name: value.value for name, value in event.metadata.items()}


def test_few_sessions_keep_the_declared_numbers_and_say_so(platform):
    found = metadata(platform)
    assert (found["sessions"], found["parameters"]) == (40, "declared")
    assert "cannot be said" in found["inferred stages"]
    assert StageModel.load(releases.stage_file(platform)).parameters.origin == "declared"


def test_a_simulations_truth_is_found_beside_its_log(platform, tmp_path):
    log = tmp_path / "events.jsonl"
    rows = [f"e{n}-{i},s,{'decide' if i == 3 else 'explore'}" for n in range(40) for i in range(4)]
    (tmp_path / STAGES).write_text("\n".join(["event_id,session_id,stage", *rows]))
    _note_truth(platform.lake, log)
    assert platform.lake.read_state(TRUTH) == {"stages": str(tmp_path / STAGES)}
    found = metadata(platform)["inferred stages"]
    assert "simulated shoppers" in found and "| 3 | 8 | as served |" in found
    assert [s.title for s in releases.other_sections(platform)] == ["Stage of the visit"]
