"""The two senders of the ingest benchmark, each run in a process of its own."""

import http.client
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import hiredis
import msgspec

from online_api.connection import Command
from online_api.wire import EventsAnswer

READ_BYTES = 2**16
TIMEOUT_S = 60

Trips = Sequence[Sequence[Command]]
"""The round trips of a batch, each a list of commands."""


class Load(NamedTuple):
    seconds: float
    processor_s: float


class Stopwatch:
    def __init__(self) -> None:
        self._began, self._processor_began = time.perf_counter(), time.process_time()

    def load(self) -> Load:
        return Load(time.perf_counter() - self._began, time.process_time() - self._processor_began)


def posted(host: str, port: int, bodies: Sequence[bytes], in_flight: int) -> Load:
    """Post the bodies, `in_flight` at a time. Raises ValueError unless every event is accepted."""
    left = iter(bodies)

    def post_while_some_are_left(_: int) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        for body in left:
            connection.request("POST", "/v1/events", body)
            answer = msgspec.json.decode(connection.getresponse().read(), type=EventsAnswer)
            if answer.duplicates or answer.rejected:
                raise ValueError(f"not every event was accepted: {answer}")
        connection.close()

    watch = Stopwatch()
    with ThreadPoolExecutor(in_flight) as threads:
        list(threads.map(post_while_some_are_left, range(in_flight)))
    return watch.load()


def pipelined(host: str, port: int, batches: Sequence[Trips], in_flight: int) -> Load:
    """Send the batches over one connection, `in_flight` at a time, each round trip after the one before."""
    left = iter(batches)
    awaited: deque[tuple[int, Iterator[Sequence[Command]]]] = deque()
    watch = Stopwatch()
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:

        def send_next(trips: Iterator[Sequence[Command]]) -> None:
            commands = next(trips, None)
            if commands is not None:
                connection.sendall(b"".join(map(hiredis.pack_command, commands)))
                awaited.append((len(commands), trips))
            elif (batch := next(left, None)) is not None:
                send_next(iter(batch))

        replies = _replies(connection)
        for _ in range(in_flight):
            send_next(iter(()))
        while awaited:
            count, trips = awaited.popleft()
            for _ in range(count):
                next(replies)
            send_next(trips)
    return watch.load()


def _replies(connection: socket.socket) -> Iterator[Any]:
    """Of hiredis; an error raises."""
    reader = hiredis.Reader()
    while True:
        reply = reader.gets()
        if isinstance(reply, hiredis.HiredisError):
            raise reply
        if reply is not False:
            yield reply
        elif read := connection.recv(READ_BYTES):
            reader.feed(read)
        else:
            raise ConnectionError("Redis closed the connection")
