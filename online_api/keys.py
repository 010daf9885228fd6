"""Every Redis key of the platform, and where a shopper's data is among them.

Keys of one shard share its number in braces, the hash tag by which a Redis Cluster places them, so that a
script touches one slot only. Feast's own keys begin with bytes that no key here begins with.
"""

from binascii import crc32
from functools import cache
from typing import NamedTuple

from feature_repo.behavior import DEFINITIONS_HASH
from online_api.feast_rows import entity_key, entity_key_pattern

CLOCK = "intent:clock"
EPOCH = "intent:epoch"
SHARDS = "intent:shards"
RELEASE = "intent:release"
SCORES = "intent:scores"
SCORE_FEATURES = "intent:score-features"
FEEDBACK = "intent:{feedback}:log"
FEEDBACK_IDS = "intent:{feedback}:ids"

SEPARATOR = "\x1f"
"""Between a shopper and a session in a key; no identifier contains a control character."""


def shard_of(entity_id: str, shards: int) -> int:
    return crc32(entity_id.encode()) % shards


@cache
def prefix(shard: int) -> str:
    return f"intent:{{{shard:02d}}}:"


def meta(shard: int) -> str:
    """Hash: `seq`, the last sequence given; `epoch`, the open one (absent: 1); `pruned`."""
    return prefix(shard) + "meta"


def log(shard: int) -> str:
    """Stream of accepted events; an entry's id is `<epoch>-<seq>`, its field `e` a LedgerEvent."""
    return prefix(shard) + "log"


def pending(shard: int) -> str:
    """Hash of the batches, `<epoch>-<first seq>-<last seq>`, whose items may not be counted yet."""
    return prefix(shard) + "pending"


def ids(shard: int, user_id: str) -> str:
    """Sorted set of the shopper's event ids by arrival in milliseconds."""
    return f"{prefix(shard)}ids:{user_id}"


def claims(shard: int, owner: str) -> str:
    """Set of the event ids that an import has claimed and not yet committed."""
    return f"{prefix(shard)}import:{owner}"


def touched(shard: int, epoch: int) -> str:
    """Set of the live keys that an epoch wrote to."""
    return f"{prefix(shard)}touched:{epoch}"


def applied(shard: int, epoch: int) -> str:
    """Set of the batches, `<source shard>-<first seq>-<last seq>`, counted for this shard's items."""
    return f"{prefix(shard)}applied:{epoch}"


def user_tiles(shards: int, user_id: str) -> str:
    return f"{prefix(shard_of(user_id, shards))}{DEFINITIONS_HASH}:u:{user_id}"


def session_state(shards: int, user_id: str, session_id: str) -> str:
    tag = prefix(shard_of(user_id, shards))
    return f"{tag}{DEFINITIONS_HASH}:s:{user_id}{SEPARATOR}{session_id}"


def item_tiles(shards: int, item_id: str) -> str:
    return f"{prefix(shard_of(item_id, shards))}{DEFINITIONS_HASH}:i:{item_id}"


class ShopperData(NamedTuple):
    """A place that holds a shopper's data. `match` is a key, a SCAN pattern, or the key of a log in
    which the shopper's entries are found by reading it."""

    name: str
    kind: str
    match: str | bytes


def shopper_data(user_id: str, shards: int) -> tuple[ShopperData, ...]:
    """Everything in Redis that is kept of one shopper; item counts are sums over all and name nobody."""
    shard = shard_of(user_id, shards)
    tag = prefix(shard)
    escaped = "".join(f"\\{c}" if c in "*?[]\\" else c for c in user_id)
    any_definitions = "?" * len(DEFINITIONS_HASH)
    in_sessions = entity_key_pattern({"session_id": None, "user_id": user_id})
    return (
        ShopperData("ledger", "entries", log(shard)),
        ShopperData("event ids", "key", ids(shard, user_id)),
        ShopperData("import claims", "members", f"{tag}import:*"),
        ShopperData("live tiles", "pattern", f"{tag}{any_definitions}:u:{escaped}"),
        ShopperData("live sessions", "pattern", f"{tag}{any_definitions}:s:{escaped}{SEPARATOR}*"),
        ShopperData("names of live keys", "members", f"{tag}touched:*"),
        ShopperData("scores", "entries", SCORES),
        ShopperData("feedback", "entries", FEEDBACK),
        ShopperData("feast: shopper", "key", entity_key({"user_id": user_id})),
        ShopperData("feast: sessions", "pattern", in_sessions),
    )
