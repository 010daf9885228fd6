"""Vectors kept between runs, by normalised text, in one file an encoder revision."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.runtime.text import normalize_text

if TYPE_CHECKING:
    from models.encoder import Encoder

KEY_BYTES = 16


def embed_cached(encoder: "Encoder", texts: Sequence[str], folder: Path | None) -> np.ndarray:
    """`encoder.embed(texts)`, asking the encoder only for texts that `folder` lacks."""
    if folder is None:
        return encoder.embed(texts)
    path = folder / f"{encoder.revision}.npz"
    known = _read(path)
    keys = [_key(text) for text in texts]
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        known |= zip(missing, encoder.embed(list(missing.values())), strict=True)
        _write(path, known)
    if not keys:
        return np.empty((0, encoder.dim), dtype=np.float32)
    return np.stack([known[key] for key in keys])


def _key(text: str) -> bytes:
    return hashlib.blake2b(normalize_text(text).encode(), digest_size=KEY_BYTES).digest()


def _read(path: Path) -> dict[bytes, np.ndarray]:
    try:
        with np.load(path) as file:
            keys, vectors = file["keys"], file["vectors"]
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return {}  # absent or cut short: worth no more than computing it again
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _write(path: Path, known: dict[bytes, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, KEY_BYTES)
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    np.savez(part, keys=keys, vectors=np.stack(list(known.values())))
    part.replace(path)
