import json
import random
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.behavior import ACTIVITIES, DEFINITIONS_HASH, SESSION_ACTIVITY, USER, WINDOWS
from feature_repo.tiles import window_values
from feature_repo.windows import DAY_US, US
from spark_jobs.jobs import activity, clean_events, day_tiles, point_in_time, serving_state
from spark_jobs.jobs import training_labels as labels_job
from spark_jobs.jobs.tables import NoEvents, NotPublished, TilesNotKept
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.point_in_time import feature_names
from tests.oracle import brute_force
from tests.parity.frames import instants
from tests.parity.streams import instant, random_events

FIRST, END = day_bounds("2024-02-05")[0], day_bounds("2024-03-11")[1]
LAST_DAYS = ["2024-03-09", "2024-03-10", "2024-03-11"]
QUIET_DAY = "2024-03-10"
CREATED = END + 5
VIEWS = [a.view for a in ACTIVITIES]
IDS = {"user_id": ("u1", "u2", "顾客"), "item_id": ("i1", "i2"), "category": ("shoes", "鞋")}


def publish(lake: Lake, days: list[str], *tables: str) -> None:
    for table in tables:
        for day in days:
            lake.publish(table, day)


def values(lake: Lake, table: str, part: str, keys: list[str], features: list[str]) -> dict:
    """{(*keys, event time in microseconds): {feature: value}} of a published part."""
    folder = lake.partition(table, part)
    columns = [*keys, "event_timestamp", *features]
    answers = {}
    for row in pq.ParquetDataset(folder, partitioning=None).read(columns).to_pylist():
        at = row["event_timestamp"]
        us = int(at.timestamp()) * US + at.microsecond
        key = (*(row[k] for k in keys), us)
        assert key not in answers
        answers[key] = {f: row[f] for f in features}
    return answers


@pytest.fixture(scope="module")
def events():
    """Five weeks with a day on which nothing happens."""
    start, end = day_bounds(QUIET_DAY)
    generated = random_events(41, 500, FIRST, END)
    return [e for e in generated if not start <= e.event_time < end]


@pytest.fixture(scope="module")
def lake(spark, events, fill_lake):
    """Published in the order a run has: the past in one go, then the last days in another."""
    lake = fill_lake(events)
    past = [day_of(us) for us in range(FIRST, day_bounds(LAST_DAYS[0])[0], DAY_US)]
    for days in (past, LAST_DAYS):
        clean_events.run(spark, lake, days)
        publish(lake, days, "clean_events")
        day_tiles.run(spark, lake, days)
        publish(lake, days, *day_tiles.TABLES)
    return lake


@pytest.fixture(scope="module")
def activity_metadata(spark, lake):
    metadata = activity.run(spark, lake, LAST_DAYS, created_at=CREATED, tail=True)
    publish(lake, LAST_DAYS, *VIEWS, "session_activity")
    publish(lake, ["tail"], *VIEWS)
    return metadata


def test_every_event_is_a_clean_event(lake, events):
    keys = brute_force.session_keys(events, 1_800)
    found = {}
    for day in lake.parts("clean_events"):
        table = pq.ParquetDataset(lake.partition("clean_events", day), partitioning=None).read()
        for row in table.to_pylist():
            assert day_of(int(row["event_time"].timestamp()) * US) == day
            found[row["user_id"], row["event_id"]] = row
    assert {k: row["session_key"] for k, row in found.items()} == keys
    amounts = {(e.user_id, e.event_id): (e.amount, e.personal) for e in events}
    assert {k: (row["amount"], row["personal"]) for k, row in found.items()} == amounts


def test_a_day_without_events_has_its_files(lake):
    for table in ("clean_events", *day_tiles.TABLES):
        (file,) = lake.partition(table, QUIET_DAY).glob("*.parquet")
        assert pq.read_metadata(file).num_rows == 0
        assert len(pq.read_schema(file)) > 3


@pytest.mark.parametrize("of", ACTIVITIES, ids=lambda a: a.name)
def test_activity_is_right_at_any_time(lake, events, activity_metadata, of):
    """The last days' rows come from tiles and events, a quiet day's and the tail's from expiries."""
    rows = {}
    for part in (*LAST_DAYS, "tail"):
        of_part = values(lake, of.view, part, list(of.keys), feature_names(of))
        assert len(of_part) == activity_metadata[of.view]["rows_by_part"][part]
        assert all((day_of(at) if at < END else "tail") == part for *_, at in of_part)
        rows |= of_part
    rng = random.Random(42)
    for entity in product(*(IDS[key] for key in of.keys)):
        own = sorted(at for *owner, at in rows if tuple(owner) == entity)
        for _ in range(40):
            moment = instant(rng, own[0], END + 35 * DAY_US)
            newest = max(at for at in own if at <= moment)
            expected = brute_force.window_values(events, of, entity, moment)
            assert rows[*entity, newest] == expected, (entity, moment)
        assert not any(rows[*entity, own[-1]].values())
    assert activity_metadata["days_missing_before"] == []


def test_a_day_computed_alone_is_the_same_day(spark, lake, activity_metadata):
    day = LAST_DAYS[-1]
    tables = {
        "user_activity": (["user_id"], feature_names(USER)),
        "session_activity": (["user_id", "session_id"], [f.name for f in SESSION_ACTIVITY]),
    }
    together = {t: values(lake, t, day, *columns) for t, columns in tables.items()}
    activity.run(spark, lake, [day], created_at=CREATED + 1)
    publish(lake, [day], *VIEWS, "session_activity")
    for table, columns in tables.items():
        assert values(lake, table, day, *columns) == together[table]


