"""Everything Dagster knows: the assets, checks, jobs and sensors found under `defs/`."""

from orchestration.environment import confine

confine()

from pathlib import Path  # noqa: E402

import dagster as dg  # noqa: E402

from orchestration.resources import Platform  # noqa: E402


@dg.definitions
def defs() -> dg.Definitions:
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    platform = Platform.from_environment()
    return dg.Definitions.merge(
        found,
        dg.Definitions(
            resources={"platform": platform},
            executor=dg.in_process_executor,
        ),
    )
