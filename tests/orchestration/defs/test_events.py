"""Cleaning and its report as Dagster runs them, over several days in one run."""

import json

import dagster as dg
import pytest
from msgspec.structs import replace

from feature_repo.windows import DAY_US
from online_api.settings import Settings
from orchestration.defs.events.assets import cleaned, quality_report
from orchestration.partitions import range_tags
from orchestration.resources import Platform
from spark_jobs.jobs import quality_days
from spark_jobs.lake import day_bounds, day_of
from tests.parity.streams import random_events

FIRST, LAST = "2024-03-05", "2024-03-10"


@pytest.fixture(scope="module")
def lake(fill_lake):
    start, end = day_bounds(FIRST)[0], day_bounds(LAST)[1]
    events = random_events(3, 300, start, end, items=("i1", "i2", "i3", None))
    for n, event in enumerate(events):
        if event.item_id and n % 3 == 0:
            events[n] = replace(event, category="a.b", brand="Acme")
        if n % 50 == 0:
            events[n] = replace(event, received_at=event.event_time + DAY_US)
    lake = fill_lake(events)
    refused = [{"line": 1, "code": "bad_time", "reason": "", "raw": "", "day": None}]
    refused += [{"line": n, "code": "bad_price", "reason": "", "raw": "", "day": LAST} for n in range(60)]
    for epoch in (1, 2):  # the second was never committed
        quarantine = lake.root / "quarantine" / f"import-{epoch:012d}.jsonl"
        quarantine.parent.mkdir(exist_ok=True)
        quarantine.write_text("".join(json.dumps(row) + "\n" for row in refused))
    return lake


@pytest.fixture(scope="module")
def result(spark, lake, tmp_path_factory):
    settings = Settings(state=tmp_path_factory.mktemp("state"), lake=lake.root)
    with dg.DagsterInstance.ephemeral() as instance:
        yield dg.materialize(
            [cleaned, quality_report],
            instance=instance,
            resources={"platform": Platform(settings)},
            tags=range_tags(FIRST, LAST),
            selection=dg.AssetSelection.assets(cleaned, quality_report),
            raise_on_error=False,
        )


def test_events_and_items_are_published_together_past_their_gates(lake, result):
    assert result.success
    days = list(lake.ledger_days())
    for table in ("clean_events", "item_attributes", "quality_days"):
        assert lake.parts(table) == days
        assert all(lake.seen_epoch(table, day) == 1 for day in days)
    checks = {c.check_name: c for c in result.get_asset_check_evaluations()}
    assert checks["clean_events_meets_its_contract"].passed
    assert checks["item_attributes_meets_its_contract"].passed


def test_each_day_has_its_numbers(lake, result):
    materialized = {m.partition: m for m in result.asset_materializations_for_node("quality_report")}
    assert set(materialized) == set(lake.ledger_days())
    stored = quality_days.read(lake, [FIRST, LAST, "2030-01-01"])
    assert set(stored) == {FIRST, LAST}
    for day, metrics in stored.items():
        shown = materialized[day].metadata
        assert shown["events"].value == metrics["events"]
        by_source = [n for name, n in metrics.items() if name.startswith("category: ")]
        assert sum(by_source) == metrics["item_events"] > 0
        assert "| events |" in shown["the day"].value
        assert "data:image/svg" in shown["trend"].value
    total = quality_days.read(lake, lake.ledger_days())
    assert sum(m["events"] for m in total.values()) == sum(c.rows for c in lake.commits())
    assert sum(m["late_events"] for m in total.values()) == 6
    assert stored[LAST]["quarantined: bad_price"] == 60
    assert "all imports: 1." in materialized[LAST].metadata["the day"].value
    assert day_of(day_bounds(LAST)[0]) == LAST


def test_a_jump_is_a_warning_that_stops_nothing(result):
    (check,) = [
        c for c in result.get_asset_check_evaluations() if c.check_name == "metrics_follow_their_trend"
    ]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert f"{LAST}: quarantined" in check.description
