from pathlib import Path

import dagster as dg
import msgspec

from models.document import markdown
from models.runtime.stage import DECLARED, StageModel
from models.stage.evaluation import evaluate_stages, stage_section
from models.stage.fit import LATER_SHARE, fit_stages
from models.stage.sessions import read_sessions
from orchestration import releases
from orchestration.defs.events.assets import clean_events
from orchestration.defs.training.assets import labelled_days
from orchestration.importing import TRUTH
from orchestration.resources import Platform
from spark_jobs.lake import write_atomically

# Read into memory; more does not change the parameters.
MAX_EVENTS = 200_000


@dg.asset(
    deps=[clean_events],
    group_name="release",
    kinds={"python", "json"},
    owners=["team:machine-learning"],
    description=(
        "The hidden Markov model that follows a session's stage event by event. Its parameters are declared, "
        "and refined without labels on the newest days where that explains later sessions better. Where a "
        "simulation wrote the log, its stages are compared with the simulated truth."
    ),
)
def stage_model(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:
    lake = platform.lake
    days = labelled_days(lake)
    folders = lake.partitions("clean_events", days[0], days[-1])
    sessions = read_sessions([f for folder in folders for f in sorted(folder.glob("*.parquet"))], MAX_EVENTS)
    fit = fit_stages(sessions)
    content = msgspec.json.format(msgspec.json.encode(fit.parameters), indent=1)
    releases.stage_file(platform).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(releases.stage_file(platform), content)
    report = None
    truth = lake.read_state(TRUTH).get("stages")
    if truth is not None and Path(truth).exists():
        models = {"declared": StageModel(DECLARED), "as served": StageModel(fit.parameters)}
        later = sessions[len(sessions) - int(len(sessions) * LATER_SHARE) :]
        report = evaluate_stages(models, later, Path(truth))
    section = stage_section(fit, report)
    releases.write_section(platform, "stage", section)
    return dg.MaterializeResult(
        metadata={
            "sessions": fit.sessions,
            "parameters": fit.parameters.origin,
            "inferred stages": dg.MetadataValue.md(markdown(section)),
        }
    )
