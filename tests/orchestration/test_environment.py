import subprocess
import sys
from pathlib import Path

from orchestration.environment import MAX_TMPDIR_BYTES, ROOT, confined_environment

BYTECODE = "import os, sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
SHOW = "import os, tempfile; print(os.environ['DAGSTER_HOME']); print(tempfile.gettempdir())"


def shown(script: str = SHOW, **environment: str) -> list[str]:
    command = [sys.executable, "-m", "orchestration.environment", sys.executable, "-c", script]
    answer = subprocess.run(
        command, cwd=ROOT, env={"PATH": "", **environment}, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split("\n")[:2]


def test_every_folder_lies_in_the_checkout_or_the_state():
    root, state = Path("/checkout"), Path("/elsewhere")
    values = confined_environment(root, state).values()
    folders = {Path(value) for value in values if value.startswith("/")}
    inside_state = {folder for folder in folders if folder.is_relative_to(state)}
    assert inside_state == {state, state / "dagster"}
    assert all(folder.is_relative_to(root / ".cache") for folder in folders - inside_state)


def test_temporary_folder_too_deep_for_sockets_is_left_to_the_system():
    shallow, deep = Path("/checkout"), Path("/" + "x" * MAX_TMPDIR_BYTES)
    assert "TMPDIR" in confined_environment(shallow, shallow)
    assert "TMPDIR" not in confined_environment(deep, deep)


def test_command_runs_confined_with_a_dagster_home_that_keeps_no_id(tmp_path):
    home, temporary = shown(INTENT_STATE=str(tmp_path / "state"), TMPDIR=str(tmp_path / "scratch"))
    assert home == str(tmp_path / "state" / "dagster")
    assert temporary == str(tmp_path / "scratch")
    assert "telemetry:\n  enabled: false\n" in (Path(home) / "dagster.yaml").read_text()


def test_users_dagster_home_is_used_and_its_settings_are_left_alone(tmp_path):
    own = tmp_path / "own"
    home, _ = shown(INTENT_STATE=str(tmp_path / "state"), TMPDIR=str(tmp_path), DAGSTER_HOME=str(own))
    assert home == str(own)
    assert not list(own.iterdir())


def test_bytecode_is_kept_although_the_image_forbids_it(tmp_path):
    given = {"INTENT_STATE": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    assert shown(BYTECODE, **given)[0] == f"False {ROOT / '.cache' / 'bytecode'}"
