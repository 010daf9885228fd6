"""What `test_new_aggregate` runs beside a `feature_repo` with new lines: events in, the new features out of
Redis, Spark, Feast's history and Feast's online store. Prints them as JSON.
"""

import json
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd

from feature_repo.behavior import USER
from feature_repo.events import from_us, rfc3339
from online_api.connection import BlockingRedis
from online_api.epochs import BlockingLedger
from online_api.settings import Settings
from orchestration.feature_store import apply_definitions, historical, materialize, open_store
from orchestration.landing import land
from spark_jobs.jobs import activity, clean_events, day_tiles, serving_state
from spark_jobs.lake import CURRENT, TAIL, Lake
from spark_jobs.session import build_session
from tests.online_api.client import Client, running
from tests.online_api.events import DAY, HOUR, NOW, event
from tests.online_api.redis_process import redis_process
from tests.spark_fixtures import SMALL_DATA

CLICKS = [(NOW - 30 * HOUR, 90), (NOW - HOUR, 40), (NOW - HOUR, 900), (NOW - 2, None), (NOW, 99)]


def main(features: list[str], state: Path) -> None:
    with redis_process(state) as url:
        settings = Settings(state=state, lake=state / "lake", redis_url=url, shards=4)
        spark = build_session("new-aggregate", "local[2]", state, SMALL_DATA)
        references = [f"{USER.view}:{feature}" for feature in features]
        answers = {"redis": posted(settings, references)}
        lake = landed(settings)
        answers["spark"] = computed(spark, lake, features)
        store = open_store(url, state)
        apply_definitions(store, settings.lake)
        asked = pd.DataFrame({"user_id": ["u1"], "event_timestamp": [from_us(NOW)]})
        history = historical(store, asked, references).first()
        answers["history"] = [history[feature] for feature in features]
        materialize(store, [USER.view, USER.tiles], NOW)
        online = store.get_online_features(references, [{"user_id": "u1"}]).to_dict()
        answers["online"] = [online[feature][0] for feature in features]
        with closing(BlockingRedis(url)) as redis:
            BlockingLedger(redis, settings).prune(lake.landed_epoch())
        with running(settings) as client:
            answers["base"] = served(client, references)
    print(json.dumps(answers))


def posted(settings: Settings, references: list[str]) -> list:
    with running(settings) as client:
        clicks = enumerate(CLICKS)
        client.post_events(
            *(event(f"e{n}", "click", at, **({} if p is None else {"price": p})) for n, (at, p) in clicks)
        )
        return served(client, references)


def served(client: Client, references: list[str]) -> list:
    return [client.feature(reference, rfc3339(NOW), user_id="u1")[0] for reference in references]


def landed(settings: Settings) -> Lake:
    lake = Lake(settings.lake)
    with closing(BlockingRedis(settings.redis_url)) as redis:
        land(BlockingLedger(redis, settings), lake)
    return lake


def computed(spark, lake: Lake, features: list[str]) -> list:
    days = list(lake.ledger_days())
    clean_events.run(spark, lake, days)
    publish(lake, days, clean_events.TABLE, clean_events.ATTRIBUTES)
    day_tiles.run(spark, lake, days)
    publish(lake, days, *day_tiles.TABLES)
    activity.run(spark, lake, days, created_at=NOW + DAY, tail=True)
    publish(lake, [*days, TAIL], USER.view)
    serving_state.run(spark, lake, NOW, lake.landed_epoch(), created_at=NOW + DAY)
    publish(lake, [CURRENT], USER.tiles)
    rows = spark.read.parquet(*(str(lake.partition(USER.view, day)) for day in days))
    newest = (
        rows.where(f"user_id = 'u1' AND unix_micros(event_timestamp) <= {NOW}")
        .orderBy("event_timestamp", ascending=False)
        .first()
    )
    return [newest[feature] for feature in features]


def publish(lake: Lake, parts: list[str], *tables: str) -> None:
    for table in tables:
        for part in parts:
            lake.publish(table, part)


if __name__ == "__main__":
    main(sys.argv[2:], Path(sys.argv[1]))
