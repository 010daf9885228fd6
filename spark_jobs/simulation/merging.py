"""Many shards' sorted spill files into one log in order of arrival, in bounded memory.

The run is cut at instants into chunks. A chunk is one contiguous slice of every
shard's file, and its place in the log is known from the sizes of those before it, so chunks are merged
independently, by any number of processes.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spark_jobs.simulation.shard import Shard

SAMPLED_EVERY = 100


class Slice(NamedTuple):
    """Lines `first` to `end` of a shard, at these bytes of its file."""

    shard: Shard
    first: int
    end: int
    first_byte: int
    end_byte: int


class Chunk(NamedTuple):
    path: Path
    at_byte: int
    slices: list[Slice]


def merge(shards: list[Shard], path: Path, chunk_events: int, each: Callable[..., Iterable]) -> None:
    """Write the log at `path`, about `chunk_events` at a time; `each` is a `map`.

    Events that arrive at the same instant keep the order of the shards.
    """
    path.touch()
    for _ in each(_write_chunk, _chunks(shards, path, chunk_events)):
        pass
    for shard in shards:
        shard.part("lines").unlink()
        shard.part("index.npy").unlink()


def _chunks(shards: list[Shard], path: Path, chunk_events: int) -> list[Chunk]:
    indexes = [np.load(shard.part("index.npy"), mmap_mode="r") for shard in shards]
    sampled = np.sort(np.concatenate([index[0, ::SAMPLED_EVERY] for index in indexes]))
    edges = np.unique(sampled[:: max(1, chunk_events // SAMPLED_EVERY)][1:])
    cuts = [[0, *np.searchsorted(index[0], edges).tolist(), index.shape[1]] for index in indexes]
    chunks, at_byte = [], 0
    for n in range(len(edges) + 1):
        slices = []
        for shard, index, cut in zip(shards, indexes, cuts, strict=True):
            first, end = cut[n], cut[n + 1]
            if first < end:
                first_byte = int(index[1, first - 1]) if first else 0
                slices.append(Slice(shard, first, end, first_byte, int(index[1, end - 1])))
        chunks.append(Chunk(path, at_byte, slices))
        at_byte += sum(s.end_byte - s.first_byte for s in slices)
    return chunks


def _write_chunk(chunk: Chunk) -> None:
    lines: list[bytes] = []
    arrived = []
    for part in chunk.slices:
        index = np.load(part.shard.part("index.npy"), mmap_mode="r")
        arrived.append(index[0, part.first : part.end])
        with part.shard.part("lines").open("rb") as file:
            file.seek(part.first_byte)
            content = file.read(part.end_byte - part.first_byte)
        ends = (index[1, part.first : part.end] - part.first_byte).tolist()
        lines += [content[a:b] for a, b in pairwise((0, *ends))]
    if not lines:
        return
    order = np.argsort(np.concatenate(arrived), kind="stable")
    merged = b"".join(map(lines.__getitem__, order.tolist()))
    with open(chunk.path, "r+b", buffering=0) as log:
        log.seek(chunk.at_byte)
        view = memoryview(merged)
        while view:
            view = view[log.write(view) :]
