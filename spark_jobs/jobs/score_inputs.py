"""What each logged score had to be given, recomputed from the lake's Parquet, as known when it was made.

Events of the live log count up to the ledger position that the score carries, imported ones if they were in
service, stored rows if a materialization had brought them into service. Of each score one row: why it
cannot be judged, or the features in which the served input differs.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import (
    DEFINITIONS_HASH,
    EMBEDDING_DIM,
    SERVICE_FEATURES,
    SESSION_ACTIVITY,
    USER,
    USER_ACTIVITY,
    VIEW_TTL_S,
)
from feature_repo.feature import Feature
from feature_repo.windows import US
from spark_jobs.jobs.activity import reach
from spark_jobs.jobs.tables import LEDGER, SCHEMAS, ddl, read_days, read_ledger, read_parts
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.contributions import event_contributions
from spark_jobs.transforms.flags import with_amount
from spark_jobs.transforms.point_in_time import window_values_at
from spark_jobs.transforms.session_history import session_rows

FLOAT_TOLERANCE = 1e-6

SCORES = ddl(
    [
        *((name, "string") for name in ("score_id", "user_id", "session_id", "definitions_hash")),
        *((name, "string") for name in ("encoder_revision", "features")),
        ("as_of", "timestamp"),
        ("inputs", "binary"),
        ("as_of_exact", "boolean"),
        *((name, "bigint") for name in ("covered_epoch", "ledger_shard", "ledger_epoch", "ledger_seq")),
        *((name, "bigint") for name in ("session_epoch", "session_seq", "scored_at")),
    ]
)
STORED = {
    view: tuple(f.name for f in SERVICE_FEATURES if f.view == view)
    for view in dict.fromkeys(f.view for f in SERVICE_FEATURES if f.source == "batch")
}
REVISION = "encoder_revision"
_FEATURE = {f.reference: f for f in SERVICE_FEATURES}

JUDGED = (
    "score_id string, reason string, mismatches array<struct<feature:string,served:string,recomputed:string>>"
)
NO_POSITION = "no ledger position was logged"
OTHER_DEFINITIONS = "other definitions"
INEXACT = "as_of before events already known"
NOT_LANDED = "events not landed yet"
RENEWED = "its stored row has been computed anew since"


class Served(NamedTuple):
    """What was in service over a stretch of the wall's clock, in microseconds. `imports`: epochs of imports,
    and `<epoch>/<day>` where only some of its days were; `clocks`: up to which instant stored rows were in
    service, several where a materialization was under way. `reason`: why it cannot be known."""

    since: int
    until: int
    imports: list[str]
    clocks: list[int]
    reason: str | None = None


def logged_scores(spark: SparkSession, lake: Lake, day: str) -> DataFrame:
    return spark.read.schema(SCORES).parquet(str(lake.partition("score_log", day)))


def judged(spark: SparkSession, lake: Lake, scores: DataFrame, served: Sequence[Served]) -> DataFrame:
    """A row a score, as JUDGED: `reason` to leave it out, or its mismatches, none if it is right."""
    rows = recomputed(spark, lake, asked(spark, lake, scores, served))
    columns = [*(f.name for f in (*USER_ACTIVITY, *SESSION_ACTIVITY)), *STORED]
    as_of = F.unix_micros("as_of").alias("as_of")
    return rows.select(*CARRIED, as_of, *columns).mapInArrow(_judge, JUDGED)


CARRIED = ("score_id", "encoder_revision", "features", "inputs", "reason", "clocks")


def asked(spark: SparkSession, lake: Lake, scores: DataFrame, served: Sequence[Served]) -> DataFrame:
    """The scores with what was in service then, and the `reason` for which one cannot be judged."""
    then = scores.join(_stretches(spark, served), _served_then(), "left")
    return with_reason(then, _landed(spark, lake))


# -- what was known -------------------------------------------------------------------------------


def _stretches(spark: SparkSession, served: Sequence[Served]) -> DataFrame:
    schema = "since bigint, until bigint, imports array<string>, clocks array<bigint>, why string"
    return F.broadcast(spark.createDataFrame([tuple(s) for s in served], schema))


def _served_then() -> Column:
    return (F.col("scored_at") >= F.col("since")) & (F.col("scored_at") < F.col("until"))


class Landed(NamedTuple):
    """`epoch`: the newest of the live log that has events; `seqs`: the place of the last event by shard."""

    epoch: int
    seqs: dict[int, int]


def _landed(spark: SparkSession, lake: Lake) -> Landed:
    files = [str(lake.root / f.path) for c in lake.commits() if c.kind == "stream" for f in c.files]
    if not files:
        return Landed(0, {})
    seqs = spark.read.parquet(*files).groupBy("shard").agg(F.max("seq").alias("seq")).collect()
    return Landed(lake.landed_epoch(), {row.shard: row.seq for row in seqs})


def with_reason(scores: DataFrame, landed: Landed) -> DataFrame:
    seqs = F.create_map(*(F.lit(x) for pair in landed.seqs.items() for x in pair)) if landed.seqs else None
    last_seq = F.lit(0) if seqs is None else F.coalesce(seqs[F.col("ledger_shard").cast("int")], F.lit(0))
    waits = (F.col("session_epoch") > landed.epoch) & (F.col("session_seq") > last_seq)
    reasons = (
        (F.col("definitions_hash") != DEFINITIONS_HASH, F.lit(OTHER_DEFINITIONS)),
        (~F.col("as_of_exact"), F.lit(INEXACT)),
        (F.col("ledger_seq").isNull(), F.lit(NO_POSITION)),
        (F.col("why").isNotNull(), F.col("why")),
        (waits, F.lit(NOT_LANDED)),
    )
    return scores.withColumn("reason", F.coalesce(*(F.when(holds, why) for holds, why in reasons)))


def known_events(spark: SparkSession, lake: Lake, wanted: DataFrame) -> DataFrame:
    """The personal events of each score's shopper that it had to know: the ledger's columns, `score_id`,
    `of_shopper` (known when the shopper was read), `of_session` (of the session, and known when that was)."""
    imported = [c.epoch for c in lake.commits() if c.kind == "import"]
    scores = wanted.where("reason is null").select(
        "score_id", "user_id", F.col("session_id").alias("asked_session"), "as_of", "imports",
        "ledger_shard", "ledger_epoch", "ledger_seq", "session_epoch", "session_seq",
    )  # fmt: skip
    days = _days_asked(spark, lake, wanted)
    files = lake.ledger_files(days)
    ledger = with_amount(read_ledger(spark, lake, days) if files else spark.createDataFrame([], LEDGER))
    by_import = F.col("epoch").isin(*imported) if imported else F.lit(False)
    day = F.date_format("event_time", "yyyy-MM-dd")
    in_service = F.array_contains("imports", F.col("epoch").cast("string")) | F.array_contains(
        "imports", F.concat_ws("/", "epoch", day)
    )

    def upto(epoch: str, seq: str) -> Column:
        before = F.col("epoch") < F.col(epoch)
        posted = before | ((F.col("epoch") == F.col(epoch)) & (F.col("seq") <= F.col(seq)))
        return F.when(by_import, in_service).otherwise(posted)

    in_session = F.col("session_id") == F.col("asked_session")
    return (
        ledger.where("personal")
        .join(scores, "user_id")
        .where(F.col("event_time") <= F.col("as_of"))
        .withColumn("of_shopper", upto("ledger_epoch", "ledger_seq"))
        .withColumn("of_session", F.coalesce(in_session & upto("session_epoch", "session_seq"), F.lit(False)))
        .where("of_shopper or of_session")
    )


def _days_asked(spark: SparkSession, lake: Lake, wanted: DataFrame) -> list[str]:
    """The days with events that any window or session of these scores reaches."""
    at_us = F.unix_micros("as_of")
    first, last = wanted.where("reason is null").agg(F.min(at_us), F.max(at_us)).first()
    if first is None:
        return []
    earliest = day_of(reach(day_bounds(day_of(first))[0]))
    days = [day for day in lake.ledger_days() if earliest <= day <= day_of(last)]
    older = read_days(spark, lake, "session_day_tiles", "", day_of(day_bounds(earliest)[0] - 1))
    sessions = wanted.where("reason is null").select("user_id", "session_id").distinct()
    begun = older.join(sessions, ["user_id", "session_id"]).select(F.date_format("start", "yyyy-MM-dd"))
    return [*(row[0] for row in begun.distinct().collect()), *days]


# -- what the inputs had to be --------------------------------------------------------------------


def recomputed(spark: SparkSession, lake: Lake, wanted: DataFrame) -> DataFrame:
    """The scores with a column for each windowed and session feature, and one of each view of stored rows:
    an array of the rows that may have been in service. Null: nothing was known, defaults count."""
    events = known_events(spark, lake, wanted)
    rows = wanted.join(_windows(wanted, events), "score_id", "left")
    rows = rows.join(_sessions(spark, events, wanted), "score_id", "left")
    for view, names in STORED.items():
        rows = rows.join(_stored(spark, lake, wanted, view, names), "score_id", "left")
    return rows


def _windows(wanted: DataFrame, events: DataFrame) -> DataFrame:
    """As if each score were a shopper of its own."""
    own = F.col("score_id").alias("user_id")
    history = event_contributions(events.where("of_shopper").withColumn("user_id", own), USER)
    instants = wanted.where("reason is null").select(own, F.col("as_of").alias("event_timestamp"))
    values = window_values_at(instants, history, USER)
    return values.withColumnRenamed("user_id", "score_id").drop("event_timestamp")


def _sessions(spark: SparkSession, events: DataFrame, wanted: DataFrame) -> DataFrame:
    """The session's newest row, as long as it counts."""
    of_scores = events.where("of_session").withColumn("user_id", F.col("score_id"))
    no_tiles = spark.createDataFrame([], SCHEMAS["session_day_tiles"])
    rows = session_rows(of_scores, no_tiles, 0).withColumnRenamed("user_id", "score_id")
    names = [f.name for f in SESSION_ACTIVITY]
    newest = rows.groupBy("score_id").agg(
        F.max_by(F.struct(*names), "event_timestamp").alias("newest"),
        F.max("event_timestamp").alias("last_event"),
    )
    lasts = F.unix_micros("as_of") - F.unix_micros("last_event") <= VIEW_TTL_S["session_activity"] * US
    return (
        newest.join(wanted.select("score_id", "as_of"), "score_id")
        .where(lasts)
        .select("score_id", *(F.col(f"newest.{name}").alias(name) for name in names))
    )


