"""What was in service at an instant, as far as it is known."""

from itertools import pairwise

import msgspec
import pytest

from feature_repo.windows import US
from orchestration.in_service import (
    FOREVER,
    IMPORT_UNDER_WAY,
    KEPT,
    NEVER,
    SKEW_US,
    UNKNOWN_BEFORE,
    Materialization,
    note_end,
    note_start,
    read_history,
    served_over_time,
    superseded_epoch,
)
from spark_jobs.lake import Lake

MINUTE = 60 * US


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def materialized(lake, at: int, *imports: str, covered_epoch: int = 1, ends: bool = True) -> None:
    note_start(lake, Materialization(at, at, covered_epoch, imports))
    if ends:
        note_end(lake, at + MINUTE)


def at(lake, instant: int):
    stretches = served_over_time(read_history(lake))
    assert stretches[0].since == NEVER and stretches[-1].until == FOREVER
    assert all(a.until == b.since for a, b in pairwise(stretches))
    (found,) = (s for s in stretches if s.since <= instant < s.until)
    return found


def test_nothing_is_in_service_before_the_first_materialization(lake):
    assert at(lake, 0)[2:] == ([], [NEVER], None)
    materialized(lake, 10 * MINUTE)
    assert at(lake, 5 * MINUTE)[2:] == ([], [NEVER], None)
    assert at(lake, 20 * MINUTE)[2:] == ([], [10 * MINUTE], None)


def test_while_one_is_under_way_either_may_have_been_served(lake):
    materialized(lake, 10 * MINUTE, "1")
    materialized(lake, 20 * MINUTE, "1")
    for instant in (20 * MINUTE - SKEW_US, 21 * MINUTE + SKEW_US - 1):
        assert at(lake, instant)[2:] == (["1"], [10 * MINUTE, 20 * MINUTE], None)
    assert at(lake, 21 * MINUTE + SKEW_US)[2:] == (["1"], [20 * MINUTE], None)


def test_an_import_under_way_cannot_be_judged(lake):
    materialized(lake, 10 * MINUTE)
    materialized(lake, 20 * MINUTE, "1")
    assert at(lake, 20 * MINUTE).reason == IMPORT_UNDER_WAY
    assert at(lake, 30 * MINUTE)[2:] == (["1"], [20 * MINUTE], None)


def test_one_that_broke_off_counts_until_the_next_has_ended(lake):
    materialized(lake, 10 * MINUTE)
    materialized(lake, 20 * MINUTE, ends=False)
    materialized(lake, 30 * MINUTE)
    assert at(lake, 25 * MINUTE).clocks == [10 * MINUTE, 20 * MINUTE]
    assert at(lake, 40 * MINUTE).clocks == [30 * MINUTE]


def test_live_counts_go_once_as_many_materializations_as_are_kept_have_covered_them(lake):
    for epoch in (3, 5, 5, 8):
        materialized(lake, epoch * MINUTE, covered_epoch=epoch)
    materialized(lake, 9 * MINUTE, covered_epoch=9, ends=False)
    assert [superseded_epoch(lake, kept) for kept in (1, 2, 3, 4)] == [5, 5, 3, 0]


def test_old_notes_are_forgotten_and_that_is_known(lake):
    done = [Materialization(n * MINUTE, 0, 1, (), n * MINUTE + US) for n in range(1, KEPT + 1)]
    lake.write_state("in_service", {"complete": True, "materializations": msgspec.to_builtins(done)})
    materialized(lake, (KEPT + 1) * MINUTE)
    history = read_history(lake)
    assert len(history.materializations) == KEPT and not history.complete
    assert at(lake, 0).reason == UNKNOWN_BEFORE
