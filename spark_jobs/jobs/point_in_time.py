"""Every windowed feature at given (entity, time) rows, for training sets of any size."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feature_repo.aggregates import Activity
from feature_repo.behavior import ACTIVITIES, USER
from feature_repo.windows import DAY_US
from spark_jobs.jobs.activity import tiles_before
from spark_jobs.jobs.command import execute, parser
from spark_jobs.jobs.tables import NoEvents, read_days, require_published
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.contributions import micros
from spark_jobs.transforms.point_in_time import history_before, window_values_at


def run(spark: SparkSession, lake: Lake, rows_path: Path, out: Path, *, activity: Activity = USER) -> dict:
    """Read rows (Parquet, or CSV with a header) that have the activity's keys and `event_timestamp`,
    and write them to the folder `out` with a column per windowed feature. Reads the clean events
    of the rows' days and the tiles before these. Raises NoEvents when there is no row.
    """
    rows = read_rows(spark, rows_path)
    at_us = F.unix_micros("event_timestamp")
    first, last = rows.agg(F.min(at_us), F.max(at_us)).first()
    if first is None:
        raise NoEvents(f"{rows_path} has no row with an event_timestamp")
    first_us = day_bounds(day_of(first))[0]
    days = [day_of(us) for us in range(first_us, last + 1, DAY_US)]
    require_published(lake, "clean_events", days)
    events = read_days(spark, lake, "clean_events", min(days), max(days))
    tiles = tiles_before(spark, lake, activity.day_tiles, first_us)
    history = history_before(events, tiles, activity, first_us)
    window_values_at(rows, history, activity).write.mode("overwrite").parquet(str(out))
    return {"first_day": days[0], "last_day": days[-1], "out": str(out)}


def read_rows(spark: SparkSession, path: Path) -> DataFrame:
    if path.suffix == ".csv":
        rows = spark.read.option("header", True).csv(str(path))
    else:
        rows = spark.read.parquet(str(path))
    moment = F.col("event_timestamp")
    if dict(rows.dtypes)["event_timestamp"] == "bigint":
        moment = micros(moment)
    return rows.withColumn("event_timestamp", moment.cast("timestamp"))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rows", required=True, type=Path, help="Parquet folder or CSV file")
    arguments.add_argument("--out", required=True, type=Path, help="folder to write")
    by_name = {activity.name: activity for activity in ACTIVITIES}
    arguments.add_argument("--activity", choices=tuple(by_name), default=USER.name)
    options = arguments.parse_args()
    execute(
        "point_in_time",
        options,
        lambda spark, lake: run(spark, lake, options.rows, options.out, activity=by_name[options.activity]),
    )


if __name__ == "__main__":
    main()
