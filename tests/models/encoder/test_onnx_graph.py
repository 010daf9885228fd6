import numpy as np
import pytest

from models.encoder import export_onnx
from models.encoder.onnx_graph import quantised_blocks
from models.runtime.text import TextEncoder

TEXTS = ["red running shoes size 42", "蓝牙耳机 降噪", "我要退货", "x", "long " * 200]


@pytest.fixture(scope="session")
def exported(packaged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    export_onnx(packaged, folder)
    return folder


def test_served_vectors_are_those_of_the_batch_encoder(packaged, exported):
    served = TextEncoder.load(exported)
    assert (served.revision, served.dim) == (packaged.revision, packaged.dim)
    np.testing.assert_allclose(served.embed(TEXTS), packaged.embed(TEXTS), atol=1e-5)


def test_files_stay_small_enough_to_ship(exported):
    assert sum(path.stat().st_size for path in exported.iterdir()) < 250e6


def test_four_bit_blocks_survive_exactly_and_others_nearly():
    rng = np.random.default_rng(0)
    steps = rng.integers(-7, 8, (50, 64)).astype(np.float32)
    steps[:, [0, 32]] = -8
    four_bit = steps * np.float32(0.0123)
    values, scales = quantised_blocks(four_bit)
    np.testing.assert_allclose(values * np.repeat(scales, 32, axis=1), four_bit, atol=1e-8)
    free = rng.normal(size=(50, 64)).astype(np.float32)
    values, scales = quantised_blocks(free)
    assert np.abs(values * np.repeat(scales, 32, axis=1) - free).max() < 0.02
    zeros, _ = quantised_blocks(np.zeros((2, 32), np.float32))
    assert not zeros.any()
