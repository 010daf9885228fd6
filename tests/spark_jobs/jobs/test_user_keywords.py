import math

import pytest
from pyspark.sql import functions as F

from feature_repo.behavior import MAX_KEYWORDS, RECENT_QUERIES
from orchestration.quality import text_suites
from orchestration.quality.gate import validate
from spark_jobs.jobs import clean_events, user_keywords
from spark_jobs.lake import day_bounds
from spark_jobs.transforms.keywords import DECAY
from tests.online_api.events import HOUR, SECOND, stamped

FIRST, SECOND_DAY = "2024-03-01", "2024-03-02"
T1, T2 = day_bounds(FIRST)[0] + HOUR, day_bounds(SECOND_DAY)[0] + HOUR
CLOCK = T2 + 5 * HOUR
LETTERS = " ".join("abcdefghijkl")


class LetterSegmenter:
    """Words are separated by spaces; one of a single capital is a stop word."""

    def content_words(self, text):
        return [word for word in dict.fromkeys(text.split()) if not (len(word) == 1 and word.isupper())]


EVENTS = [
    stamped("old", "search", T1, query="forgotten"),
    *(stamped(f"f{n}", "message", T1 + (n + 1) * SECOND, text="lamp") for n in range(RECENT_QUERIES - 1)),
    stamped("n1", "search", T1 + 60 * SECOND, query="lamp 台灯"),
    stamped("common2", "search", T1, query="lamp", user_id="u2"),
    stamped("common3", "search", T1, query="lamp", user_id="u3"),
    stamped("stop", "search", T1, query="A B", user_id="u4"),
    stamped("many", "search", T1, query=LETTERS, user_id="u5"),
    stamped("hidden", "search", T1, query="secret", user_id="u6", consent="aggregate"),
    stamped("next", "search", T2, query="rug"),
]


@pytest.fixture(scope="module")
def lake(spark, fill_lake):
    lake = fill_lake(EVENTS)
    clean_events.run(spark, lake, [FIRST, SECOND_DAY])
    for day in (FIRST, SECOND_DAY):
        lake.publish("clean_events", day)
    user_keywords.run(spark, lake, [FIRST, SECOND_DAY], LetterSegmenter, CLOCK)
    return lake


@pytest.fixture(scope="module")
def rows(spark, lake):
    table = spark.read.parquet(*(str(lake.candidate("user_keywords", d)) for d in (FIRST, SECOND_DAY)))
    found = table.select("user_id", F.unix_micros("event_timestamp").alias("at"), "keywords").collect()
    return {(r["user_id"], r["at"]): r["keywords"] for r in found}


def weight(positions, frequency, documents):
    return sum(DECAY ** (p - 1) for p in positions) * math.log(1 + documents / (1 + frequency))


def test_keywords_are_the_recent_and_rare_words_of_the_last_texts(rows):
    """On the first day five shoppers typed what may be kept; three of them the word lamp."""
    lamp, table_lamp = weight(range(1, RECENT_QUERIES + 1), 3, 5), weight([1], 1, 5)
    expected = {"lamp": lamp, "台灯": table_lamp}  # the eleventh text back, forgotten, is not looked at
    assert rows["u1", day_bounds(FIRST)[1]] == sorted(expected, key=expected.get, reverse=True)
    expected = {
        "lamp": weight(range(2, RECENT_QUERIES + 1), 3, 6),
        "台灯": weight([2], 1, 6),
        "rug": weight([1], 1, 6),
    }
    assert rows["u1", CLOCK] == sorted(expected, key=expected.get, reverse=True)


def test_no_word_of_the_next_day_is_known_before_it(rows):
    assert "rug" not in rows["u1", day_bounds(FIRST)[1]]


def test_there_are_few_and_equal_ones_stand_in_alphabetical_order(rows):
    assert rows["u5", day_bounds(FIRST)[1]] == LETTERS.split()[:MAX_KEYWORDS]


def test_texts_without_a_content_word_leave_an_empty_list(rows):
    assert rows["u4", day_bounds(FIRST)[1]] == []


def test_no_row_of_a_shopper_who_does_not_want_to_be_known(rows):
    assert not [user for user, _ in rows if user == "u6"]


def test_the_gate_passes_them_and_refuses_what_is_no_word(spark, lake):
    table = spark.read.parquet(str(lake.candidate("user_keywords", FIRST)))
    assert not validate(table, text_suites.user_keywords()).failed
    broken = table.withColumn("keywords", F.array(F.lit("Lamp"), F.lit("x"), F.lit("x")))
    failed = [f.name for f in validate(broken, text_suites.user_keywords()).failed]
    assert failed == ["keywords_are_words"]
