"""Served scores against the lake: their inputs recomputed by Spark from Parquet alone, and what explains
those that differ."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import SERVICE_FEATURES
from online_api.score_log import ScoreRecord
from orchestration.diagnosis import Case, KnownEvent, StoredRow, diagnose
from orchestration.in_service import History, in_service, read_history, served_over_time
from orchestration.resources import Platform
from orchestration.scores import SCORES, newest_scores, score_table
from spark_jobs.day_files import day_files
from spark_jobs.jobs import score_inputs as job
from spark_jobs.jobs.tables import read_parts
from spark_jobs.lake import Lake

# So many of the scores with mismatches are looked into.
DIAGNOSED = 10
NOTHING = "nothing to verify"


class Verification(msgspec.Struct, frozen=True):
    """`differing`: how many of the `scores` have a mismatch; `mismatches`: per feature, on how many scores it
    differed, only those that did are named; `examples`: one of each. `skipped`: why scores could not be held
    against the lake. `diagnosis`: what explains the scores looked into, and how many of them."""

    scores: int
    differing: int
    features: int
    mismatches: dict[str, int]
    examples: tuple[str, ...]
    skipped: dict[str, int]
    diagnosis: dict[str, int]


def verify_scores(count: int) -> Verification:
    """Of the newest logged scores, those in Redis included; the events they knew have to have landed."""
    platform = Platform.from_environment()
    records = newest_scores(platform.ledger, platform.lake, count)
    if not records:
        raise ValueError("no score has been logged: score some shoppers first (INTENT_SCORE_LOG above 0)")
    spark = platform.spark()
    verified = verify(spark, platform.lake, score_frame(spark, records))
    if not verified.scores:
        why = ", ".join(f"{reason}: {n}" for reason, n in verified.skipped.items())
        raise ValueError(f"{NOTHING}: of {len(records)} scores, {why}. `intent materialize` lands what waits")
    return verified


def score_frame(spark: SparkSession, records: Sequence[ScoreRecord]) -> DataFrame:
    table = score_table(records)
    at = table.schema.get_field_index("features")
    frame = spark.createDataFrame(table.set_column(at, "features", table["features"].cast("string")))
    return frame.to(spark.createDataFrame([], job.SCORES).schema)


def verify_day(platform: Platform, day: str) -> Verification:
    """The landed scores of a day."""
    if not day_files(platform.lake, SCORES, day):
        return Verification(0, 0, len(SERVICE_FEATURES), {}, (), {}, {})
    spark = platform.spark()
    return verify(spark, platform.lake, job.logged_scores(spark, platform.lake, day))


def verify(spark: SparkSession, lake: Lake, scores: DataFrame) -> Verification:
    history = read_history(lake)
    judged = job.judged(spark, lake, scores, served_over_time(history)).persist()
    try:
        differs = F.count_if(F.size("mismatches") > 0).alias("differing")
        reasons = judged.groupBy("reason").agg(F.count("*").alias("count"), differs).collect()
        differing = judged.select("score_id", F.explode("mismatches").alias("m"))
        an_example = F.first(F.struct("score_id", "m.served", "m.recomputed")).alias("example")
        counted = differing.groupBy("m.feature").agg(F.count("*").alias("count"), an_example)
        counted = counted.orderBy(F.desc("count"), "feature").collect()
        worst = judged.where(F.size("mismatches") > 0).orderBy("score_id").limit(DIAGNOSED).collect()
    finally:
        judged.unpersist()
    cases = [_case(history, row) for row in _rows_of(spark, lake, scores, history, worst)]
    diagnosis = Counter(line for case in cases for line in diagnose(case))
    return Verification(
        scores=sum(row["count"] for row in reasons if row.reason is None),
        differing=sum(row.differing for row in reasons),
        features=len(SERVICE_FEATURES),
        mismatches={row.feature: row["count"] for row in counted},
        examples=tuple(_example(row.feature, *row.example) for row in counted),
        skipped={row.reason: row["count"] for row in reasons if row.reason is not None},
        diagnosis=dict(diagnosis.most_common()),
    )


def _example(feature: str, score_id: str, served: str, recomputed: str) -> str:
    return f"{feature} served {served}, recomputed {recomputed} (score {score_id})"


# -- what a diagnosis needs -----------------------------------------------------------------------


def _rows_of(
    spark: SparkSession, lake: Lake, scores: DataFrame, history: History, worst: Sequence[Any]
) -> list[dict]:
    """Of each of these scores what it carries, the events it had to know and its shopper's stored rows."""
    if not worst:
        return []
    mine = scores.where(F.col("score_id").isin(*(row.score_id for row in worst)))
    asked = job.asked(spark, lake, mine, served_over_time(history)).cache()
    events: dict[str, list[KnownEvent]] = {row.score_id: [] for row in worst}
    known = job.known_events(spark, lake, asked).withColumn("event_time", F.unix_micros("event_time"))
    for event in known.orderBy("event_time").select("score_id", *KnownEvent._fields).toLocalIterator():
        events[event.score_id].append(KnownEvent(*event[1:]))
    with_times = asked.withColumn("as_of", F.unix_micros("as_of"))
    carried = {row.score_id: row.asDict() for row in with_times.collect()}
    asked.unpersist()
    stored = _stored_rows(spark, lake, {row["user_id"] for row in carried.values()})
    return [
        {
            **carried[row.score_id],
            "events": events[row.score_id],
            "stored": stored.get(carried[row.score_id]["user_id"], []),
            "differing": tuple(m.feature for m in row.mismatches),
        }
        for row in worst
    ]


def _stored_rows(spark: SparkSession, lake: Lake, shoppers: set[str]) -> dict[str, list[StoredRow]]:
    found: dict[str, list[StoredRow]] = {}
    for view in job.STORED:
        table = read_parts(spark, view, [lake.partition(view, part) for part in lake.parts(view)])
        mine = table.where(F.col("user_id").isin(*shoppers))
        for row in mine.withColumn("holds", F.unix_micros("event_timestamp")).toLocalIterator():
            found.setdefault(row.user_id, []).append(StoredRow(view, row.holds, row.asDict()))
    return found


def _case(history: History, row: dict) -> Case:
    served, _ = job.served_inputs(row["features"], bytes(row["inputs"]))
    then = in_service(history.materializations, row["scored_at"])
    return Case(
        score_id=row["score_id"],
        as_of=row["as_of"],
        covered_epoch=row["covered_epoch"],
        in_service_epoch=max((m.covered_epoch for m in then), default=0),
        served=served,
        differing=row["differing"],
        events=row["events"],
        stored=row["stored"],
    )
