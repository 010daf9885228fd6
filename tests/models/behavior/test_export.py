import lightgbm as lgb
import numpy as np
import onnx
import pytest

from models.behavior.export import floor32, single_precision, trees_graph
from models.runtime.behavior import open_session


@pytest.fixture(scope="module")
def trees():
    """Trees whose thresholds lie as close to float32 values as LightGBM places them."""
    rng = np.random.default_rng(3)
    inputs = np.round(rng.random((4_000, 6)) * 0.004, 4).astype(np.float32)
    y = (inputs.sum(axis=1) + rng.normal(0, 0.001, len(inputs)) > 0.012).astype(int)
    return lgb.train({"objective": "binary", "verbose": -1}, lgb.Dataset(inputs, y), 60), inputs


def test_thresholds_are_float32_and_part_the_same_values(trees):
    booster, inputs = trees
    cut = single_precision(booster)
    thresholds = cut.trees_to_dataframe().threshold.dropna().to_numpy(dtype=float)
    assert (thresholds.astype(np.float32).astype(float) == thresholds).all()
    assert np.array_equal(cut.predict(inputs), booster.predict(inputs))


def test_a_threshold_just_below_a_value_does_not_let_it_pass():
    """The nearest float32 of such a threshold is the value itself."""
    value = np.float32(0.001)
    threshold = float(value) - 1e-11
    assert np.float32(threshold) == value
    below = floor32(threshold)
    assert below < threshold < float(value)
    assert np.float32(below) == below


def test_the_graph_answers_as_the_trees_do(trees, tmp_path):
    booster, inputs = trees
    onnx.save(trees_graph(booster), str(tmp_path / "trees.onnx"))
    session = open_session(tmp_path / "trees.onnx")
    answered = session.run(["probability"], {"inputs": inputs})[0]
    assert np.abs(answered - booster.predict(inputs)).max() < 1e-6
