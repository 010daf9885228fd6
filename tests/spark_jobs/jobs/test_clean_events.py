"""Filling and normalising, through the job: a lake of several days, a catalogue, a tree."""

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from orchestration.staleness import LOOK_BACK_DAYS
from spark_jobs.jobs import clean_events
from spark_jobs.jobs.clean_events import ShopFiles, ledger_count
from spark_jobs.lake import Lake, day_bounds
from spark_jobs.transforms.cleaning import CleaningRules
from tests.parity.streams import random_events

DAYS = ["2024-03-10", "2024-03-11", "2024-03-12"]
(ANY,) = random_events(1, 1, 0, 1, categories=(None,))
VIEW = replace(ANY, event_type="view", user_id="u", quantity=1, brand=None, scenario=None)
LABELS = ("category_path", "category_source", "brand_name", "brand_source")
PRICES = ("unit_price", "price_source")


def at(day: str, name: str, second: int = 0, **fields):
    time = day_bounds(day)[0] + second * 1_000_000
    times = {"event_time": time, "claimed_time": time, "received_at": time}
    return replace(VIEW, event_id=name, **times, **({"item_id": "lamp", "price": None} | fields))


def prices(day: str, item_id: str, price: int, count: int) -> list:
    return [at(day, f"{item_id}-{day}-{n}", 600 + n, item_id=item_id, price=price) for n in range(count)]


EVENTS = [
    at(DAYS[0], "names it", category="Home > Lamps", brand="ACME "),
    *prices(DAYS[0], "lamp", 10_000, 3),
    # the day's newest counts, also for what came before it; what stands for nothing does not
    at(DAYS[1], "before", 1),
    at(DAYS[1], "other name", 2, category="light.desk", brand="acme"),
    at(DAYS[1], "newest name", 3, category="light.floor", brand="Lumen"),
    at(DAYS[1], "says nothing", 4, category="N/A", brand="unknown"),
    *prices(DAYS[1], "lamp", 10_200, 3),
    at(DAYS[1], "hundredfold", 5, price=1_020_000),
    at(DAYS[1], "hundredth", 6, event_type="purchase", price=99),
    at(DAYS[1], "tenfold", 7, price=110_000),
    at(DAYS[1], "free", 8, price=0),
    at(DAYS[1], "unpriced purchase", 9, event_type="purchase"),
    at(DAYS[1], "no item", 10, item_id=None, event_type="search"),
    at(DAYS[1], "stranger", 11, item_id="new"),
    at(DAYS[1], "sold", 12, item_id="sold"),
    at(DAYS[1], "sold, own words", 13, item_id="sold", category="ID-7", price=700),
    at(DAYS[1], "sold, wrong unit", 14, item_id="sold", price=70_000),
    at(DAYS[2], "new is named", item_id="new", category="toys"),
]


def run(spark, lake: Lake, days: list[str], shop: ShopFiles | None = None) -> dict:
    measured = clean_events.run(spark, lake, days, shop=shop)
    for day in days:
        lake.publish("clean_events", day)
        lake.publish("item_attributes", day)
    return measured


def rows(lake: Lake, day: str) -> dict[str, dict]:
    table = pq.ParquetDataset(lake.partition("clean_events", day), partitioning=None).read()
    return {row["event_id"]: row for row in table.to_pylist()}


