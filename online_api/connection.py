"""Redis as the rest of the room sees it: lists of commands in, lists of replies out.

What takes several round trips is written once, as a generator that yields commands and is sent their
replies (`Steps`); the API drives it with `AsyncRedis`, landing and imports with `BlockingRedis`. Either
talks to one server or, with a `redis+cluster://` URL, to a Redis Cluster.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import redis
import redis.asyncio
from hiredis import pack_command
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry

CONNECT_S = 2.0
ANSWER_S = 10.0
MAX_CONNECTIONS = 64
CLUSTER = "+cluster"

T = TypeVar("T")
Command = Sequence[Any]
Steps = Generator[Sequence[Command], list[Any], T]
Send = Callable[[Sequence[Command]], Awaitable[list[Any]]]


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
        self._cluster = CLUSTER in url
        if self._cluster:
            options = {"socket_connect_timeout": CONNECT_S, "socket_timeout": ANSWER_S}
            self._client = redis.asyncio.RedisCluster.from_url(url.replace(CLUSTER, ""), **options)
        else:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=ANSWER_S,
                retry=AsyncRetry(NoBackoff(), 0),
                socket_connect_timeout=CONNECT_S,
            )
            self._client = redis.asyncio.Redis.from_pool(pool)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in order, in one round trip to each server concerned. Raises the first error."""
        async with self._connected() as send:
            return await _run(send, commands)

    async def do(self, steps: Steps[T]) -> T:
        async with self._connected() as send:
            try:
                commands = next(steps)
                while True:
                    commands = steps.send(await _run(send, commands) if commands else [])
            except StopIteration as done:
                return done.value

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Send]:
        """A connection of the caller's own for as long as it sends."""
        if self._cluster:
            yield self._send_to_cluster
            return
        pool = self._client.connection_pool
        async with _answered_in_time():
            connection = await pool.get_connection()
        try:
            yield partial(self._send_to_server, connection)
        finally:
            await pool.release(connection)

    async def _send_to_cluster(self, commands: Sequence[Command]) -> list[Any]:
        calls = (self._client.execute_command(*command) for command in commands)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    async def _send_to_server(
        self, connection: redis.asyncio.Connection, commands: Sequence[Command]
    ) -> list[Any]:
        """One write and one deadline for all; redis-py's pipeline packs in Python and times every reply."""
        async with _answered_in_time():
            await connection.send_packed_command(b"".join(map(pack_command, commands)))
            return [await self._reply(connection, command[0]) for command in commands]

    async def _reply(self, connection: redis.asyncio.Connection, name: str) -> Any:
        try:
            return await self._client.parse_response(connection, name)
        except ResponseError as error:
            return error

    async def close(self) -> None:
        await self._client.aclose()


async def _run(send: Send, commands: Sequence[Command]) -> list[Any]:
    replies = await send(commands)
    if unseen := _unseen(replies):
        again = await send([_with_source(commands[i]) for i in unseen])
        for i, reply in zip(unseen, again, strict=True):
            replies[i] = reply
    return _checked(replies)


@asynccontextmanager
async def _answered_in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError as error:
        raise redis.TimeoutError(f"no answer within {ANSWER_S:.0f} s") from error


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
