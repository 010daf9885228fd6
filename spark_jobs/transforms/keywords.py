"""Keywords: the words that tell a shopper's recent texts from what everybody types."""

from collections.abc import Callable, Iterator
from typing import Protocol

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.transforms.texts import day_column

DECAY = 0.8
"""What a word of the next older text counts, relative to one of the newer."""


class Segmenter(Protocol):
    def content_words(self, text: str) -> list[str]:
        """The words that say what a text is about, in order, each once."""
        ...


def word_batches(
    load: Callable[[], Segmenter],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over rows of one column, text: text and its content words."""

    def segment(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        segmenter = load()
        for batch in batches:
            texts = batch.column("text")
            words = [segmenter.content_words(text) for text in texts.to_pylist()]
            columns = [texts, pa.array(words, pa.list_(pa.string()))]
            yield pa.RecordBatch.from_arrays(columns, names=["text", "words"])

    return segment


def rarities(typed: DataFrame, words: DataFrame, days: DataFrame, length_days: int) -> DataFrame:
    """How rare each word is in the log so far: day, word, rarity.

    Rarity is the smoothed inverse document frequency, ln(1 + documents / (1 + frequency)). A document
    is what one shopper typed on one day, so that nobody makes a word common by repeating it. A day
    sees the documents of itself and of the `length_days` days before it.
    `typed`: user_id, event_time, text; `words`: text, words; `days`: day, small.
    """
    seen = typed.select("user_id", day_column().alias("typed_on"), "text")
    earliest = F.date_format(F.date_sub("day", length_days), "yyyy-MM-dd")
    window = F.col("typed_on").between(earliest, F.col("day"))
    days = F.broadcast(days)
    documents = (
        seen.groupBy("typed_on")
        .agg(F.countDistinct("user_id").alias("shoppers"))
        .join(days, window)
        .groupBy("day")
        .agg(F.sum("shoppers").alias("documents"))
    )
    return (
        seen.join(words, "text")
        .select("typed_on", "user_id", F.explode("words").alias("word"))
        .distinct()
        .groupBy("typed_on", "word")
        .agg(F.count("*").alias("shoppers"))
        .join(days, window)
        .groupBy("day", "word")
        .agg(F.sum("shoppers").alias("frequency"))
        .join(F.broadcast(documents), "day")
        .select("day", "word", F.log1p(F.col("documents") / (1 + F.col("frequency"))).alias("rarity"))
    )


def user_keywords(recent: DataFrame, words: DataFrame, rarity: DataFrame, count: int) -> DataFrame:
    """Each shopper's `count` weightiest words, the weightiest first: user_id, day, as_of, keywords.

    A word weighs the sum of `DECAY ** (position - 1)` over the recent texts that have it, times its
    rarity (0 if only bots have typed it); of equal ones the first by spelling. Texts without a content
    word leave an empty list.
    `recent`: user_id, day, as_of, text, position (1: the newest).
    """
    keys = ("user_id", "day", "as_of")
    # rounded: the order in which a sum is made must not decide between equal words
    recency = F.round(F.sum(F.pow(F.lit(DECAY), F.col("position") - 1)), 9)
    first = Window.partitionBy(*keys).orderBy(F.desc("weight"), "word")
    return (
        recent.join(words, "text")
        .select(*keys, "position", F.explode_outer("words").alias("word"))
        .groupBy(*keys, "word")
        .agg(recency.alias("recency"))
        .join(rarity, ["day", "word"], "left")
        .withColumn("weight", F.col("recency") * F.coalesce("rarity", F.lit(0.0)))
        .withColumn("place", F.row_number().over(first))
        .where(F.col("place") <= count)
        .groupBy(*keys)
        .agg(F.collect_list(F.when(F.col("word").isNotNull(), F.struct("place", "word"))).alias("placed"))
        .select(*keys, F.array_sort("placed")["word"].alias("keywords"))
    )
