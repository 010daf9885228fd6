import asyncio

import pytest
from redis.exceptions import ResponseError

from online_api.connection import AsyncRedis, script

DOUBLED = script("return 2 * redis.call('GET', KEYS[1])")


def with_redis(url, body):
    async def run():
        client = AsyncRedis(url)
        try:
            return await body(client)
        finally:
            await client.close()

    return asyncio.run(run())


def test_replies_come_in_order_and_as_what_they_are(server, redis_url):
    server.hset("h", "field", 1)

    async def body(client):
        commands = [("SET", "a", 21), ("GET", "a"), ("HGETALL", "h"), ("GET", "none"), DOUBLED("a")]
        return await client.run(commands)

    assert with_redis(redis_url, body) == [True, b"21", {b"field": b"1"}, None, 42]


def test_after_an_error_among_the_replies_the_next_ones_are_their_own(server, redis_url):
    server.set("a", "text")

    async def body(client):
        with pytest.raises(ResponseError, match="not an integer"):
            await client.run([("GET", "a"), ("INCR", "a"), ("GET", "a")])
        return await client.run([("STRLEN", "a")])

    assert with_redis(redis_url, body) == [4]


def test_after_a_request_that_was_given_up_the_next_reply_is_its_own(server, redis_url):
    server.mset({"a": "late", "b": "mine"})

    async def body(client):
        await client.run([("PING",)])
        server.execute_command("CLIENT PAUSE", 300)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.run([("GET", "a"), ("GET", "a")]), 0.05)
        return await client.run([("GET", "b"), ("GET", "b")])

    assert with_redis(redis_url, body) == [b"mine", b"mine"]


def test_steps_are_sent_the_replies_of_each_round_trip(server, redis_url):
    def steps():
        (first,) = yield [("INCR", "n")]
        nothing = yield []
        second, third = yield [("INCR", "n"), ("INCR", "n")]
        return first, nothing, second, third

    async def body(client):
        return await asyncio.gather(*(client.do(steps()) for _ in range(100)))

    found = with_redis(redis_url, body)
    assert sorted(n for first, _, second, third in found for n in (first, second, third)) == list(
        range(1, 301)
    )
    assert all(nothing == [] for _, nothing, _, _ in found)
