"""How many different values there were, from the smallest of their hashes.

A *bottom-k sketch* keeps the K smallest hashes of the values seen. With fewer than K it has them all and
the count is exact; else K - 1 hashes lie evenly below the K-th, and the count is estimated as (K - 1)
times the hash range over it (Bar-Yossef et al. 2002; unbiased by Beyer et al. 2007, with a relative
standard error of about 1 / sqrt(K - 2)). Sketches merge by union, in any order and however often.
Integers only, so that every runtime answers the same.
"""

from collections.abc import Iterable
from hashlib import md5

K = 256
HASH_HEX_DIGITS = 13
HASH_BITS = 4 * HASH_HEX_DIGITS


def hash_digits(value: str) -> str:
    """The first digits of the MD5 of its UTF-8, which is no secret here but spreads evenly."""
    return md5(value.encode(), usedforsecurity=False).hexdigest()[:HASH_HEX_DIGITS]


def merged(hashes: Iterable[int]) -> list[int]:
    return sorted(set(hashes))[:K]


def estimate(sketch: list[int]) -> int:
    """`sketch` as `merged` answers it."""
    if len(sketch) < K:
        return len(sketch)
    return ((K - 1) << HASH_BITS) // max(sketch[-1], 1)