def _stored(spark: SparkSession, lake: Lake, wanted: DataFrame, view: str, names: Sequence[str]) -> DataFrame:
    """Of each score an array, a struct for each of its `clocks`: the shopper's newest row by then, and
    whether rows that were computed later stand in its place now."""
    extra = (REVISION,) if view == "user_intent_embedding" else ()
    computed, holds = F.unix_micros("created_timestamp"), F.unix_micros("event_timestamp")
    content = F.struct(holds.alias("holds"), *names, *extra)
    clocks = wanted.where("reason is null").select("score_id", "user_id", F.explode("clocks").alias("clock"))
    rows = read_parts(spark, view, [lake.partition(view, part) for part in lake.parts(view)])
    by_then = computed <= F.col("clock")
    newest = (
        clocks.join(rows, "user_id")
        .where(holds <= F.col("clock"))
        .groupBy("score_id", "clock")
        .agg(
            F.max_by(content, F.when(by_then, F.struct(holds, computed))).alias("row"),
            F.max(F.when(~by_then, holds)).alias("later"),
        )
    )
    held = F.coalesce(F.col("row.holds"), F.lit(0))
    renewed = F.coalesce(F.col("later") >= held, F.lit(False))
    return newest.groupBy("score_id").agg(
        F.collect_list(F.struct("row", renewed.alias("renewed"))).alias(view)
    )


