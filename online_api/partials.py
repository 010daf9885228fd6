"""How a live tile's value is written in Redis, for the operations that do not simply add up.

A script merges these texts without knowing what they mean (`scripts.py`): it keeps the smaller or the
greater number, the text whose bytes are greater, or the smallest of a set of records of one length.
"""

from feature_repo.aggregates import Aggregate, Op, Partial
from feature_repo.sketch import HASH_HEX_DIGITS

MERGES: dict[Op, str] = {"min": "<", "max": ">", "last": "@", "distinct": "#"}

# Wide enough for any time and any number of an event: as text they are in the order of the numbers.
_TIME_DIGITS = _NUMBER_DIGITS = 17


def encode_partial(op: Op, value: Partial) -> str:
    if op == "last":
        time, last = value
        text = f"{last:0{_NUMBER_DIGITS}d}" if isinstance(last, int) else last
        return f"{time:0{_TIME_DIGITS}d}{text}"
    if op == "distinct":
        return "".join(f"{h:0{HASH_HEX_DIGITS}x}" for h in value)
    return str(value)


def decode_partial(aggregate: Aggregate, value: bytes) -> Partial:
    if aggregate.op == "last":
        text = value.decode()
        time, last = int(text[:_TIME_DIGITS]), text[_TIME_DIGITS:]
        return time, last if aggregate.is_text else int(last)
    if aggregate.op == "distinct":
        size = HASH_HEX_DIGITS
        return [int(value[at : at + size], 16) for at in range(0, len(value), size)]
    return int(value)
