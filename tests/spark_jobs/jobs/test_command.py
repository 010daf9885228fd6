from argparse import Namespace
from datetime import date

import pytest

from spark_jobs.jobs import clean_events
from spark_jobs.jobs.command import days_between, execute


def test_days_are_every_day_from_first_to_last():
    assert days_between(date(2024, 2, 28), date(2024, 3, 1)) == [
        "2024-02-28",
        "2024-02-29",
        "2024-03-01",
    ]
    assert days_between(date(2024, 2, 28), None) == ["2024-02-28"]
    with pytest.raises(SystemExit, match="--to 2024-02-27 is before --day 2024-02-28"):
        days_between(date(2024, 2, 28), date(2024, 2, 27))


def test_a_job_that_cannot_run_ends_with_one_line(spark, tmp_path):
    options = Namespace(lake=tmp_path, master="local[2]", conf=None)
    with pytest.raises(SystemExit) as end:
        execute("test", options, lambda s, lake: clean_events.run(s, lake, ["2024-03-10"]))
    assert end.value.code == "no events on 2024-03-10; days with events: none, import a log first"
