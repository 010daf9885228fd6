"""The ledger as landing and imports see it: epochs closed, read, trimmed; ids claimed; the clock.

Landing, which may be killed anywhere and run again: `close_epoch`, `entries` of every shard after what the
lake has, `flush`, commit to the lake under the closed epoch, `trim`. After a materialization: `prune` with
the coverage of the one before it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from feature_repo.events import LedgerEvent
from online_api import keys
from online_api.connection import BlockingRedis, Steps
from online_api.feedback import FeedbackRecord, decode_feedback
from online_api.ledger import decode_entry, id_expiry_ms, open_ledger, recover_pending
from online_api.redis_server import flush
from online_api.score_log import ScoreRecord, decode_record, feature_lists
from online_api.scripts import CLAIM, OPEN_EPOCH, PRUNE, RAISE, TAKE_EPOCHS
from online_api.settings import Settings

_encode = msgspec.msgpack.encode


class Entry(NamedTuple):
    """An event and where it stands in the ledger."""

    event: LedgerEvent
    shard: int
    seq: int
    epoch: int


class BlockingLedger:
    """Raises LedgerError when the ledger was written with another number of shards."""

    def __init__(self, redis: BlockingRedis, settings: Settings) -> None:
        self.settings = settings
        self._redis = redis
        redis.do(open_ledger(settings))

    def recover_pending(self) -> int:
        """Finish what requests cut short left pending; answers how many batches."""
        return self._redis.do(recover_pending(self.settings))

    def flush(self) -> None:
        """Of a server that this project starts, have on the disk all it has written: before a commit, so
        that a power cut cannot take from it what the lake keeps. Others flush as they are told to."""
        if self.settings.redis_url is None:
            flush(self.settings.state)

    # -- epochs -----------------------------------------------------------------------------------

    def start_after(self, landed_epoch: int) -> None:
        """See to it that new events are of later epochs than the lake's newest, which they are unless
        Redis has lost its data. To be called before events are taken: those of an epoch that the lake
        has are taken for landed."""
        (epoch,) = self._redis.run([("GET", keys.EPOCH)])
        if int(epoch or 1) <= landed_epoch:
            self.close_epoch(landed_epoch)

    def close_epoch(self, landed_epoch: int = 0) -> int:
        """Close what is open; answers the highest closed epoch, which names the commit.

        `landed_epoch` is the lake's newest: if Redis lost its data, its epochs go on above it. On return
        every event of the closed epochs is counted for its item and no other will join them.
        """
        closed = self._redis.do(_close_epoch(self.settings, landed_epoch))
        self.recover_pending()
        return closed

    def import_epoch(self, landed_epoch: int = 0) -> int:
        """A new epoch for an imported file; no live event will ever have it."""
        (epoch,) = self._redis.run([TAKE_EPOCHS(keys.EPOCH, 1, landed_epoch + 1)])
        return epoch

    def entries(
        self, shard: int, after_epoch: int, upto_epoch: int, chunk: int = 1_000
    ) -> Iterator[list[Entry]]:
        """The shard's events of epochs after `after_epoch` and up to `upto_epoch`, in order, in chunks."""
        start, end = f"{after_epoch + 1}-0", f"({upto_epoch + 1}-0"
        while True:
            command = ("XRANGE", keys.log(shard), start, end, "COUNT", chunk)
            (found,) = self._redis.run([command])
            if found:
                yield [_entry(shard, name, fields) for name, fields in found]
            if len(found) < chunk:
                return
            start = "(" + found[-1][0].decode()

    def trim(self, upto_epoch: int) -> int:
        """Forget the log of epochs that the lake has; answers how many events that were."""
        shards = range(self.settings.shards)
        return sum(self._redis.run([("XTRIM", keys.log(s), "MINID", f"{upto_epoch + 1}-0") for s in shards]))

    def prune(self, covered_epoch: int) -> int:
        """Drop live counts of epochs up to `covered_epoch`, which every stored base must cover."""
        return self._redis.do(_prune(self.settings, covered_epoch))

    # -- imports ----------------------------------------------------------------------------------

    def claim_imported(self, events: Sequence[LedgerEvent], owner: str, as_of: int) -> list[bool]:
        """Remember the ids of the recent ones among these events; True for each that is a repeat of an
        event posted to the API or claimed by another import.

        `owner` names the import for good, such as its file's digest: an import cut short between claiming
        and committing finds its own claims again. Older events than the API accepts need no claim.
        """
        return self._redis.do(_claim(self.settings, events, owner, as_of))

    def forget_claims(self, owner: str) -> None:
        """After the import is in the lake: its ids stay remembered, no longer as its own."""
        shards = range(self.settings.shards)
        self._redis.run([("UNLINK", keys.claims(shard, owner)) for shard in shards])

    # -- the clock, the score log and feedback --------------------------------------------------------------

    def clock(self) -> int | None:
        """The newest event time accepted; None before the first event."""
        (clock,) = self._redis.run([("GET", keys.CLOCK)])
        return None if clock is None else int(clock)

    def has_release(self) -> bool:
        (pointer,) = self._redis.run([("GET", keys.RELEASE)])
        return pointer is not None

    def advance_clock(self, event_time: int) -> int:
        """Moves the clock to this event time unless it is past it; answers where it stands."""
        (clock,) = self._redis.run([RAISE(keys.CLOCK, event_time)])
        return int(clock)

    def scores(self, after: str = "0-0", chunk: int = 1_000) -> Iterator[list[tuple[str, ScoreRecord]]]:
        """The logged scores after a place in the log, with the place of each, in chunks."""
        for found in self._stream(keys.SCORES, after, chunk):
            # Read after the records: the names of their features were written before them.
            (content,) = self._redis.run([("HGETALL", keys.SCORE_FEATURES)])
            lists = feature_lists(content)
            yield [(place, decode_record(fields, lists)) for place, fields in found]

    def trim_scores(self, upto: str) -> int:
        """Forget the logged scores up to and including a place in the log."""
        return self._trim_stream(keys.SCORES, upto)

    def feedback(self, after: str = "0-0", chunk: int = 1_000) -> Iterator[list[tuple[str, FeedbackRecord]]]:
        """The accepted corrections after a place in their log, with the place of each, in chunks."""
        for found in self._stream(keys.FEEDBACK, after, chunk):
            yield [(place, decode_feedback(fields)) for place, fields in found]

    def trim_feedback(self, upto: str) -> int:
        """Forget the corrections up to and including a place in the log; their ids stay remembered."""
        return self._trim_stream(keys.FEEDBACK, upto)

    def _stream(self, key: str, after: str, chunk: int) -> Iterator[list[tuple[str, dict]]]:
        while True:
            (found,) = self._redis.run([("XRANGE", key, f"({after}", "+", "COUNT", chunk)])
            if found:
                yield [(place.decode(), fields) for place, fields in found]
            if len(found) < chunk:
                return
            after = found[-1][0].decode()

    def _trim_stream(self, key: str, upto: str) -> int:
        milliseconds, _, sequence = upto.partition("-")
        following = f"{milliseconds}-{int(sequence) + 1}"
        return self._redis.run([("XTRIM", key, "MINID", following)])[0]


