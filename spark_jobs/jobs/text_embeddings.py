"""Queries, messages and item descriptions to vectors, those that no earlier run has embedded.

Incremental by content and encoder revision: a text is embedded once, and kept in the part of the
day on which it was first seen. Where the session has GPUs (`spark.executor.resource.gpu.amount`),
the embedding stage asks for one per task.
"""

import math
from collections.abc import Callable
from functools import partial

from pyspark.resource import ResourceProfile, ResourceProfileBuilder, TaskResourceRequests
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.jobs.command import day_parser, days_between, execute, function_at
from spark_jobs.jobs.tables import SCHEMAS, read_days, require_published, write_days
from spark_jobs.lake import Lake
from spark_jobs.transforms.texts import Embedder, embedding_batches, texts_by_day

TABLE = "text_embeddings"
TEXTS_PER_TASK = 500


def run(
    spark: SparkSession, lake: Lake, days: list[str], revision: str, load: Callable[[], Embedder]
) -> dict:
    """Write candidates of `text_embeddings` for `days`; counts of new and of all their texts.

    `load` makes an encoder of this `revision` on a worker; it is pickled, so its module must be
    importable there.
    """
    require_published(lake, "clean_events", days)
    first, last = min(days), max(days)
    events = read_days(spark, lake, "clean_events", first, last)
    known = (
        spark.read.schema(f"{SCHEMAS[TABLE]}, day string").parquet(str(lake.table(TABLE)))
        if lake.parts(TABLE)
        else spark.createDataFrame([], f"{SCHEMAS[TABLE]}, day string")
    ).where(F.col("encoder_revision") == revision)
    new = texts_by_day(events).join(known, "content_hash", "left_anti").persist()
    new_count = new.count()
    most = spark.sparkContext.defaultParallelism
    tasks = max(1, min(most, math.ceil(new_count / TEXTS_PER_TASK)))
    embedded = (
        new.withColumn("characters", F.length("text"))
        .repartition(tasks)
        .sortWithinPartitions("characters")
        .select("content_hash", "text")
        .mapInArrow(embedding_batches(revision, load), SCHEMAS[TABLE], profile=gpu_per_task(spark))
        .join(new.select("content_hash", "day"), "content_hash")
    )
    kept = known.where(F.col("day").between(first, last)).select(*embedded.columns)
    written = write_days(embedded.unionByName(kept), lake, TABLE, days)
    new.unpersist()
    return {**written.metadata(), "new_texts": new_count, "tasks": tasks}


def gpu_per_task(spark: SparkSession) -> ResourceProfile | None:
    if spark.conf.get("spark.executor.resource.gpu.amount", "0") == "0":
        return None
    return ResourceProfileBuilder().require(TaskResourceRequests().cpus(1).resource("gpu", 1)).build


def encoder_factory(path: str, encoder: str) -> Callable[[], Embedder]:
    return partial(function_at(path), encoder)


def main() -> None:
    arguments = day_parser(__doc__)
    arguments.add_argument("--encoder", default="packaged")
    arguments.add_argument("--factory", default="models.encoder:load_encoder")
    options = arguments.parse_args()
    days = days_between(options.day, options.to)
    load = encoder_factory(options.factory, options.encoder)
    execute(TABLE, options, lambda spark, lake: run(spark, lake, days, load().revision, load))


if __name__ == "__main__":
    main()
