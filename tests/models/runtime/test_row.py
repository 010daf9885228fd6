import math

import numpy as np
import pytest

from feature_repo.behavior import EMBEDDING_DIM, SERVICE_FEATURES
from models.runtime.row import HAS_TEXT, NUMERIC, VECTOR, RowBuilder, stack_vectors
from tests.models.behavior.synthetic import INTENTS, Head, service_values, unit_vectors

ROWS = RowBuilder(Head())


def test_columns_are_the_features_in_order_then_the_text():
    numeric = [f.reference for f in SERVICE_FEATURES if f.dtype != "vector"]
    assert list(ROWS.columns[: len(numeric)]) == numeric
    assert ROWS.columns[len(numeric) :] == (*(f"recent_text_{i}" for i in INTENTS), HAS_TEXT)
    assert set(ROWS.groups) == {f.reference for f in SERVICE_FEATURES}
    covered = [c for g in ROWS.groups.values() for c in ROWS.columns[g]]
    assert sorted(covered) == sorted(ROWS.columns)


def test_numbers_are_logarithms_at_their_columns():
    row = ROWS.row(service_values({"view_count_7d": 19, "session_duration_s": 2.5}))
    by_column = dict(zip(ROWS.columns, row.inputs[0].tolist(), strict=True))
    given = {"user_activity:view_count_7d": 19, "session_activity:session_duration_s": 2.5}
    numbers = {f.reference: math.log1p(given.get(f.reference, f.default)) for f in NUMERIC}
    expected = {**dict.fromkeys(ROWS.columns, 0.0), **numbers}
    assert by_column == pytest.approx(expected, abs=1e-4)
    assert row.inputs.dtype == np.float32


def test_missing_is_the_default():
    nothing = ROWS.row([None] * len(SERVICE_FEATURES))
    defaults = ROWS.row([f.default for f in SERVICE_FEATURES])
    assert np.array_equal(nothing.inputs, defaults.inputs)
    assert nothing.values["user_activity:view_count_1h"] == 0
    assert nothing.values[VECTOR.reference] is None


def test_text_becomes_what_it_asks_for():
    vector = unit_vectors(np.random.default_rng(1), 1)[0]
    row = ROWS.row(service_values({VECTOR.name: vector.tolist()}))
    probabilities = ROWS.recent_text(row)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert max(probabilities, key=probabilities.get) == INTENTS[int(np.argmax(vector[:3]))]
    assert row.inputs[0, -1] == 1.0


@pytest.mark.parametrize("vector", [None, [0.0] * EMBEDDING_DIM], ids=["none", "zeros"])
def test_no_text_is_zeros_and_says_so(vector):
    row = ROWS.row(service_values({VECTOR.name: vector}))
    assert not row.inputs[0, ROWS.groups[VECTOR.reference]].any()
    assert ROWS.recent_text(row) is None


def test_a_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 10**6, (50, len(NUMERIC))).astype(float)
    vectors = unit_vectors(rng, 50)
    vectors[::2] = 0
    together = ROWS.matrix(numbers, vectors)
    alone = [ROWS.row([*numbers[i], vectors[i]]).inputs[0] for i in range(50)]
    assert np.array_equal(together, np.array(alone))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="3 values for"):
        ROWS.row([1, 2, 3])
    with pytest.raises(ValueError, match="2 numbers, expected 384"):
        stack_vectors([[0.1, 0.2]])
    with pytest.raises(ValueError, match="do not fit"):
        ROWS.matrix(np.zeros((2, 3)), np.zeros((2, EMBEDDING_DIM)))
