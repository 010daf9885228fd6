"""Sessions of shoppers who send no session id, cut where nothing happens for a while."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_repo.windows import DAY_US, US


def with_sessions(events: DataFrame, gap_s: int) -> DataFrame:
    """Adds `session_key`: the client's session id, else `gap:<first event of the run, µs>`.

    A run is of events of one shopper and one consent without a session id, in which no pause exceeds
    `gap_s`. Its first event is looked for back to the start of the day before the event, so that a
    day needs one day before it, and its keys do not depend on what else is computed beside it.
    """
    of_shopper = ["user_id", "consent", F.col("session_id").isNull()]
    in_order = Window.partitionBy(*of_shopper).orderBy("at_us")
    of_run = Window.partitionBy(*of_shopper, "run").orderBy("day_number").rangeBetween(-1, 0)
    pause = F.col("at_us") - F.lag("at_us").over(in_order)
    starts_run = (pause.isNull() | (pause > gap_s * US)).cast("int")
    return (
        events.withColumn("at_us", F.unix_micros("event_time"))
        .withColumn("day_number", F.floor(F.col("at_us") / F.lit(DAY_US)).cast("bigint"))
        .withColumn("starts_run", starts_run)
        .withColumn("run", F.sum("starts_run").over(in_order))
        .withColumn("run_start", F.min("at_us").over(of_run))
        .withColumn("session_key", F.coalesce("session_id", F.concat(F.lit("gap:"), "run_start")))
        .drop("at_us", "day_number", "starts_run", "run", "run_start")
    )