# -- served against recomputed --------------------------------------------------------------------

Values = dict[str, Any]
_MISMATCH = pa.struct([(name, pa.string()) for name in ("feature", "served", "recomputed")])
_JUDGED_ARROW = pa.schema(
    [("score_id", pa.string()), ("reason", pa.string()), ("mismatches", pa.list_(_MISMATCH))]
)
_OF_VIEW = {
    view: [f for f in SERVICE_FEATURES if f.view == view]
    for view in dict.fromkeys(f.view for f in SERVICE_FEATURES)
}


def _judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pylist([_judgement(row) for row in batch.to_pylist()], _JUDGED_ARROW)


def _judgement(row: Values) -> Values:
    reason, mismatches = row["reason"], []
    if reason is None:
        served, used = served_inputs(row["features"], row["inputs"])
        for view in _OF_VIEW:
            alternatives, renewed = _may_have_been(view, row, any(used))
            differing = min((_differences(served, right) for right in alternatives), key=len)
            if differing and renewed:
                reason = RENEWED
            else:
                mismatches += differing
    return {"score_id": row["score_id"], "reason": None if mismatches else reason, "mismatches": mismatches}


def served_inputs(features: str, inputs: bytes) -> tuple[Values, list[bool]]:
    """What the model was given, by reference: declared defaults in the place of what it did not read."""
    values, used = msgspec.msgpack.decode(inputs)
    references = features.split(" ")
    given = {
        reference: input_of(_FEATURE[reference], value if was_used else None)
        for reference, value, was_used in zip(references, values, used, strict=True)
    }
    return given, used


