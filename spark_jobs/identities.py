"""Which of very many events repeat an earlier one, found in bounded memory: an external hash partition.

Digests of (user_id, event_id) go to bucket files by their first bits; equal ones meet in one bucket, which
is sorted on its own. Memory is that of the largest bucket, a sixty-fourth of the whole, and a bit a row.
"""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np

BUCKET_BITS = 6
HELD_ROWS = 1 << 18
KNOWN = 0
"""The ordinal of what was accepted before; rows of the log count from 1."""


def identity_digests(identities: Iterable[tuple[str, str]]) -> np.ndarray:
    """(n, 2) uint64: 128 bits of each (user_id, event_id)."""
    joined = (f"{user}\x1f{event}".encode() for user, event in identities)
    return np.frombuffer(
        b"".join([blake2b(text, digest_size=16).digest() for text in joined]), dtype=np.uint64
    ).reshape(-1, 2)


class Identities:
    """Collects digests in a folder of its own; `repeated` is asked once, at the end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._buckets = [folder / f"{bucket:02x}" for bucket in range(1 << BUCKET_BITS)]
        self._held: list[np.ndarray] = []

    def add(self, digests: np.ndarray, ordinals: np.ndarray | int) -> None:
        """`ordinals`: which rows of the log these are, or KNOWN for all of them."""
        if not len(digests):
            return
        entries = np.empty((len(digests), 3), dtype=np.uint64)
        entries[:, :2], entries[:, 2] = digests, ordinals
        self._held.append(entries)
        if sum(map(len, self._held)) >= HELD_ROWS:
            self._spill()

    def repeated(self, rows: int) -> "RowSet":
        """The rows of the log, numbered 1 to `rows`, whose identity a known or an earlier row has."""
        found = RowSet.empty(rows)
        self._spill()
        for path in filter(Path.exists, self._buckets):
            entries = np.fromfile(path, dtype=np.uint64).reshape(-1, 3)
            entries = entries[np.lexsort((entries[:, 2], entries[:, 1], entries[:, 0]))]
            same = (entries[1:, :2] == entries[:-1, :2]).all(axis=1)
            ordinals = entries[1:, 2][same]
            found.add(ordinals[ordinals != KNOWN])
        return found

    def _spill(self) -> None:
        if not self._held:
            return
        entries = np.concatenate(self._held)
        self._held.clear()
        bucket = (entries[:, 0] >> np.uint64(64 - BUCKET_BITS)).astype(np.uint8)
        entries = entries[np.argsort(bucket, kind="stable")]
        ends = np.cumsum(np.bincount(bucket, minlength=len(self._buckets)))
        for path, start, end in zip(self._buckets, (0, *ends[:-1]), ends, strict=True):
            if end > start:
                with path.open("ab") as file:
                    file.write(entries[start:end].tobytes())


class RowSet:
    """A set of row numbers as a bit each."""

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = bits

    @classmethod
    def empty(cls, rows: int) -> "RowSet":
        return cls(np.zeros(rows // 8 + 1, dtype=np.uint8))

    @classmethod
    def load(cls, path: Path) -> "RowSet":
        return cls(np.memmap(path, dtype=np.uint8, mode="r"))

    def save(self, path: Path) -> None:
        self.bits.tofile(path)

    def add(self, rows: np.ndarray) -> None:
        rows = rows.astype(np.int64)
        np.bitwise_or.at(self.bits, rows >> 3, np.left_shift(1, rows & 7).astype(np.uint8))

    def has(self, rows: np.ndarray) -> np.ndarray:
        """A bool for each row number."""
        return (self.bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 == 1
