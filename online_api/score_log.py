"""What was served, kept so that a score can be traced, reproduced and joined with what came after.

Records wait in memory for a moment and go to the stream `intent:scores` many at a time, so that no score
waits for its log entry. The names of the features, half of a record's size and the same in each, are kept
once, in the hash `intent:score-features`; a record in the stream names their list.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

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

    `features` are references, in the stream mostly the name of their list; `values` the raw stored or
    counted ones in the same order, exact; `used` says for each whether the model read that value (False:
    its default, being missing or stale).
    A vector is packed as little-endian float32. What was counted: the base tiles' `covered_epoch` (None: no
    base), the newest live epoch added to it and the shopper's last place in the ledger's shard. What had to
    be known: everything in `ledger_shard` up to `ledger_seq` of `ledger_epoch`, and of the session, which may
    be read a moment later, up to `session_seq` of `session_epoch`. `scored_at`: by the wall's clock. `live`:
    asked of now, not of an instant that the request named.
    """

    score_id: str
    as_of: int
    user_id: str
    session_id: str | None
    scenario: str | None
    release: str
    definitions_hash: str
    encoder_revision: str
    features: tuple[str, ...] | str
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
    stage_probabilities: dict[str, float] | None = None
    intent_confidence: float | None = None
    live: bool = True
    ledger_shard: int | None = None
    ledger_epoch: int | None = None
    ledger_seq: int | None = None
    session_epoch: int | None = None
    session_seq: int | None = None
    scored_at: int | None = None


def pack_vector(vector: Sequence[float]) -> bytes:
    return np.asarray(vector, dtype="<f4").tobytes()


def unpack_vector(packed: bytes) -> list[float]:
    return np.frombuffer(packed, dtype="<f4").tolist()


@lru_cache(maxsize=16)
def list_name(features: tuple[str, ...]) -> str:
    """Sixteen hex digits that name these references in this order."""
    return hashlib.sha256("\n".join(features).encode()).hexdigest()[:16]


def encode_record(record: ScoreRecord) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(record, features=list_name(record.features)))


_decoder = msgspec.msgpack.Decoder(ScoreRecord)


def decode_record(fields: dict[bytes, bytes], lists: dict[str, tuple[str, ...]]) -> ScoreRecord:
    """`lists`: the feature lists by name. A record that names its features itself needs none;
    KeyError if the list it names is not known."""
    record = _decoder.decode(fields[b"e"])
    if isinstance(record.features, tuple):
        return record
    return msgspec.structs.replace(record, features=lists[record.features])


def feature_lists(content: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """From what the hash `intent:score-features` holds."""
    return {name.decode(): tuple(joined.decode().split("\n")) for name, joined in content.items()}


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
            # Before the records, and each time: a Redis that lost its data gets the lists again.
            lists = {record.features for record in records}
            named = [part for features in lists for part in (list_name(features), "\n".join(features))]
            try:
                await self._redis.run([("HSET", keys.SCORE_FEATURES, *named)])
                await self._redis.run(
                    [
                        ("XADD", keys.SCORES, "MAXLEN", "~", KEPT_SCORES, "*", "e", encode_record(record))
                        for record in records
                    ]
                )
            except (RedisError, OSError):
                self._waiting.extendleft(reversed(records))
                raise