def picked(found: dict[str, dict], columns: tuple[str, ...]) -> dict[str, tuple]:
    return {name: tuple(row[c] for c in columns) for name, row in found.items()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> ShopFiles:
    folder = tmp_path_factory.mktemp("shop")
    catalogue, categories = folder / "catalogue.csv", folder / "categories.csv"
    catalogue.write_text("item_id,category,brand,price_minor\nsold,id-7,Shop Own,720\nlamp,,,\n", "utf-8")
    categories.write_text("category,path\nid-7,Garden/Chairs\n", "utf-8")
    return ShopFiles(catalogue, categories)


@pytest.fixture(scope="module")
def lake(spark, fill_lake, shop) -> Lake:
    lake = fill_lake(EVENTS)
    run(spark, lake, DAYS[:1], shop)
    run(spark, lake, DAYS[1:], shop)
    return lake


def test_an_event_s_own_words_come_first_then_the_catalogue_then_history(lake):
    found = picked(rows(lake, DAYS[1]), LABELS)
    history = ("light/floor", "item_history", "lumen", "item_history")
    catalogue = ("garden/chairs", "catalogue", "shop own", "catalogue")
    assert found["before"] == found["says nothing"] == history
    assert found["other name"] == ("light/desk", "event", "acme", "event")
    assert found["sold"] == catalogue
    assert found["sold, own words"] == ("garden/chairs", "event", "shop own", "catalogue")
    assert found["no item"] == found["stranger"] == (None,) * 4
    # what a later day says is not known yet
    assert picked(rows(lake, DAYS[2]), LABELS)["new is named"] == ("toys", "event", None, None)


def test_prices_are_corrected_by_their_unit_and_filled_where_they_are_current(lake):
    day = rows(lake, DAYS[1])
    found = picked(day, PRICES)
    assert found["before"] == (10_200, "item_history")
    assert found["hundredfold"] == (10_200, "unit_corrected")
    assert found["hundredth"] == (9_900, "unit_corrected")
    assert found["tenfold"] == (110_000, "event")
    assert found["free"] == (0, "event")
    assert found["unpriced purchase"] == found["no item"] == found["stranger"] == (None, None)
    assert found["sold"] == (720, "catalogue")
    assert found["sold, own words"] == (700, "event")
    assert found["sold, wrong unit"] == (700, "unit_corrected")
    wrong = "price in the wrong unit, corrected in unit_price"
    assert {name: row["outlier_reason"] for name, row in day.items() if row["is_outlier"]} == {
        "hundredfold": wrong,
        "hundredth": wrong,
        "sold, wrong unit": wrong,
        "tenfold": "price 10 times off what is typical of the item",
    }
    assert (day["hundredfold"]["price"], day["hundredfold"]["amount"]) == (1_020_000, 1_020_000)


def test_what_a_day_says_of_its_items_is_kept(lake):
    table = pq.ParquetDataset(lake.partition("item_attributes", DAYS[1]), partitioning=None).read()
    columns = ("item_id", "category", "brand", "median_price", "priced_events")
    assert {tuple(row[c] for c in columns) for row in table.to_pylist()} == {
        ("lamp", "light.floor", "Lumen", 10_200, 6),
        ("new", None, None, None, 0),
        ("sold", "ID-7", None, 700, 2),
    }


def test_a_day_run_again_beside_others_is_the_same_and_nothing_of_the_ledger_changes(spark, lake, shop):
    before = {day: rows(lake, day) for day in DAYS}
    measured = run(spark, lake, DAYS, shop)
    assert {day: rows(lake, day) for day in DAYS} == before
    raw = [name for name in EVENTS[0].__struct_fields__ if not name.endswith(("_time", "_at"))]
    found = {name: row for day in before.values() for name, row in day.items()}
    assert len(found) == len(EVENTS) == measured["clean_events"]["rows"]
    for event in EVENTS:
        assert {c: found[event.event_id][c] for c in raw} == {c: getattr(event, c) for c in raw}
    assert measured["clean_events"]["prices_unit_corrected"] == 3
    count = ledger_count(spark, lake, DAYS, None)
    clean = spark.read.parquet(*(str(lake.partition("clean_events", day)) for day in DAYS))
    assert count.rows == len(EVENTS)
    assert clean.selectExpr(f"sum({clean_events.FINGERPRINT})").first()[0] == count.fingerprint


def test_filling_looks_back_no_further_than_late_events_heal():
    assert CleaningRules().history_days <= LOOK_BACK_DAYS
