import dagster as dg

from orchestration.quality import prediction_suites
from orchestration.quality.gate import to_asset_check_result, validate
from orchestration.resources import Platform
from spark_jobs.jobs.outcomes import days_to_join
from spark_jobs.jobs.tables import read_parts


@dg.asset_check(
    asset="score_log",
    blocking=True,
    description=(
        "Probabilities are probabilities, every score stands once and names a release. Looks at the days "
        "whose outcomes are to be joined; they are joined only if this holds."
    ),
)
def score_log_meets_its_contract(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    lake = platform.lake
    with lake.exclusive("score_log"):
        days = sorted(days_to_join(lake, lake.read_state("outcomes")))
        if not days:
            return dg.AssetCheckResult(passed=True, description="no scores since the last check")
        built = [listed.name for listed in platform.releases.glob("r-*")]
        rows = read_parts(platform.spark(), "score_log", [lake.partition("score_log", day) for day in days])
        return to_asset_check_result(validate(rows, prediction_suites.score_log(days[0], days[-1], built)))
