"""What came after each score: the labels of training, asked of the instants that were served.

A score belongs to the session it names; one that names none to the session of the shopper's newest event,
or of the next one, if that is no further than the session gap. Where there is neither, nothing followed.
A label is known once the log shows it whole, as for training rows; until then it is null.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.behavior import SESSION_GAP_S
from feature_repo.windows import US
from spark_jobs.transforms.labels import LOOK_AHEAD_S, OUTCOMES, as_int, next_after

SESSION = ["user_id", "session_key"]
LABELS = (*OUTCOMES, "leave")


def score_outcomes(scores: DataFrame, events: DataFrame) -> DataFrame:
    """`scores` with session_key, is_bot, known and LABELS (0, 1 or, while not known, null).

    `scores` have score_id, user_id, session_id (null: none named), as_of, `horizon` (session or day: how
    far the labels of their release looked) and `known_until_us`, up to which `events` show the log.
    `events` are clean events from the day before the first score to LOOK_AHEAD_S after the last.
    """
    at_us, is_event = F.col("at_us"), F.col("score_id").isNull()
    until = at_us + F.lit(LOOK_AHEAD_S * US)
    points = with_sessions_of_scores(_points(scores, events))
    labelled = points.withColumns(
        {
            "followed": next_after(F.when(is_event, at_us), SESSION) <= until,
            "last_us": F.max(F.when(is_event, at_us)).over(Window.partitionBy(*SESSION)),
            "is_bot": F.coalesce(F.max("is_bot").over(Window.partitionBy(*SESSION)), F.lit(False)),
            **{
                f"{outcome}_by_{horizon}": next_after(F.when(F.col("event_type") == outcome, at_us), keys)
                <= until
                for outcome in OUTCOMES
                for horizon, keys in (("session", SESSION), ("day", ["user_id"]))
            },
        }
    )
    by_session = F.col("horizon") == "session"
    ended = F.greatest("last_us", at_us) <= F.col("known_until_us") - F.lit(SESSION_GAP_S * US)
    known = (until <= F.col("known_until_us")) | (by_session & ended)
    return (
        labelled.where(~is_event)
        .withColumn("known", known)
        .withColumns(
            {
                o: _when_known(F.when(by_session, F.col(f"{o}_by_session")).otherwise(F.col(f"{o}_by_day")))
                for o in OUTCOMES
            }
        )
        .withColumn("leave", _when_known(~F.coalesce("followed", F.lit(False))))
        .select("score_id", "session_key", "is_bot", "known", *LABELS)
        .join(scores, "score_id")
    )


def with_sessions_of_scores(points: DataFrame) -> DataFrame:
    """Gives the scores that name no session that of an event near by."""
    in_order = Window.partitionBy("user_id").orderBy("at_us")
    event = F.when(F.col("score_id").isNull(), F.struct("at_us", "session_key"))
    gap_us = SESSION_GAP_S * US
    before = F.max(event).over(in_order.rangeBetween(-gap_us, 0))
    after = F.min(event).over(in_order.rangeBetween(1, gap_us))
    return (
        points.withColumn("before", before)
        .withColumn("after", after)
        .withColumn("session_key", F.coalesce("session_key", "before.session_key", "after.session_key"))
        .drop("before", "after")
    )


def _points(scores: DataFrame, events: DataFrame) -> DataFrame:
    """Events and scores on one line of time; `score_id` is null for events."""
    of_shoppers = events.where("personal").join(scores.select("user_id").distinct(), "user_id", "left_semi")
    return of_shoppers.select(
        "user_id", "session_key", F.unix_micros("event_time").alias("at_us"), "event_type", "is_bot"
    ).unionByName(
        scores.select(
            "score_id",
            "user_id",
            F.col("session_id").alias("session_key"),
            F.unix_micros("as_of").alias("at_us"),
            "horizon",
            "known_until_us",
        ),
        allowMissingColumns=True,
    )


def _when_known(holds):
    return F.when(F.col("known"), as_int(F.coalesce(holds, F.lit(False))))
