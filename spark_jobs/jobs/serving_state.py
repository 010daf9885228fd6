"""Tiles to the snapshots that are materialized for serving, of every activity, and of sessions."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.behavior import ACTIVITIES, DEFINITIONS_HASH, HOPS_S, USER, WINDOWS
from feature_repo.windows import DAY_S, needed_since
from spark_jobs.jobs.command import execute, now_us, parser
from spark_jobs.jobs.tables import TilesNotKept, read_days, write_snapshot
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.contributions import micros
from spark_jobs.transforms.serving import entity_tiles, session_state, with_last_session

# Sessions with an event in this time are written anew: the week that live events may be late, and
# a day for the pause between two runs. Rows of older sessions stay in the online store as they
# are.
SESSION_REACH_S = 8 * DAY_S


def run(
    spark: SparkSession,
    lake: Lake,
    as_of: int,
    covered_epoch: int,
    *,
    created_at: int,
    session_reach_s: int = SESSION_REACH_S,
) -> dict:
    """Write candidates of the part `current` of each table, from all tiles published up to
    the day of `as_of` (microseconds UTC), which show the ledger up to `covered_epoch`; metadata by
    table. Raises TilesNotKept for an instant before the newest event, unless it is a day's last.
    """
    newest, last_of_day = lake.newest_event_time() or 0, day_bounds(day_of(as_of))[1] - 1
    if as_of < min(newest, last_of_day):
        raise TilesNotKept(
            f"--as-of {as_of} is before the newest event, and of such instants the shortest tiles are kept "
            f"only for a day's last: give {last_of_day}, or {newest} or later"
        )
    first = day_of(min(needed_since(WINDOWS, hop_s, as_of) for hop_s in HOPS_S))
    last = day_of(as_of)
    sessions = read_days(spark, lake, "session_day_tiles", "", last)
    recent = read_days(spark, lake, "session_day_tiles", first, last)
    snapshots = {
        **{
            activity.tiles: entity_tiles(
                read_days(spark, lake, activity.day_tiles, first, last), activity, as_of
            )
            for activity in ACTIVITIES
        },
        "session_state": session_state(sessions, as_of, session_reach_s),
    }
    snapshots[USER.tiles] = with_last_session(snapshots[USER.tiles], recent)
    return {
        table: write_snapshot(stamped(rows, as_of, created_at, covered_epoch), lake, table).metadata()
        for table, rows in snapshots.items()
    }


def stamped(rows: DataFrame, as_of: int, created_at: int, covered_epoch: int) -> DataFrame:
    return (
        rows.withColumn("event_timestamp", micros(F.lit(as_of)))
        .withColumn("created_timestamp", micros(F.lit(created_at)))
        .withColumn("covered_epoch", F.lit(covered_epoch))
        .withColumn("definitions_hash", F.lit(DEFINITIONS_HASH))
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--as-of", type=int, help="microseconds UTC; default: the newest event")
    options = arguments.parse_args()

    def job(spark: SparkSession, lake: Lake) -> dict:
        as_of = options.as_of or lake.newest_event_time() or now_us()
        return run(spark, lake, as_of, lake.landed_epoch(), created_at=now_us())

    execute("serving_state", options, job)


if __name__ == "__main__":
    main()
