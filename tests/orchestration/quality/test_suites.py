"""Each suite passes on good rows; each corruption fails the expectation that names it, and no other."""

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.aggregates import Activity
from feature_repo.behavior import (
    DEFINITIONS_HASH,
    EMBEDDING_DIM,
    ITEM,
    SESSION_ACTIVITY,
    USER,
    USER_CATEGORY,
    WINDOWS,
    windowed,
)
from feature_repo.windows import US
from orchestration.quality import suites
from orchestration.quality.expectations import Suite
from orchestration.quality.gate import validate
from orchestration.quality.training_suites import training_labels
from spark_jobs.jobs.clean_events import FINGERPRINT, LedgerCount
from spark_jobs.jobs.tables import LEDGER

DAY = "2019-10-01"
REVISION = "minilm-1"
START = datetime(2019, 10, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * US
LAST = len(WINDOWS) - 1
ROWS = 12


def event(i: int) -> dict:
    at = START + timedelta(hours=i)
    return {
        "user_id": f"u{i % 3}",
        "event_id": f"e{i}",
        "event_type": "purchase" if i == 7 else "view",
        "event_time": at,
        "claimed_time": at + timedelta(seconds=i),
        "received_at": at,
        "session_key": "s",
        "price": None if i == 5 else 100 + i,
        "currency": "USD",
        "quantity": 2,
        "amount": 0 if i == 5 else 2 * (100 + i),
        "consent": "aggregate" if i == 6 else "personalize",
        "personal": i != 6,
        "is_bot": i == 7,
        "is_outlier": i == 8,
        "category": "Shoes" if i % 2 else None,
        "category_path": "shoes",
        "category_source": "event" if i % 2 else "item_history",
        "brand": None,
        "brand_name": "acme",
        "brand_source": "catalogue",
        "unit_price": 100 if i == 5 else (100 + i) * (100 if i == 8 else 1),
        "price_source": {5: "item_history", 8: "unit_corrected"}.get(i, "event"),
    }


def item_of_day(i: int) -> dict:
    named = {"item_id": f"i{i}", "start": START, "category": "shoes", "brand": None}
    return {**named, "median_price": 100 if i else None, "priced_events": i}


def change_row(activity: Activity) -> Callable[[int], dict]:
    def row(i: int) -> dict:
        at = START + timedelta(seconds=i // 2)
        values = {f.name: "shoes" if f.dtype == "string" else f.default for f in windowed(activity)}
        for a in activity.aggregates[:2]:
            values |= {a.feature(w): i + n for n, w in enumerate(a.windows_of(WINDOWS))}
        keys = {key: f"x{i % 2}" for key in activity.keys}
        return {**keys, "event_timestamp": at, "created_timestamp": at, **values}

    return row


def session_row(i: int) -> dict:
    at = START + timedelta(seconds=i)
    values = {f.name: f.default for f in SESSION_ACTIVITY}
    values |= {"session_event_count": i + 1, "session_view_count": i, "session_duration_s": i / 2}
    keys = {"user_id": "u", "session_id": "s", "event_timestamp": at, "created_timestamp": at}
    return {**keys, **values}


def unit_vector(i: int) -> list[float]:
    return [1.0 if n == i else 0.0 for n in range(EMBEDDING_DIM)]


def text_row(i: int) -> dict:
    text = {"content_hash": f"h{i}", "text": f"紅色 Shoes {i}", "normalized": f"红色 shoes {i}"}
    return {**text, "encoder_revision": REVISION, "embedding": unit_vector(i)}


def intent_row(i: int) -> dict:
    key = {"user_id": f"u{i}", "event_timestamp": START, "created_timestamp": START}
    return {**key, "encoder_revision": REVISION, "embedding": unit_vector(i)}


def serving(**columns: object) -> dict:
    snapshot = {"event_timestamp": START, "created_timestamp": START, "covered_epoch": 3}
    return {**columns, **snapshot, "definitions_hash": DEFINITIONS_HASH}


POSITIONS = {a.op: i for i, a in enumerate(USER.aggregates)}
TILES = json.dumps(
    [
        [60, START_US, 0, 2],
        [900, START_US, POSITIONS["distinct"], [5, 2**50]],
        [900, START_US, POSITIONS["min"], 7],
        [900, START_US, POSITIONS["last"], [START_US, "a [红], 1"]],
        [86_400, START_US, POSITIONS["sum"], 199],
    ]
)
ITEM_TILES = json.dumps([[60, START_US, 0, 2], [86_400, START_US, len(ITEM.aggregates) - 1, 199]])
STEPS = json.dumps([[5, 0, 7], [9, 8, 0]])
STATE = json.dumps({"session_event_count": 2, "session_first_event_us": 5, "session_last_event_us": 9})


def user_tiles_row(i: int) -> dict:
    return serving(user_id=f"u{i}", tiles=TILES if i else "[]", newest_event_us=START_US)


def item_tiles_row(i: int) -> dict:
    return serving(item_id=f"i{i}", tiles=ITEM_TILES, newest_event_us=START_US)


def state_row(i: int) -> dict:
    return serving(user_id="u", session_id=f"s{i}", state=STATE, steps=STEPS)


def label_row(i: int) -> dict:
    at = START + timedelta(seconds=i)
    key = {"user_id": "u", "session_id": "s", "event_timestamp": at}
    return {**key, "purchase": i % 2, "add_to_cart": 0, "leave": 1}


SUITES: dict[str, tuple[Suite, Callable[[int], dict]]] = {
    suite.name: (suite, row)
    for suite, row in (
        (suites.clean_events(DAY, DAY, "USD"), event),
        (suites.item_attributes(DAY, DAY), item_of_day),
        (suites.activity(USER, DAY, DAY), change_row(USER)),
        (suites.activity(ITEM), change_row(ITEM)),
        (suites.activity(USER_CATEGORY, DAY, DAY), change_row(USER_CATEGORY)),
        (suites.session_activity(DAY, DAY), session_row),
        (suites.text_embeddings(REVISION), text_row),
        (suites.user_intent_embedding(REVISION), intent_row),
        (suites.serving_tiles(USER), user_tiles_row),
        (suites.serving_tiles(ITEM), item_tiles_row),
        (suites.session_state(), state_row),
        (training_labels(), label_row),
    )
}
SPARK_TYPES = {
    **dict.fromkeys(("is_bot", "is_outlier", "personal"), "boolean"),
    "embedding": "array<float>",
    **{f.name: "double" for f in SESSION_ACTIVITY if f.dtype == "float64"},
}


VIEW, AMOUNT = ITEM.aggregates[0], ITEM.aggregates[-1]
SHORT, LONG = VIEW.feature(WINDOWS[0]), VIEW.feature(WINDOWS[-1])
SECOND = timedelta(seconds=1)

# suite: (column, what replaces its value, the one expectation that this breaks)
CORRUPTIONS: dict[str, list[tuple[str, Callable, str]]] = {
    "clean_events": [
        ("user_id", lambda _: None, "required_columns_are_filled"),
        ("event_id", lambda _: None, "required_columns_are_filled"),
        ("session_key", lambda _: None, "required_columns_are_filled"),
        ("event_type", lambda _: "teleport", "event_type_is_known"),
        ("quantity", lambda v: v + 1, "derived_columns_follow_the_event"),
        ("currency", lambda _: "EUR", "currency_is_the_shops"),
        ("received_at", lambda v: v - SECOND, "events_arrive_after_they_happen"),
        ("claimed_time", lambda v: v - 60 * SECOND, "events_arrive_after_they_happen"),
        ("amount", lambda v: v + 1, "derived_columns_follow_the_event"),
        ("personal", lambda v: not v, "derived_columns_follow_the_event"),
        ("is_outlier", lambda _: None, "derived_columns_follow_the_event"),
    ],
    "item_attributes": [
        ("item_id", lambda _: None, "required_columns_are_filled"),
        ("median_price", lambda _: None, "a_median_has_its_prices"),
        ("priced_events", lambda _: -1, "a_median_has_its_prices"),
        ("category", lambda _: " ", "category_and_brand_say_something"),
        ("start", lambda v: v + timedelta(days=1), "start_is_in_its_day"),
    ],
    "user_activity": [
        ("user_id", lambda _: None, "required_columns_are_filled"),
        ("event_timestamp", lambda v: v - 10 * SECOND, "event_timestamp_is_in_its_day"),
        (SHORT, lambda _: None, "features_are_filled"),
        ("viewed_item_count_24h", lambda _: None, "features_are_filled"),
        ("view_price_min_24h", lambda _: -1, "features_are_not_negative"),
        (SHORT, lambda _: -1, "features_are_not_negative"),
        (SHORT, lambda _: 99, "longer_windows_count_no_less"),
        (AMOUNT.feature(WINDOWS[-1]), lambda _: 5, "no_amount_without_its_event"),
    ],
    "user_category_activity": [
        ("category", lambda _: None, "required_columns_are_filled"),
        ("view_count_30d", lambda _: 0, "longer_windows_count_no_less"),
    ],
    "item_activity": [(LONG, lambda _: 0, "longer_windows_count_no_less")],
    "session_activity": [
        ("session_id", lambda _: None, "required_columns_are_filled"),
        ("session_event_count", lambda _: 0, "a_row_follows_an_event"),
        ("session_click_count", lambda _: 9, "a_row_follows_an_event"),
        ("session_duration_s", lambda _: math.nan, "duration_fits_the_events"),
        ("session_duration_s", lambda _: -1.0, "features_are_not_negative"),
        ("session_cart_amount", lambda _: 5, "no_cart_amount_without_a_cart"),
        ("session_repeat_view_count", lambda _: 99, "sequence_fits_the_counts"),
        ("session_last_pause_s", lambda _: 1e9, "sequence_fits_the_counts"),
    ],
    "text_embeddings": [
        ("embedding", lambda v: v[:-1], "embedding_has_the_declared_dimension"),
        ("embedding", lambda _: None, "embedding_has_the_declared_dimension"),
        ("embedding", lambda v: [math.nan, *v[1:]], "embedding_is_finite"),
        ("embedding", lambda v: [math.inf, *v[1:]], "embedding_is_finite"),
        ("embedding", lambda v: [None, *v[1:]], "embedding_is_finite"),
        ("embedding", lambda v: [x * 1.01 for x in v], "embedding_has_unit_norm"),
        ("encoder_revision", lambda _: "e5-2", "one_encoder_revision"),
    ],
    "user_intent_embedding": [
        ("embedding", lambda v: [0.0 for _ in v], "embedding_has_unit_norm"),
        ("user_id", lambda _: None, "required_columns_are_filled"),
    ],
    "user_tiles": [
        ("definitions_hash", lambda _: "000000000000", "definitions_are_the_codes"),
        ("covered_epoch", lambda _: 2, "one_covered_epoch"),
        ("tiles", lambda _: "[[60, 7", "tiles_are_well_formed"),
        ("tiles", lambda _: "[[60, 7, 0, 1]]", "tiles_are_well_formed"),
        ("tiles", lambda _: f"[[61, {START_US}, 0, 1]]", "tiles_are_well_formed"),
        ("tiles", lambda _: f"[[60, {START_US}, 99, 1]]", "tiles_are_well_formed"),
        ("tiles", lambda _: f"[[60, {START_US}, 0]]", "tiles_are_well_formed"),
        ("tiles", lambda _: f"[[60, {START_US}, 0, [1]]]", "tiles_are_well_formed"),
        ("tiles", lambda _: f"[[60, {START_US}, {POSITIONS['last']}, 5]]", "tiles_are_well_formed"),
        ("newest_event_us", lambda _: None, "required_columns_are_filled"),
    ],
    "item_tiles": [("tiles", lambda _: f"[[60, {START_US}, 0, -1]]", "tiles_are_well_formed")],
    "session_state": [
        ("state", lambda _: "{}", "state_is_well_formed"),
        ("state", lambda v: v.replace("_event_us", ""), "state_is_well_formed"),
        ("state", lambda v: v.replace("9", "4"), "state_is_well_formed"),
        ("session_id", lambda _: None, "required_columns_are_filled"),
        ("steps", lambda _: "[[5, 0", "steps_are_well_formed"),
        ("steps", lambda _: "[[5, 99, 0]]", "steps_are_well_formed"),
        ("steps", lambda _: "[]", "steps_are_well_formed"),
        ("steps", lambda _: "[[9, 0, 0], [5, 0, 0]]", "steps_are_well_formed"),
        ("steps", lambda _: json.dumps([[n, 0, 0] for n in range(99)]), "steps_are_well_formed"),
    ],
    "training_labels": [
        ("leave", lambda _: 2, "labels_are_0_or_1"),
        ("purchase", lambda _: None, "required_columns_are_filled"),
    ],
}


def table_of(spark: SparkSession, name: str, rows: list[dict]) -> DataFrame:
    columns = SUITES[name][0].columns
    schema = ", ".join(f"{c} {SPARK_TYPES.get(c) or columns[c][-1]}" for c in rows[0])
    return spark.createDataFrame([tuple(r.values()) for r in rows], schema).coalesce(1)


@pytest.mark.parametrize("name", SUITES)
def test_good_rows_pass(spark, name):
    suite, row = SUITES[name]
    result = validate(table_of(spark, name, [row(i) for i in range(ROWS)]), suite)
    assert result.failed == ()
    assert result.rows == ROWS


@pytest.mark.parametrize("name", SUITES)
def test_each_corruption_breaks_the_expectation_that_names_it(spark, name):
    """Row n carries the n-th corruption, the last row stands there twice: counts tell who found what."""
    suite, row = SUITES[name]
    rows = [row(i) for i in range(ROWS)]
    for broken, (column, corrupt, _) in zip(rows, CORRUPTIONS[name], strict=False):
        broken[column] = corrupt(broken[column])
    result = validate(table_of(spark, name, [*rows, rows[-1]]), suite)

    expected = Counter(expectation for _, _, expectation in CORRUPTIONS[name])
    expected[f"{'_and_'.join(suite.key)}_are_unique"] = 2
    found = {f.name: f.unexpected_count for f in result.failed}
    if "one_covered_epoch" in found:
        expected["one_covered_epoch"] = None
    assert found == expected
    assert not result.passed
    assert all(f.samples for f in result.failed if f.unexpected_count)


def test_an_event_of_another_day_or_out_of_range_does_not_pass(spark):
    suite, row = SUITES["clean_events"]
    late, dear, many = row(1), row(2), row(3)
    for time in ("event_time", "claimed_time", "received_at"):
        late[time] = START + timedelta(days=1)
    dear |= {"price": -1, "amount": -2, "unit_price": -1}
    many |= {"quantity": 0, "amount": 0, "consent": "whatever", "personal": False}
    result = validate(table_of(spark, "clean_events", [row(0), late, dear, many]), suite)
    assert {f.name: f.samples for f in result.failed} == {
        "event_time_is_in_its_day": ("user_id=u1, event_id=e1: event_time=2019-10-02T00:00:00Z",),
        "price_is_in_range": ("user_id=u2, event_id=e2: price=-1",),
        "quantity_is_in_range": ("user_id=u0, event_id=e3: quantity=0",),
        "consent_is_known": ("user_id=u0, event_id=e3: consent=whatever",),
    }


def test_filled_values_that_do_not_hold_together_do_not_pass(spark):
    suite, row = SUITES["clean_events"]
    corrupt = {
        0: {"category_source": None},
        1: {"brand_source": "guess"},
        2: {"category_source": "event"},
        3: {"unit_price": 7},
        4: {"price_source": "item_history"},
        6: {"category_path": "home//lamps"},
        7: {"brand_name": "Acme"},
        8: {"is_outlier": False},
        9: {"event_type": "purchase", "price": None, "amount": 0, "price_source": "catalogue"},
    }
    rows = [{**row(i), **corrupt.get(i, {})} for i in range(ROWS)]
    found = {
        f.name: f.unexpected_count for f in validate(table_of(spark, "clean_events", rows), suite).failed
    }
    assert found == {
        "filled_values_name_their_source": 2,
        "what_the_event_says_comes_first": 5,
        "categories_and_brands_are_normalised": 2,
        "purchases_carry_a_price": 1,
    }


def test_an_event_that_is_missing_or_changed_does_not_pass(spark):
    rows = [SUITES["clean_events"][1](i) for i in range(ROWS)]
    named = {f.name for f in spark.createDataFrame([], LEDGER).schema.fields} - set(rows[0])
    clean = table_of(spark, "clean_events", rows).withColumns(dict.fromkeys(named, F.lit(None)))
    count = LedgerCount(*clean.selectExpr("count(*)", f"sum({FINGERPRINT})").first())
    suite = suites.clean_events(DAY, DAY, "USD", count)
    assert validate(clean, suite).passed
    changed = clean.withColumn("brand", F.when(F.col("event_id") == "e3", "Acme"))
    assert [f.name for f in validate(changed, suite).failed] == ["raw_columns_are_unchanged"]
    lost = validate(clean.where("event_id <> 'e3'"), suite)
    assert {f.name for f in lost.failed} == {"no_event_is_lost_or_doubled", "raw_columns_are_unchanged"}


def test_bots_and_purchases_without_a_price_only_warn(spark):
    suite, row = SUITES["clean_events"]
    rows = [{**row(i), "is_bot": True} for i in range(ROWS)]
    rows[7] |= {"price": None, "amount": 0, "unit_price": None, "price_source": None}
    result = validate(table_of(spark, "clean_events", rows), suite)
    assert result.passed
    assert {f.name: f.unexpected_count for f in result.failed} == {
        "bots_are_few": ROWS,
        "purchases_carry_a_price": 1,
    }


def test_a_day_without_events_does_not_pass(spark):
    suite, row = SUITES["clean_events"]
    result = validate(table_of(spark, "clean_events", [row(0)]).limit(0), suite)
    assert not result.passed
    assert [f.name for f in result.failed] == ["has_rows"]


def test_a_sample_of_a_broken_rule_names_the_columns_to_blame(spark):
    suite, row = SUITES["user_activity"]
    bad = {**row(2), SHORT: 99}
    result = validate(table_of(spark, "user_activity", [row(0), bad]), suite)
    assert [f.samples for f in result.failed] == [
        (f"user_id=x0, event_timestamp=2019-10-01T00:00:01Z: {SHORT}=99, "
         f"{VIEW.feature(WINDOWS[1])}=3",)
    ]  # fmt: skip
