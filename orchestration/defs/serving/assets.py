import dagster as dg

from feature_repo.behavior import ACTIVITIES
from feature_repo.definitions.tables import VIEWS
from orchestration.defs.activity.assets import TABLES as ACTIVITY
from orchestration.defs.profiles.assets import VIEWS as PROFILES
from orchestration.defs.text.assets import VIEWS as EMBEDDINGS
from orchestration.defs.tiles.assets import TABLES as DAY_TILES
from orchestration.gated import contract_of, measure, publish_if_sound
from orchestration.in_service import (
    Materialization,
    imports_in_tiles,
    note_end,
    note_start,
    superseded_epoch,
)
from orchestration.quality import suites
from orchestration.resources import Platform
from orchestration.staleness import covered_epoch
from spark_jobs.jobs import serving_state as job
from spark_jobs.jobs.command import now_us
from spark_jobs.lake import CURRENT

STATE = {
    **{
        activity.tiles: f"The tiles of each {activity.noun} that some window still needs, in one row."
        for activity in ACTIVITIES
    },
    "session_state": "The running aggregates of each recent client session.",
}


@dg.multi_asset(
    name="serving_state",
    specs=[
        dg.AssetSpec(
            table,
            deps=[*DAY_TILES],
            group_name="serving",
            kinds={"spark", "feast"},
            owners=["team:data-platform"],
            description=f"{description} It says which epochs of the ledger it covers.",
        )
        for table, description in STATE.items()
    ],
    check_specs=contract_of(*STATE),
)
def serving_state(platform: dg.ResourceParam[Platform]):
    lake = platform.lake
    with lake.exclusive("tiles"):
        covered = covered_epoch(lake)
        as_of = lake.newest_event_time()
        imports = imports_in_tiles(lake)
        measured = measure(platform, job.run, as_of, covered, created_at=now_us())
    suite_of = {
        **{activity.tiles: suites.serving_tiles(activity) for activity in ACTIVITIES},
        "session_state": suites.session_state(),
    }
    yield from publish_if_sound(platform, suite_of, [CURRENT], {**measured, "covered epoch": covered})
    lake.write_state("serving", {"covered_epoch": covered, "imports": imports})


@dg.asset(
    deps=[*STATE, *ACTIVITY, *PROFILES, *EMBEDDINGS, "user_keywords"],
    group_name="serving",
    kinds={"feast", "redis"},
    owners=["team:data-platform"],
    description=(
        "Feast's online store: the newest row of every view in Redis. Live counters of epochs that an "
        "earlier materialization already covered are pruned behind it."
    ),
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def online_store(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):
    from orchestration.feature_store import apply_definitions, materialize

    store = platform.feature_store()
    apply_definitions(store, platform.lake.root)
    names = [view.name for view in VIEWS]
    base, clock = platform.lake.read_state("serving"), platform.clock()
    imports = tuple(base["imports"] if "imports" in base else imports_in_tiles(platform.lake))
    note_start(platform.lake, Materialization(now_us(), clock, base["covered_epoch"], imports))
    materialize(store, names, clock)
    note_end(platform.lake, now_us())
    pruned = platform.ledger.prune(superseded_epoch(platform.lake, platform.settings.tiles_kept))
    return dg.MaterializeResult(metadata={"views": ", ".join(names), "live keys pruned": pruned})
