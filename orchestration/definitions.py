"""Everything Dagster knows: the assets, checks, jobs and sensors found under `defs/`."""

from orchestration.environment import confine

confine()

from pathlib import Path  # noqa: E402

import dagster as dg  # noqa: E402

from orchestration.columns import explained  # noqa: E402
from orchestration.resources import Platform  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    once = dict.fromkeys(found.assets or ())  # an asset that other modules import is found there, too
    return dg.Definitions(
        assets=[asset.map_asset_specs(explained) for asset in once],
        asset_checks=found.asset_checks,
        jobs=found.jobs,
        schedules=found.schedules,
        sensors=found.sensors,
        resources={"platform": Platform.from_environment()},
        executor=dg.in_process_executor,
    )
