"""The README names every setting with its default, and every command."""

import re
from pathlib import Path

import pytest

from online_api.settings import VARIABLES, Settings

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
SETTINGS_ROW = re.compile(r"^\| `(INTENT_\w+)` \| (.+?) \|", re.M)


def test_every_setting_is_in_the_table_and_no_other():
    assert [name for name, _ in SETTINGS_ROW.findall(README)] == [name for name, _ in VARIABLES.values()]


@pytest.mark.parametrize(
    "field", ["clock", "clock_max_jump_s", "currency", "late_horizon_s", "shards", "port"]
)
def test_defaults_in_the_table_are_the_codes(field):
    name, _ = VARIABLES[field]
    documented = dict(SETTINGS_ROW.findall(README))[name].strip("`")
    assert getattr(Settings.from_environment({name: documented}), field) == getattr(
        Settings.from_environment({}), field
    )


def test_every_command_is_in_the_table():
    from typer.main import get_command

    from orchestration.cli import app

    assert all(f"`intent {name} " in README for name in get_command(app).commands)
