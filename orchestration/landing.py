"""Events from the live log into the lake: nothing twice, nothing left out, whatever is killed when.

The commit file decides. Entries of epochs that the lake has committed are never read again, entries of
epochs it has not are still in Redis, because the log is trimmed only behind a commit.
"""

import msgspec

from online_api.epochs import BlockingLedger
from spark_jobs.lake import Lake
from spark_jobs.ledger_files import LedgerWriter, Position


class Landing(msgspec.Struct, frozen=True):
    epoch: int
    rows: int
    days: tuple[str, ...]
    files: int


def land(ledger: BlockingLedger, lake: Lake) -> Landing:
    """Close the open epoch on every shard and commit everything not yet in the lake."""
    with lake.exclusive("ledger"):
        lake.drop_uncommitted()
        landed = lake.landed_epoch()
        ledger.trim(landed)
        closed = ledger.close_epoch(landed)
        writer = LedgerWriter(lake, f"epoch-{closed:012d}")
        for shard in range(ledger.settings.shards):
            for chunk in ledger.entries(shard, after_epoch=landed, upto_epoch=closed):
                for entry in chunk:
                    writer.add(entry.event, Position(entry.shard, entry.seq, entry.epoch))
        ledger.flush()
        commit = writer.commit(closed, "stream")
        ledger.trim(closed)
    days = tuple(sorted({f.day for f in commit.files}))
    return Landing(closed, commit.rows, days, len(commit.files))
