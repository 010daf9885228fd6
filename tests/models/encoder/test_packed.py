import numpy as np
import pytest

from models.encoder.packed import BLOCK_DTYPE, PackedFileError, _dequantised, read_packed


def test_a_block_is_its_halves_less_eight_times_its_scale():
    block = np.zeros(1, BLOCK_DTYPE)
    block["scale"] = 0.5
    block["halves"][0, 0] = 0xF0  # weight 0 is 0 - 8, weight 16 is 15 - 8
    block["halves"][0, 1:] = 0x88
    weights = _dequantised(memoryview(block.tobytes()))
    assert weights[0] == -4.0
    assert weights[16] == 3.5
    assert not weights[[*range(1, 16), *range(17, 32)]].any()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    with pytest.raises(PackedFileError, match="not a packed e5 model"):
        read_packed(path)


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"E5S1" + b"\1\0\0\0")
    with pytest.raises(PackedFileError, match="cut short"):
        read_packed(path)
