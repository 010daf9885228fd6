from functools import partial

import numpy as np
import pytest
from pyspark.sql import functions as F

from feature_repo.behavior import RECENT_QUERIES
from models.runtime.text import normalize_text
from spark_jobs.jobs import clean_events, intent_embeddings, text_embeddings
from spark_jobs.lake import day_bounds
from tests.online_api.events import HOUR, SECOND, stamped
from tests.spark_jobs.jobs.words import LetterEncoder

FIRST, SECOND_DAY = "2024-03-01", "2024-03-02"
T1, T2 = day_bounds(FIRST)[0] + HOUR, day_bounds(SECOND_DAY)[0] + HOUR
CLOCK = T2 + 5 * HOUR

EVENTS = [
    *(stamped(f"a{n}", "search", T1 + n * SECOND, query="a") for n in range(RECENT_QUERIES)),
    stamped("b", "message", T1 + 60 * SECOND, text=" b ", user_id="u2"),
    stamped("c0", "search", T1, query="c", user_id="u5"),
    stamped("c1", "search", T1, query="Ｃ", user_id="u6"),
    stamped("h0", "search", T1, query="紅色 ＬＡＭＰ", user_id="u6"),
    stamped("h1", "message", T1, text="红色 lamp", user_id="u6"),
    stamped("none", "message", T1, text="\u200d\ufe0f", user_id="u7"),
    stamped("c", "search", T2, query="c"),
    stamped("i0", "view", T1, item_id="sku", category="shoes.running", brand="acme"),
    stamped("d", "search", T2, query="d", user_id="u3", consent="aggregate"),
    stamped("i", "view", T2, item_id="sku", category="shoes.running", brand="acme"),
    stamped("blank", "search", T2, query="   ", user_id="u4"),
]


@pytest.fixture(scope="module")
def lake(spark, fill_lake):
    lake = fill_lake(EVENTS)
    clean_events.run(spark, lake, [FIRST, SECOND_DAY])
    for day in (FIRST, SECOND_DAY):
        lake.publish("clean_events", day)
    return lake


def embed(spark, lake, days, revision="r1"):
    measured = text_embeddings.run(spark, lake, days, revision, partial(LetterEncoder, revision))
    for day in days:
        lake.publish("text_embeddings", day)
    return measured


@pytest.fixture(scope="module")
def views(spark, lake):
    embed(spark, lake, [FIRST, SECOND_DAY])
    days = [FIRST, SECOND_DAY]
    intent_embeddings.run(spark, lake, days, "r1", CLOCK)
    for view in ("user_intent_embedding", "query_embedding", "item_embedding"):
        for day in days:
            lake.publish(view, day)
    return lambda view, day: spark.read.parquet(str(lake.partition(view, day)))


def test_a_text_is_embedded_once_and_only_what_may_be(spark, lake, views):
    again = embed(spark, lake, [FIRST, SECOND_DAY])
    assert again["new_texts"] == 0
    rows = spark.read.parquet(*map(str, lake.partitions("text_embeddings", FIRST, SECOND_DAY)))
    assert sorted(r["text"] for r in rows.collect()) == sorted(
        ["a", "b", "c", "Ｃ", "紅色 ＬＡＭＰ", "红色 lamp", "\u200d\ufe0f", "shoes running acme"]
    )


def test_another_encoder_revision_embeds_anew(spark, lake, views):
    days = [FIRST, SECOND_DAY]
    assert embed(spark, lake, days, "r2")["new_texts"] == 8
    assert embed(spark, lake, days, "r1")["new_texts"] == 8  # r2 has taken the parts
    wrong = partial(LetterEncoder, "r3")
    with pytest.raises(Exception, match="revision r3"):
        text_embeddings.run(spark, lake, [FIRST], "r9", wrong)


def test_a_shoppers_vector_is_the_mean_direction_of_the_last_texts(views):
    (row,) = views("user_intent_embedding", SECOND_DAY).where("user_id = 'u1'").collect()
    expected = np.zeros(26)
    expected[0], expected[2] = RECENT_QUERIES - 1, 1
    assert np.allclose(row["embedding"][:26], expected / np.linalg.norm(expected), atol=1e-6)
    assert row["encoder_revision"] == "r1"


def test_a_day_past_holds_from_its_end_and_today_from_its_publication(views):
    micros = F.unix_micros("event_timestamp").alias("at")
    (first,) = views("user_intent_embedding", FIRST).where("user_id = 'u1'").select(micros).collect()
    (second,) = views("user_intent_embedding", SECOND_DAY).select(micros).distinct().collect()
    assert (first["at"], second["at"]) == (day_bounds(FIRST)[1], CLOCK)


def test_a_day_served_live_holds_from_its_publication_even_after_its_end(spark, lake, views):
    """One row a shopper, of all that was typed until then, in the part of the newest such day."""
    live = {FIRST, SECOND_DAY}
    intent_embeddings.run(spark, lake, [FIRST, SECOND_DAY], "r1", CLOCK + 2 * HOUR, live)
    rows = {
        day: spark.read.parquet(str(lake.candidate("user_intent_embedding", day)))
        .where(F.unix_micros("event_timestamp") == CLOCK + 2 * HOUR)
        .collect()
        for day in (FIRST, SECOND_DAY)
    }
    assert sorted(r["user_id"] for r in rows[FIRST]) == ["u2", "u5", "u6", "u7"]
    (mine,) = [r for r in rows[SECOND_DAY] if r["user_id"] == "u1"]
    assert mine["embedding"][2] > 0  # the text of the second day is in it
    for view, key in (("query_embedding", "query"), ("item_embedding", "item_id")):
        folders = [str(lake.candidate(view, day)) for day in (FIRST, SECOND_DAY)]
        at_once = spark.read.parquet(*folders).where(F.unix_micros("event_timestamp") == CLOCK + 2 * HOUR)
        assert at_once.count() == at_once.select(key).distinct().count() > 0


def test_what_an_earlier_run_of_the_day_published_stays(spark, lake, views):
    intent_embeddings.run(spark, lake, [SECOND_DAY], "r1", CLOCK + HOUR)
    rows = spark.read.parquet(str(lake.candidate("user_intent_embedding", SECOND_DAY)))
    instants = sorted(r["at"] for r in rows.select(F.unix_micros("event_timestamp").alias("at")).collect())
    assert instants == [CLOCK, CLOCK + HOUR]


def test_queries_and_items_have_vectors_of_their_own(views):
    assert [r["query"] for r in views("query_embedding", SECOND_DAY).collect()] == ["c"]
    assert [r["item_id"] for r in views("item_embedding", SECOND_DAY).collect()] == ["sku"]


def test_spellings_of_one_query_share_the_row_that_serving_looks_up(views):
    """`online_api` asks for the normalised form of what was typed."""
    keys = [r["query"] for r in views("query_embedding", FIRST).collect()]
    typed = ["a", "b", "c", "Ｃ", "紅色 ＬＡＭＰ", "红色 lamp", "紅色　Lamp", "\u200d\ufe0f"]
    assert sorted(keys) == sorted({normalize_text(text) for text in typed} - {""})