def test_session_activity_equals_the_oracle(lake, events, activity_metadata):
    features = [f.name for f in SESSION_ACTIVITY]
    expected = {
        (e.user_id, e.session_id, e.event_time): brute_force.session_features(
            events, e.user_id, e.session_id, e.event_time
        )
        for e in events
        if e.session_id and e.personal and day_of(e.event_time) in LAST_DAYS
    }
    found = {}
    for day in LAST_DAYS:
        found |= values(lake, "session_activity", day, ["user_id", "session_id"], features)
    assert found == expected


def test_labels_of_some_days_equal_the_oracle(spark, lake, events):
    metadata = labels_job.run(spark, lake, LAST_DAYS[:2])
    publish(lake, LAST_DAYS[:2], "training_labels")
    assert metadata["horizon"] == "day"
    outcomes = ["purchase", "add_to_cart", "leave"]
    found = {}
    for day in LAST_DAYS[:2]:
        found |= values(lake, "training_labels", day, ["user_id", "session_key"], outcomes)
    log_end = max(e.event_time for e in events)
    expected = brute_force.labels(events, "day", log_end, 1_800, 86_400)
    assert {k: tuple(v.values()) for k, v in found.items()} == {
        k: v for k, v in expected.items() if day_of(k[2]) in LAST_DAYS[:2]
    }


def test_labels_wait_for_a_next_day_that_is_not_clean_yet(lake, events, fill_lake):
    _, end_of_day = day_bounds(LAST_DAYS[1])
    assert labels_job.readable_until(lake, LAST_DAYS[1]) == end_of_day + DAY_US
    assert labels_job.readable_until(fill_lake(events), LAST_DAYS[1]) == end_of_day - 1


def test_serving_state_answers_as_the_oracle(spark, lake, events):
    as_of = max(e.event_time for e in events)
    serving_state.run(spark, lake, as_of, covered_epoch=7, created_at=CREATED)
    for table in (*(a.tiles for a in ACTIVITIES), "session_state"):
        lake.publish(table, "current")
    rows = pq.ParquetDataset(lake.partition("user_tiles", "current"), partitioning=None).read()
    assert rows.num_rows == 3
    for row in rows.to_pylist():
        assert (row["covered_epoch"], row["definitions_hash"]) == (7, DEFINITIONS_HASH)
        found = window_values(json.loads(row["tiles"]), as_of, WINDOWS, USER.aggregates)
        expected = brute_force.window_values(events, "user", row["user_id"], as_of)
        assert dict(zip(feature_names(USER), found, strict=True)) == expected


def test_an_instant_of_which_tiles_are_gone_is_refused_with_one_that_will_do(spark, lake, events):
    newest = max(e.event_time for e in events)
    last_of_day = day_bounds(day_of(FIRST + 3 * DAY_US))[1] - 1
    with pytest.raises(TilesNotKept, match=rf"give {last_of_day}, or {newest} or later"):
        serving_state.run(spark, lake, last_of_day - 1, covered_epoch=7, created_at=CREATED)


def test_old_days_made_again_change_nothing(spark, lake, events):
    """Neither what is served nor what history says, whatever day is run again and when."""
    as_of, old = max(e.event_time for e in events), day_of(FIRST + 3 * DAY_US)

    def served() -> dict:
        serving_state.run(spark, lake, as_of, covered_epoch=7, created_at=CREATED)
        return {
            table: sorted(
                pq.ParquetDataset(lake.candidate(table, "current"), partitioning=None).read().to_pylist(),
                key=str,
            )
            for table in (*(a.tiles for a in ACTIVITIES), "session_state")
        }

    before = served()
    for day in (old, LAST_DAYS[0]):
        day_tiles.run(spark, lake, [day])
        publish(lake, [day], *day_tiles.TABLES)
    assert served() == before


def test_point_in_time_rows_from_a_csv(spark, lake, events, tmp_path):
    asked = [("u1", END - 40_000_000_000), ("nobody", END - 7), ("顾客", END - DAY_US - 1)]
    csv, out = tmp_path / "rows.csv", tmp_path / "out"
    frame = instants(spark, asked, USER).selectExpr(
        "user_id", "'kept' as row", "date_format(event_timestamp, 'yyyy-MM-dd HH:mm:ss.SSSSSS') t"
    )
    lines = [",".join(row) for row in frame.collect()]
    csv.write_text("\n".join(["user_id,row,event_timestamp", *lines]), "utf-8")
    point_in_time.run(spark, lake, csv, out)
    for row in spark.read.parquet(str(out)).selectExpr("*", "unix_micros(event_timestamp) us").collect():
        expected = brute_force.window_values(events, "user", row["user_id"], row["us"])
        assert {f: row[f] for f in feature_names(USER)} == expected
        assert row["row"] == "kept"
        asked.remove((row["user_id"], row["us"]))
    assert asked == []


def test_days_without_any_event_are_refused_with_what_there_is(spark, lake):
    with pytest.raises(NoEvents, match=r"no events on 2023-01-01; days with events: .*2024-03-11"):
        clean_events.run(spark, lake, ["2023-01-01"])
    with pytest.raises(NoEvents, match="import a log"):
        clean_events.run(spark, Lake(Path(lake.root, "nowhere")), ["2023-01-01"])


def test_inputs_that_are_not_published_are_named(spark, events, fill_lake):
    with pytest.raises(NotPublished, match="clean_events is not published for 2024-03-11"):
        day_tiles.run(spark, fill_lake(events), ["2024-03-11"])
