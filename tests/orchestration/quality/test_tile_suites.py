"""The contracts of the ledger and the tiles: what the jobs write holds, and each fault is named."""

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feature_repo.behavior import USER
from feature_repo.windows import DAY_US
from orchestration.quality import ledger_suites, tile_suites
from orchestration.quality.gate import validate
from spark_jobs.jobs.tables import read_ledger
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.tiles import day_tiles, session_tiles
from tests.parity.frames import event_frame
from tests.parity.streams import random_events

DAY = "2024-03-10"
START = day_bounds(DAY)[0]
NEWEST = START + DAY_US - 1


@pytest.fixture(scope="module")
def events():
    return random_events(5, 150, START, START + DAY_US - 1)


@pytest.fixture(scope="module")
def tiles(spark, events) -> DataFrame:
    return day_tiles(event_frame(spark, events), USER, NEWEST).coalesce(1).cache()


def failures(table: DataFrame, suite) -> set[str]:
    return {finding.name for finding in validate(table, suite).failed}


def test_tiles_of_events_hold(tiles):
    assert failures(tiles, tile_suites.day_tiles(USER, DAY, DAY, NEWEST)) == set()
    assert failures(tiles.limit(0), tile_suites.day_tiles(USER, DAY, DAY, NEWEST)) == set()


CORRUPTIONS = {
    "an event is in one hop only": (
        lambda t: t.withColumn(
            "view_count", F.col("view_count") + F.when(F.col("hop_s") == 60, 1).otherwise(0)
        ),
        {"tiles_of_60_s_count_the_same_events"},
    ),
    "a hop is missing": (
        lambda t: t.where("hop_s <> 900"),
        {"tiles_of_60_s_count_the_same_events", "tiles_of_900_s_count_the_same_events"},
    ),
    "tiles are doubled": (lambda t: t.unionAll(t), {"user_id_and_hop_s_and_start_are_unique"}),
    "tiles stand beside their hops": (
        lambda t: t.withColumn("start", F.expr("start + interval 1 second")),
        {"tiles_stand_at_their_hops"},
    ),
    "tiles are of the day after": (
        lambda t: t.withColumn("start", F.expr("start + interval 1 day")),
        {"start_is_in_its_day", "tiles_stand_at_their_hops", "tiles_of_60_s_count_the_same_events"},
    ),
    "a sum is missing": (
        lambda t: t.withColumn("purchase_amount", F.lit(None).cast("bigint")),
        {"required_columns_are_filled"},
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_fault_of_the_tiles_is_named(tiles, name):
    corrupt, expected = CORRUPTIONS[name]
    assert failures(corrupt(tiles), tile_suites.day_tiles(USER, DAY, DAY, NEWEST)) == expected


def test_session_tiles_hold_and_their_faults_are_named(spark, events):
    tiles = session_tiles(event_frame(spark, events)).coalesce(1).cache()
    suite = tile_suites.session_day_tiles(DAY, DAY)
    assert failures(tiles, suite) == set()
    too_many = tiles.withColumn("session_view_count", F.col("session_event_count") + 1)
    assert failures(too_many, suite) == {"parts_do_not_exceed_the_whole"}


def test_the_ledger_holds_and_its_faults_are_named(spark, events, fill_lake):
    ledger = read_ledger(spark, fill_lake(events), [DAY]).coalesce(1).cache()
    suite = ledger_suites.ledger(DAY, DAY)
    assert failures(ledger, suite) == set()
    assert failures(ledger.unionAll(ledger), suite) == {"user_id_and_event_id_are_unique"}
    unknown = ledger.withColumns({"event_type": F.lit("stare"), "received_at": F.lit(None).cast("timestamp")})
    assert failures(unknown, suite) == {"event_type_is_known", "required_columns_are_filled"}
