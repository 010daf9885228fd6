"""Training rows: what a shopper did after each instant of a session.

A row stands at every distinct instant of a shopper's session. Its labels look strictly after the
instant and at most `LOOK_AHEAD_S` further:

    purchase, add_to_cart   by horizon `session`: the session has such an event;
                            by horizon `day`: the shopper has one, in this session or another
    leave                   the session has no event at all

A row is kept only when the log shows its labels whole: it goes on for LOOK_AHEAD_S after the
instant, or, by horizon `session`, for at least the session gap after the session's last event. One
training set has one horizon; `horizon_of_log` takes the day wherever the log is long enough to keep
most of its rows.
"""

from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.behavior import SESSION_GAP_S
from feature_repo.windows import DAY_S, US

Horizon = Literal["session", "day"]
LOOK_AHEAD_S = DAY_S
DAY_HORIZON_FROM_LOG_S = 3 * DAY_S
OUTCOMES = ("purchase", "add_to_cart")


def horizon_of_log(first_us: int, last_us: int) -> Horizon:
    return "day" if last_us - first_us >= DAY_HORIZON_FROM_LOG_S * US else "session"


def training_labels(events: DataFrame, horizon: Horizon, log_end_us: int) -> DataFrame:
    """Rows of user_id, session_id ("" without a client's), session_key, event_timestamp, the three
    labels as 0 or 1, and horizon. `events` are clean events; those of shoppers flagged as bots
    make no rows.

    Rows in the last LOOK_AHEAD_S of `events` need the events after them: a caller who wants some
    days passes one more and keeps the days.
    """
    session = ["user_id", "session_key"]
    at_us = F.col("at_us")
    until = at_us + F.lit(LOOK_AHEAD_S * US)
    later_of = session if horizon == "session" else ["user_id"]
    marked = events.where("personal").withColumn("at_us", F.unix_micros("event_time"))
    for outcome in OUTCOMES:
        moment = F.when(F.col("event_type") == outcome, at_us)
        marked = marked.withColumn(outcome, next_after(moment, later_of) <= until)
    last_of_session = F.max("at_us").over(Window.partitionBy(*session))
    known = at_us <= log_end_us - LOOK_AHEAD_S * US
    if horizon == "session":
        known = known | (F.col("last_us") <= log_end_us - SESSION_GAP_S * US)
    return (
        marked.withColumn("leave", ~F.coalesce(next_after(at_us, session) <= until, F.lit(False)))
        .withColumn("last_us", last_of_session)
        .where(~F.col("is_bot") & known)
        .groupBy(*session, F.col("event_time").alias("event_timestamp"))
        .agg(
            F.coalesce(F.first("session_id"), F.lit("")).alias("session_id"),
            *(as_int(F.max(F.coalesce(o, F.lit(False)))).alias(o) for o in OUTCOMES),
            as_int(F.max("leave")).alias("leave"),
        )
        .withColumn("horizon", F.lit(horizon))
    )


def next_after(moment: Column, partition: list[str]) -> Column:
    """The earliest `moment` later than the row's instant. Backwards in time the frame only grows,
    so the answer is kept up to date instead of searched for at each row.
    """
    later = (
        Window.partitionBy(*partition)
        .orderBy(F.col("at_us").desc())
        .rangeBetween(Window.unboundedPreceding, -1)
    )
    return F.min(moment).over(later)


def as_int(holds: Column) -> Column:
    return holds.cast("int")
