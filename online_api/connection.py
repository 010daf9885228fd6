"""Redis as the rest of the room sees it: lists of commands in, lists of replies out.

What takes several round trips is written once, as a generator that yields commands and is sent their
replies (`Steps`); the API drives it with `AsyncRedis`, landing and imports with `BlockingRedis`. Either
talks to one server or, with a `redis+cluster://` URL, to a Redis Cluster.
"""

import asyncio
import hashlib
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

CONNECT_S = 2.0
ANSWER_S = 10.0
MAX_CONNECTIONS = 64
CLUSTER = "+cluster"

T = TypeVar("T")
Command = Sequence[Any]
Steps = Generator[Sequence[Command], list[Any], T]


class Script(NamedTuple):
    """A Lua script and the SHA-1 by which a server that has seen it knows it."""

    source: str
    sha: str

    def __call__(self, key: str, *arguments: Any) -> Command:
        """The command that runs it; `key` names the one slot that it touches."""
        return ("EVALSHA", self.sha, 1, key, *arguments)


SCRIPTS: dict[str, Script] = {}


def script(source: str) -> Script:
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return SCRIPTS.setdefault(sha, Script(source, sha))


def _with_source(command: Command) -> Command:
    """The same call for a server that has not seen the script, which it keeps from then on."""
    return ("EVAL", SCRIPTS[command[1]].source, *command[2:])


def _unseen(replies: list[Any]) -> list[int]:
    return [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


class AsyncRedis:
    """Commands that fail are not tried again here: the caller can resend, and knows what that means."""

    def __init__(self, url: str) -> None:
        options = {"socket_connect_timeout": CONNECT_S, "socket_timeout": ANSWER_S}
        self._cluster = CLUSTER in url
        if self._cluster:
            self._client = redis.asyncio.RedisCluster.from_url(url.replace(CLUSTER, ""), **options)
        else:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=ANSWER_S,
                retry=AsyncRetry(NoBackoff(), 0),
                **options,
            )
            self._client = redis.asyncio.Redis.from_pool(pool)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in order, in one round trip to each server concerned. Raises the first error."""
        replies = await self._send(commands)
        if unseen := _unseen(replies):
            again = await self._send([_with_source(commands[i]) for i in unseen])
            for i, reply in zip(unseen, again, strict=True):
                replies[i] = reply
        return _checked(replies)

    async def do(self, steps: Steps[T]) -> T:
        try:
            commands = next(steps)
            while True:
                commands = steps.send(await self.run(commands) if commands else [])
        except StopIteration as done:
            return done.value

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self._cluster or len(commands) == 1:
            calls = (self._client.execute_command(*command) for command in commands)
            replies = await asyncio.gather(*calls, return_exceptions=True)
            return list(replies)
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    async def close(self) -> None:
        await self._client.aclose()


class BlockingRedis:
    def __init__(self, url: str) -> None:
        options = {"socket_connect_timeout": CONNECT_S, "socket_timeout": ANSWER_S}
        self._cluster = CLUSTER in url
        if self._cluster:
            self._client = redis.RedisCluster.from_url(url.replace(CLUSTER, ""), **options)
        else:
            self._client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)

    def run(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._send(commands)
        if unseen := _unseen(replies):
            again = self._send([_with_source(commands[i]) for i in unseen])
            for i, reply in zip(unseen, again, strict=True):
                replies[i] = reply
        return _checked(replies)

    def do(self, steps: Steps[T]) -> T:
        try:
            commands = next(steps)
            while True:
                commands = steps.send(self.run(commands) if commands else [])
        except StopIteration as done:
            return done.value

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self._cluster:
            return [self._one(command) for command in commands]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)

    def _one(self, command: Command) -> Any:
        try:
            return self._client.execute_command(*command)
        except NoScriptError as error:
            return error

    def close(self) -> None:
        self._client.close()
