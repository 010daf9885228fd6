"""What shoppers type and what items are called, as rows to embed; and vectors put back together."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


class Embedder(Protocol):
    revision: str

    def normalized(self, texts: list[str]) -> list[str]:
        """The form in which each text is embedded and looked up."""
        ...

    def embed(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 `[len(texts), dim]`."""
        ...


def content_hash(text: Column) -> Column:
    return F.sha2(text.cast("binary"), 256)


def item_text() -> Column:
    """An item's words as far as the log names them: its category path and its brand."""
    category = F.regexp_replace(F.coalesce(F.col("category"), F.lit("")), "[._/>]+", " ")
    return F.trim(F.concat_ws(" ", category, F.coalesce(F.col("brand"), F.lit(""))))


def day_column() -> Column:
    return F.date_format("event_time", "yyyy-MM-dd").alias("day")


def typed_texts(events: DataFrame) -> DataFrame:
    """One row per query or message a shopper sent: user_id, event_time, seq, text."""
    text = F.trim(F.coalesce(F.col("query"), F.col("text")))
    return (
        events.where(F.col("personal"))
        .select("user_id", "event_time", "epoch", "seq", text.alias("text"))
        .where(F.length("text") > 0)
    )


def item_texts(events: DataFrame) -> DataFrame:
    """day, item_id, text: of several descriptions of an item on one day the newest."""
    newest = F.max_by("text", F.struct("event_time", "epoch", "seq")).alias("text")
    return (
        events.where(F.col("item_id").isNotNull())
        .select(day_column(), "item_id", "event_time", "epoch", "seq", item_text().alias("text"))
        .where(F.length("text") > 0)
        .groupBy("day", "item_id")
        .agg(newest)
    )


def texts_by_day(events: DataFrame) -> DataFrame:
    """Every distinct text of the events with the first day it is seen: day, content_hash, text."""
    typed = events.where(F.col("personal")).select(
        day_column(), F.explode(F.array(F.trim("query"), F.trim("text"))).alias("text")
    )
    items = events.where(F.col("item_id").isNotNull()).select(day_column(), item_text().alias("text"))
    return (
        typed.unionByName(items)
        .where(F.length("text") > 0)
        .groupBy(content_hash(F.col("text")).alias("content_hash"))
        .agg(F.min("day").alias("day"), F.first("text").alias("text"))
    )


def embedding_batches(
    revision: str, load: Callable[[], Embedder]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over (content_hash, text, ...): the same rows, normalised, with their vectors.

    The encoder is loaded once per worker process. A worker that finds another revision than the
    one asked for fails the job: two revisions are never mixed.
    """

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        encoder = None
        for batch in batches:
            encoder = encoder or _loaded(revision, load)
            texts = batch.column("text").to_pylist()
            vectors = encoder.embed(texts).astype(np.float32)
            offsets = np.arange(len(texts) + 1, dtype=np.int32) * vectors.shape[1]
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column("content_hash"),
                    batch.column("text"),
                    pa.array(encoder.normalized(texts), pa.string()),
                    pa.array([revision] * len(texts), pa.string()),
                    pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel())),
                ],
                names=["content_hash", "text", "normalized", "encoder_revision", "embedding"],
            )

    return embed


_encoders: dict[str, Embedder] = {}


def _loaded(revision: str, load: Callable[[], Embedder]) -> Embedder:
    if revision not in _encoders:
        encoder = load()
        if encoder.revision != revision:
            raise ValueError(
                f"this worker's encoder is revision {encoder.revision}, the job's is {revision}: "
                "give every node the same encoder (INTENT_ENCODER)"
            )
        _encoders[revision] = encoder
    return _encoders[revision]


def query_texts(typed: DataFrame, forms: DataFrame) -> DataFrame:
    """day, query, content_hash: what was typed on a day, by normalised form.

    `forms`: content_hash, normalized. Of the spellings of one query that of the least hash stands for
    it, so that a run repeated picks the same.
    """
    return (
        typed.select(day_column(), content_hash(F.col("text")).alias("content_hash"))
        .distinct()
        .join(forms, "content_hash")
        .where(F.length("normalized") > 0)
        .groupBy("day", F.col("normalized").alias("query"))
        .agg(F.min("content_hash").alias("content_hash"))
    )


def mean_direction(group: pa.Table) -> pa.Table:
    """For `applyInArrow`: one row with the group's keys and the unit vector along its embeddings' mean.

    The other columns are the same throughout a group. float64 inside, so that the order of the rows
    does not show.
    """
    vectors = group.column("embedding").combine_chunks()
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    total = matrix.astype(np.float64).sum(axis=0)
    unit = (total / np.linalg.norm(total)).astype(np.float32)
    keys = [name for name in group.column_names if name != "embedding"]
    return group.select(keys).slice(0, 1).append_column("embedding", pa.array([unit], vectors.type))


def recent_texts(typed: DataFrame, stamps: DataFrame, count: int) -> DataFrame:
    """The last `count` texts, at the instant a day's rows begin to hold, of each shopper who typed
    something on that day. Rows: user_id, day, as_of, text, position (1: the newest).

    `stamps` has a row per day asked for: day, as_of. Of days with one and the same instant the newest
    has the shopper's row.
    """
    active = (
        typed.select("user_id", day_column())
        .distinct()
        .join(F.broadcast(stamps), "day")
        .groupBy("user_id", "as_of")
        .agg(F.max("day").alias("day"))
    )
    newest_first = Window.partitionBy("user_id", "as_of").orderBy(
        F.desc("event_time"), F.desc("epoch"), F.desc("seq")
    )
    return (
        active.join(typed, "user_id")
        .where((F.col("event_time") < F.col("as_of")) | (day_column() == F.col("day")))
        .withColumn("position", F.row_number().over(newest_first))
        .where(F.col("position") <= count)
        .select("user_id", "day", "as_of", "text", "position")
    )
