"""What the command line does with the platform: the same jobs that Dagster's UI runs, in this process."""

from datetime import date

import dagster as dg
import pyarrow.parquet as pq

from orchestration import releases
from orchestration.defs.ledger.assets import landed_events
from orchestration.resources import Platform
from orchestration.staleness import stale_days
from spark_jobs.lake import Lake

# Of a run's log only what the assets say themselves; the whole is in Dagster's UI.
INFO_LINES = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}


class JobFailed(RuntimeError):
    """A Dagster run failed; the message is the first failed step's."""


def materialize_days(first: str | None, last: str | None) -> dict:
    """Land, run the days, put them into service, and build a release where none is served yet."""
    first, last = (day and parse_day(day) for day in (first, last))
    platform = Platform.from_environment()
    platform.ledger.recover_pending()  # a Redis that is down is told before anything is run
    instance = dg.DagsterInstance.get()
    runs: dict[str, str] = {}

    def finished(name: str, result: dg.ExecuteInProcessResult) -> None:
        runs[name] = result.run_id
        if not result.success:
            raise JobFailed(first_failure(result))

    def land(name: str, *assets: dg.AssetsDefinition) -> None:
        result = dg.materialize(
            assets,
            instance=instance,
            resources={"platform": platform},
            run_config=INFO_LINES,
            raise_on_error=False,
        )
        finished(name, result)

    land("landing", landed_events)
    # Loaded only now: on the event clock the partitions end with the newest day that has landed.
    from orchestration.definitions import defs
    from orchestration.defs.monitoring.assets import feedback, score_log
    from orchestration.partitions import range_tags

    land("scores", score_log, feedback)

    definitions = defs()

    def run(job: str, tags: dict[str, str] | None = None) -> None:
        job_definition = definitions.resolve_job_def(job)
        result = job_definition.execute_in_process(
            instance=instance, tags=tags or {}, run_config=INFO_LINES, raise_on_error=False
        )
        finished(job, result)

    days = days_asked(platform, first, last)
    if days:
        run("daily", range_tags(days[0], days[-1]))
        run("serving")
    if releases.served(platform) is None:
        run("training")
    pointer = releases.served(platform)
    return {
        "days": days,
        "covered_epoch": platform.lake.read_state("serving").get("covered_epoch", 0),
        "rows": {table: rows(platform.lake, table) for table in SHOWN},
        "release": pointer.id if pointer else None,
        "runs": runs,
    }


SHOWN = (
    "user_activity",
    "item_activity",
    "session_activity",
    "user_profile",
    "user_intent_embedding",
    "user_tiles",
)


def days_asked(platform: Platform, first: str | None, last: str | None) -> list[str]:
    """The days to run: those asked for that have events, or those whose events no table has seen."""
    with_events = list(platform.lake.ledger_days())
    if not with_events:
        raise ValueError("the lake has no events: `intent import` a log or post some to the API first")
    if first is None and last is None:
        return stale_days(platform.lake)
    first, last = first or with_events[0], last or with_events[-1]
    days = [day for day in with_events if first <= day <= last]
    if not days:
        raise ValueError(
            f"no events from {first} to {last}: the lake has {with_events[0]} to {with_events[-1]}"
        )
    return days


def parse_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text} is not a day such as 2019-10-01") from None


def rows(lake: Lake, table: str) -> int:
    """The rows a table has published, from the footers of its files."""
    return sum(
        pq.read_metadata(path).num_rows
        for part in lake.parts(table)
        for path in lake.partition(table, part).glob("*.parquet")
    )


def first_failure(result: dg.ExecuteInProcessResult) -> str:
    event = next(e for e in result.all_events if e.is_step_failure)
    error = event.event_specific_data.error
    while error.cause is not None:
        error = error.cause
    name, _, message = error.message.strip().partition(": ")
    return f"{event.step_key}: {message if name.endswith('Failure') else f'{name}: {message}'}"
