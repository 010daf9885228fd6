import pytest

from feature_repo.behavior import WINDOWS
from feature_repo.windows import US, Window
from orchestration.quality.expectations import Suite, has_rows
from orchestration.quality.feature_rules import nested_windows


def test_the_declared_windows_are_nested_one_in_the_next():
    names = [(short.name, long.name) for short, long in nested_windows(WINDOWS)]
    assert names == [("10m", "1h"), ("1h", "24h"), ("24h", "7d"), ("7d", "30d")]


def test_a_nested_window_never_begins_before_the_one_that_covers_it():
    for short, long in nested_windows(WINDOWS):
        for as_of in range(0, 2 * long.hop_s * US, short.hop_s * US // 2 + 1):
            assert long.tail(as_of) <= short.tail(as_of)


def test_windows_whose_tails_may_cross_are_not_compared():
    """A minute before the hour the first one reaches back almost two hours, further than the second."""
    assert nested_windows((Window("1h", 3_600, 3_600), Window("70m", 4_200, 60))) == ()


def test_two_expectations_of_one_name_are_refused():
    twice = has_rows("there are rows", "write some")
    with pytest.raises(ValueError, match="suite twins: expectations share a name: has_rows"):
        Suite("twins", ("a",), {}, (twice, twice))
