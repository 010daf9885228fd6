"""The arrows between the rooms, transitively."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("feature_repo", "spark_jobs", "models", "online_api", "orchestration")
MAY_IMPORT = {
    "feature_repo": {"feature_repo"},
    "spark_jobs": {"spark_jobs", "feature_repo"},
    "models": {"models", "feature_repo"},
    "online_api": {"online_api", "feature_repo", "models"},
    "orchestration": set(ROOMS),
}
HEAVY = {"feast", "torch", "pyspark", "dagster", "pandas", "transformers", "mlflow", "great_expectations"}
LIGHT_CONTRACT = {
    "feature_repo.events",
    "feature_repo.aggregates",
    "feature_repo.sketch",
    "feature_repo.tiles",
    "feature_repo.windows",
    "feature_repo.behavior",
    "feature_repo.feature",
    "feature_repo.profiles",
    "feature_repo.sequence",
    "feature_repo.definitions",
    "feature_repo.definitions.tables",
}


def modules() -> dict[str, Path]:
    found = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


MODULES = modules()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_arrows_allow(room):
    wrong = [
        f"{name} imports {target}"
        for name, path in MODULES.items()
        if name.split(".")[0] == room
        for target in imported(path)
        if target.split(".")[0] in ROOMS and target.split(".")[0] not in MAY_IMPORT[room]
    ]
    assert not wrong


def test_dagster_appears_only_in_orchestration():
    users = {
        name.split(".")[0]
        for name, path in MODULES.items()
        if any(target.split(".")[0] == "dagster" for target in imported(path))
    }
    assert users == {"orchestration"}


def test_serving_reaches_nothing_heavy_by_any_path():
    waiting, reached, heavy = ["online_api.server", "online_api.app"], set(), {}
    while waiting:
        name = waiting.pop()
        if name in reached or name not in MODULES:
            continue
        reached.add(name)
        for target in imported(MODULES[name]):
            if target.split(".")[0] in HEAVY:
                heavy[name] = target
            waiting.append(target)
    assert not heavy
    ours = {name for name in reached if name.split(".")[0] in ("feature_repo", "models")}
    assert {n for n in ours if n.startswith("feature_repo.")} <= LIGHT_CONTRACT
    assert all(n.startswith("models.runtime") or n == "models" for n in ours if n.startswith("models"))
