"""What was served, kept so that a score can be traced, reproduced and joined with what came after.

Records wait in memory for a moment and go to the stream `intent:scores` many at a time, so that no score
waits for its log entry.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from redis.exceptions import RedisError

from online_api import keys
from online_api.connection import AsyncRedis
from online_api.metrics import SCORES_UNLOGGED

KEPT_SCORES = 1_000_000
WAITING_SCORES = 10_000
FLUSH_S = 0.05
AGAIN_S = 1.0
FLUSH_AT_ONCE = 500

logger = logging.getLogger(__name__)


class ScoreRecord(msgspec.Struct, array_like=True, frozen=True):
    """One served score. Append fields, never reorder them: they are the wire order of the stream.

    `features` are references, `values` the raw stored or counted ones in the same order, exact; `used`
    says for each whether the model read that value (False: its default, being missing or stale).
    A vector is packed as little-endian float32. What was known: the base tiles' `covered_epoch` (None: no
    base), the newest live epoch added to it and the shopper's last place in the ledger's shard.
    """

    score_id: str
    as_of: int
    user_id: str
    session_id: str | None
    scenario: str | None
    release: str
    definitions_hash: str
    encoder_revision: str
    features: tuple[str, ...]
    values: list[int | float | bytes | None]
    used: list[bool]
    covered_epoch: int | None
    live_epoch: int | None
    live_seq: int | None
    as_of_exact: bool
    degraded: bool
    behavior: dict[str, float]
    stage: str
    intent: str | None


def pack_vector(vector: Sequence[float]) -> bytes:
    return np.asarray(vector, dtype="<f4").tobytes()


def unpack_vector(packed: bytes) -> list[float]:
    return np.frombuffer(packed, dtype="<f4").tolist()


_decoder = msgspec.msgpack.Decoder(ScoreRecord)


def decode_record(fields: dict[bytes, bytes]) -> ScoreRecord:
    return _decoder.decode(fields[b"e"])


class ScoreLog:
    """`add` never waits; when Redis cannot be written to, the oldest waiting records are dropped and
    counted in a metric. A record may be written twice if the connection breaks meanwhile."""

    def __init__(self, redis: AsyncRedis) -> None:
        self._redis = redis
        self._waiting: deque[ScoreRecord] = deque()
        self._closing = asyncio.Event()

    def add(self, record: ScoreRecord) -> None:
        if len(self._waiting) >= WAITING_SCORES:
            self._waiting.popleft()
            SCORES_UNLOGGED.inc()
        self._waiting.append(record)

    async def run(self) -> None:
        """Write what waits until told to close; then write what is left."""
        pause_s = FLUSH_S
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)
            try:
                await self.flush()
                pause_s = FLUSH_S
            except (RedisError, OSError) as error:
                logger.warning("%d scores wait to be logged: %s", len(self._waiting), error)
                pause_s = AGAIN_S

    def close(self) -> None:
        self._closing.set()

    async def flush(self) -> None:
        while self._waiting:
            count = min(FLUSH_AT_ONCE, len(self._waiting))
            records = [self._waiting.popleft() for _ in range(count)]
            encoded = [msgspec.msgpack.encode(record) for record in records]
            try:
                await self._redis.run(
                    [("XADD", keys.SCORES, "MAXLEN", "~", KEPT_SCORES, "*", "e", e) for e in encoded]
                )
            except (RedisError, OSError):
                self._waiting.extendleft(reversed(records))
                raise
