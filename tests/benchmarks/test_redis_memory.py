from tests.benchmarks.redis_memory import KINDS, measured


def test_every_kind_of_key_is_accounted_for(tmp_path):
    found = measured(2_000, 2, tmp_path)
    by_kind = found["bytes_per_shopper"]
    assert set(KINDS) <= set(by_kind)
    assert all(size > 0 for size in by_kind.values())
    assert abs(sum(by_kind.values()) - found["bytes_per_shopper_in_all"]) <= len(by_kind)