def input_of(feature: Feature, value: Any) -> Any:
    if feature.dtype != "vector":
        return feature.default if value is None else value
    if isinstance(value, bytes):
        return np.frombuffer(value, dtype="<f4").tolist()
    return [0.0] * EMBEDDING_DIM if value is None else value


def _may_have_been(view: str, row: Values, known: bool) -> tuple[list[Values], bool]:
    """What the view's inputs may rightly have been, and whether that cannot be told any more."""
    if view not in STORED:
        return [_inputs(view, row)], False
    stored = row[view] or []
    found = [_inputs(view, s["row"] if _counts(view, s["row"], row) else {}) for s in stored]
    if len(stored) < len(row["clocks"] or ()) or not found or (view == "user_profile" and not known):
        found.append(_inputs(view, {}))  # no row yet, or of a shopper of whom nothing else was known
    return found, any(s["renewed"] for s in stored)


def _counts(view: str, stored: Values | None, row: Values) -> bool:
    if stored is None or stored["holds"] > row["as_of"]:
        return False
    if stored.get(REVISION, row[REVISION]) != row[REVISION]:
        return False
    ttl_s = VIEW_TTL_S[view]
    return ttl_s is None or row["as_of"] - stored["holds"] <= ttl_s * US


def _inputs(view: str, row: Values) -> Values:
    return {f.reference: input_of(f, row.get(f.name)) for f in _OF_VIEW[view]}


def _differences(served: Values, right: Values) -> list[Values]:
    return [
        {"feature": name, "served": shown(served[name]), "recomputed": shown(value)}
        for name, value in right.items()
        if not equal(_FEATURE[name], served[name], value)
    ]


def equal(feature: Feature, left: Any, right: Any) -> bool:
    """Integers exactly, floats within FLOAT_TOLERANCE."""
    if feature.dtype == "int64":
        return left == right
    if feature.dtype == "float64":
        return abs(left - right) <= FLOAT_TOLERANCE
    return len(left) == len(right) and bool(np.allclose(left, right, rtol=0, atol=FLOAT_TOLERANCE))


def shown(value: Any) -> str:
    return f"{value[:3]}…" if isinstance(value, list) else str(value)
