"""Every Redis key of the platform, and where a shopper's data is among them.

Keys of one shard share its number in braces, the hash tag by which a Redis Cluster places them, so that a
script touches one slot only. Feast's own keys begin with bytes that no key here begins with.
"""

from binascii import crc32
from functools import cache
from typing import NamedTuple

from feature_repo.aggregates import Activity
from feature_repo.behavior import ACTIVITIES, DEFINITIONS_HASH
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


def tiles_name(activity: Activity, entity: tuple[str, ...]) -> str:
    """What the key of an entity's live tiles ends with, after its shard and the definitions' hash."""
    return f"{activity.name}:{SEPARATOR.join(entity)}"


def live_tiles(shards: int, activity: Activity, entity: tuple[str, ...]) -> str:
    """Hash of `<epoch>:<hop_s>:<tile index>:<aggregate>`, in the shard of the first of the entity's keys."""
    return f"{prefix(shard_of(entity[0], shards))}{DEFINITIONS_HASH}:{tiles_name(activity, entity)}"


def session_state(shards: int, user_id: str, session_id: str) -> str:
    tag = prefix(shard_of(user_id, shards))
    return f"{tag}{DEFINITIONS_HASH}:s:{user_id}{SEPARATOR}{session_id}"


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
        *(
            ShopperData(f"live {a.tiles}", "pattern", f"{tag}{any_definitions}:{_of_shopper(a, escaped)}")
            for a in ACTIVITIES
            if a.personal
        ),
        ShopperData("live sessions", "pattern", f"{tag}{any_definitions}:s:{escaped}{SEPARATOR}*"),
        ShopperData("names of live keys", "members", f"{tag}touched:*"),
        ShopperData("scores", "entries", SCORES),
        ShopperData("feedback", "entries", FEEDBACK),
        ShopperData("feast: shopper", "key", entity_key({"user_id": user_id})),
        ShopperData("feast: sessions", "pattern", in_sessions),
        *(
            ShopperData(f"feast: {a.tiles}", "pattern", entity_key_pattern(_any_of(a, user_id)))
            for a in ACTIVITIES
            if a.personal and len(a.keys) > 1
        ),
    )


def _of_shopper(activity: Activity, escaped_user: str) -> str:
    further = "*" if len(activity.keys) > 1 else None
    return tiles_name(activity, (escaped_user,) if further is None else (escaped_user, further))


def _any_of(activity: Activity, user_id: str) -> dict[str, str | None]:
    return {key: user_id if key == "user_id" else None for key in activity.keys}