def _entry(shard: int, name: bytes, fields: dict[bytes, bytes]) -> Entry:
    epoch, seq = map(int, name.split(b"-"))
    return Entry(decode_entry(fields), shard, seq, epoch)


def _close_epoch(settings: Settings, landed_epoch: int) -> Steps[int]:
    # Two are taken: the lower names the commit, so that no import can have it, the higher is opened.
    (opened,) = yield [TAKE_EPOCHS(keys.EPOCH, 2, landed_epoch + 1)]
    yield [OPEN_EPOCH(keys.meta(shard), opened) for shard in range(settings.shards)]
    return opened - 1


def _claim(settings: Settings, events: Sequence[LedgerEvent], owner: str, as_of: int) -> Steps[list[bool]]:
    oldest = as_of - settings.id_memory_s * 1_000_000
    by_shard: dict[int, list[int]] = {}
    for position, event in enumerate(events):
        if event.event_time >= oldest:
            by_shard.setdefault(keys.shard_of(event.user_id, settings.shards), []).append(position)
    commands = []
    for shard, positions in by_shard.items():
        claimed = [
            (e.user_id, e.event_id, str(e.received_at // 1_000)) for e in (events[i] for i in positions)
        ]
        arguments = (keys.prefix(shard), owner, _encode(claimed), id_expiry_ms(settings))
        commands.append(CLAIM(keys.meta(shard), *arguments))
    replies = (yield commands) if commands else []
    repeated = [False] * len(events)
    for positions, flags in zip(by_shard.values(), replies, strict=True):
        for position, flag in zip(positions, flags.decode(), strict=True):
            repeated[position] = flag == "1"
    return repeated


def _prune(settings: Settings, covered_epoch: int, chunk: int = 500) -> Steps[int]:
    shards = range(settings.shards)
    pruned = yield [("HGET", keys.meta(shard), "pruned") for shard in shards]
    removed = 0
    for shard, before in zip(shards, pruned, strict=True):
        epochs = range(int(before or 0) + 1, covered_epoch + 1)
        if not epochs:
            continue
        written = yield [("EXISTS", keys.touched(shard, epoch)) for epoch in epochs]
        for epoch in (e for e, exists in zip(epochs, written, strict=True) if exists):
            while True:
                (names,) = yield [("SRANDMEMBER", keys.touched(shard, epoch), chunk)]
                if not names:
                    break
                removed += sum((yield [PRUNE(name, covered_epoch) for name in names]))
                yield [("SREM", keys.touched(shard, epoch), *names)]
        yield [
            *(("UNLINK", keys.applied(shard, epoch)) for epoch in epochs),
            ("HSET", keys.meta(shard), "pruned", covered_epoch),
        ]
    return removed
