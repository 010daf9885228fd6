"""A line in `feature_repo/behavior.py` is all that a new aggregate takes, in every runtime."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE = '        Aggregate("view_price_min", "min", ("view",), "price"'


LINES = """\
        Aggregate("cheap_click_count", "count", ("click",), where=(Where("price", at_most=99),)),
        Aggregate("last_click_price", "last", ("click",), "price", "minor units", windows=("1h",)),
"""
EXPECTED = {"cheap_click_count_24h": 2, "last_click_price_1h": 99}


@pytest.mark.slow
def test_a_line_declares_an_aggregate_everywhere(tmp_path):
    shop = tmp_path / "shop"
    shutil.copytree(ROOT / "feature_repo", shop / "feature_repo")
    behavior = shop / "feature_repo" / "behavior.py"
    source = behavior.read_text(encoding="utf-8")
    assert source.count(BESIDE) == 1
    behavior.write_text(source.replace(BESIDE, LINES + BESIDE), encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.new_aggregate", str(tmp_path), *EXPECTED],
        cwd=shop,
        env={**os.environ, "PYTHONPATH": f"{shop}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr[-3_000:]
    answers = json.loads(answer.stdout.splitlines()[-1])
    places = ("redis", "spark", "history", "online", "base")
    assert answers == {place: list(EXPECTED.values()) for place in places}
