"""Which release is served: follows the pointer in Redis and swaps to what it names, all at once."""

import asyncio
import contextlib
import logging
from pathlib import Path

from redis.exceptions import RedisError

from models.runtime.release import Pointer, Release, ReleaseMismatch, decode_pointer
from online_api import keys, metrics
from online_api.connection import AsyncRedis
from online_api.errors import ApiError

POLL_S = 1.0
AGAIN_S = 15.0
FIRST_LOAD_S = 10.0
WARMING_TEXTS = ("warm up", "你好")

NONE_PROMOTED = (
    "no release has been promoted: `intent materialize` makes one, `intent release promote` has it served"
)

logger = logging.getLogger(__name__)


class ServedRelease:
    """`current` is complete and warm, or None. A release that cannot be served changes nothing but
    `problem`, which says why."""

    def __init__(self, redis: AsyncRedis, releases: Path, encoders: Path) -> None:
        self.current: Release | None = None
        self.problem: str | None = NONE_PROMOTED
        self._redis = redis
        self._releases = releases
        self._encoders = encoders
        self._refused: bytes | None = None
        self._one_at_a_time = asyncio.Lock()
        self._looked = asyncio.Event()

    async def require(self) -> Release:
        """A request that meets a worker just started waits for its first load, at most FIRST_LOAD_S: other
        workers, on the same port, are ready already. Raises ApiError where there is none to serve."""
        if self.current is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._looked.wait(), FIRST_LOAD_S)
        if self.current is None:
            raise ApiError(503, "no_release", self.problem or NONE_PROMOTED, retry_after_s=5)
        return self.current

    async def follow(self) -> None:
        """Until cancelled."""
        waited_s = 0.0
        while True:
            try:
                await self.refresh(again=waited_s >= AGAIN_S)
            except (RedisError, OSError) as error:
                if self.current is None:
                    self.problem = f"the release pointer cannot be read: {error}"
            waited_s = 0.0 if waited_s >= AGAIN_S else waited_s + POLL_S
            await asyncio.sleep(POLL_S)

    async def refresh(self, again: bool = True) -> None:
        """Look at the pointer; load what it names unless it is served, or was refused and not `again`."""
        try:
            async with self._one_at_a_time:
                await self._refresh(again)
        finally:
            self._looked.set()

    async def _refresh(self, again: bool) -> None:
        (content,) = await self._redis.run([("GET", keys.RELEASE)])
        if content == self._refused and content is not None and not again:
            return
        try:
            pointer = decode_pointer(content)
            if pointer is None:
                if self.current is None:
                    self.problem = NONE_PROMOTED
            elif self.current is not None and pointer.id == self.current.id:
                self.problem = self._refused = None
            else:
                self._swap(await asyncio.to_thread(self._load, pointer))
        except ReleaseMismatch as error:
            self._refuse(content, str(error))
        except Exception as error:  # whatever a damaged model makes the runtime raise
            self._refuse(content, f"release {pointer.id} cannot be loaded ({error}): promote another")

    def _load(self, pointer: Pointer) -> Release:
        known = None if self.current is None else self.current.encoder
        release = Release.load(self._releases / pointer.path, self._encoders, known)
        release.encoder.embed(WARMING_TEXTS)
        return release

    def _swap(self, release: Release) -> None:
        if self.current is not None:
            metrics.RELEASE_LOADED.labels(self.current.id).set(0)
        metrics.RELEASE_LOADED.labels(release.id).set(1)
        logger.info("serving release %s", release.id)
        self.current, self.problem, self._refused = release, None, None

    def _refuse(self, content: bytes, problem: str) -> None:
        if problem != self.problem:
            logger.error("release refused: %s", problem)
            metrics.RELEASES_REFUSED.inc()
        self.problem, self._refused = problem, content
