"""Day facts to the profiles of the shoppers and items of some days.

Reads every earlier day's facts of the shoppers who were active: a row per shopper and day of activity, so
the cost grows with how often they came, not with how much they clicked.
"""

from collections.abc import Set

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.jobs.batch_rows import stamps_of, write_batch_rows
from spark_jobs.jobs.command import day_parser, days_between, execute
from spark_jobs.jobs.day_facts import ITEM as ITEM_FACTS
from spark_jobs.jobs.day_facts import USER as USER_FACTS
from spark_jobs.jobs.tables import read_days, require_published
from spark_jobs.lake import Lake, day_bounds, day_of
from spark_jobs.transforms.personas import PersonaCentres, persona_inputs, with_personas
from spark_jobs.transforms.profiles import item_profiles, targets_of, user_profiles
from spark_jobs.transforms.spans import until_day

USER, ITEM = "user_profile", "item_profile"
BUCKETS = 1_000_000


def run_users(
    spark: SparkSession,
    lake: Lake,
    days: list[str],
    clock: int,
    live: Set[str] = frozenset(),
    personas: PersonaCentres | None = None,
) -> dict:
    """Write candidates of `user_profile` for `days`.

    `clock`, microseconds UTC, is the instant of publication; `live` are the days on which events were
    posted while features were being served.
    """
    stamps = profile_stamps(spark, days, clock, live)
    facts, targets = facts_and_targets(spark, lake, USER_FACTS, "user_id", days, clock, stamps)
    active = facts.join(targets.select("user_id").distinct(), "user_id", "left_semi")
    rows = with_personas(user_profiles(active, targets), personas)
    return write_batch_rows(rows, lake, USER, days, stamps, clock).metadata()


def run_items(
    spark: SparkSession, lake: Lake, days: list[str], clock: int, live: Set[str] = frozenset()
) -> dict:
    """Write candidates of `item_profile` for `days`; as `run_users`."""
    stamps = profile_stamps(spark, days, clock, live)
    facts, targets = facts_and_targets(spark, lake, ITEM_FACTS, "item_id", days, clock, stamps)
    return write_batch_rows(item_profiles(facts, targets), lake, ITEM, days, stamps, clock).metadata()


def profile_stamps(spark: SparkSession, days: list[str], clock: int, live: Set[str]) -> DataFrame:
    return stamps_of(spark, days, clock, live).withColumn("until", until_day(F.col("as_of")))


def facts_and_targets(
    spark: SparkSession, lake: Lake, table: str, key: str, days: list[str], clock: int, stamps: DataFrame
) -> tuple[DataFrame, DataFrame]:
    require_published(lake, table, days)
    facts = read_days(spark, lake, table, "", max(max(days), day_of(clock)))
    asked = read_days(spark, lake, table, min(days), max(days))
    return facts, targets_of(asked, key, stamps)


def sample_of_persona_inputs(spark: SparkSession, lake: Lake, until: str, rows: int) -> DataFrame:
    """PERSONA_INPUTS of about `rows` shoppers at most, as of the end of day `until`; the same ones, by a
    hash, every time.
    """
    facts = read_days(spark, lake, USER_FACTS, "", until)
    share = min(1.0, rows / max(1, facts.select("user_id").distinct().count()))
    bucket = F.pmod(F.xxhash64("user_id"), F.lit(BUCKETS))
    facts = facts.where(bucket < round(share * BUCKETS))
    end = F.timestamp_micros(F.lit(day_bounds(until)[1]))
    targets = facts.select("user_id").distinct().withColumns({"as_of": end, "day": F.lit(until)})
    targets = targets.withColumn("until", until_day(F.col("as_of")))
    return persona_inputs(user_profiles(facts, targets)).orderBy("user_id")


def main() -> None:
    arguments = day_parser(__doc__)
    arguments.add_argument("--clock", required=True, type=int, help="now, microseconds since 1970")
    options = arguments.parse_args()
    days = days_between(options.day, options.to)

    def job(spark: SparkSession, lake: Lake) -> dict:
        users = run_users(spark, lake, days, options.clock)
        return {USER: users, ITEM: run_items(spark, lake, days, options.clock)}

    execute("profiles", options, job)


if __name__ == "__main__":
    main()
