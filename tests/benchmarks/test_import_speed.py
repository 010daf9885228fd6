import pytest

from tests.benchmarks.import_speed import SHAPES, measured


@pytest.mark.parametrize("name", SHAPES)
def test_a_log_of_each_shape_is_taken_in_whole(tmp_path, name):
    found = measured(name, 200, tmp_path)
    assert found["rows"] == found["accepted"] == 200
