import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_api.feast_rows import (
    FeastRowError,
    decode_timestamp,
    decode_value,
    entity_key,
    feature_field,
    murmur3_32,
)
from tests.online_api import feast_values

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)
DOUBLE = st.floats(allow_nan=False)
CONTENT = {
    "bytes_val": st.binary(),
    "string_val": st.text(),
    "int32_val": INT32,
    "int64_val": INT64,
    "double_val": DOUBLE,
    "float_val": FLOAT32,
    "bool_val": st.booleans(),
    "unix_timestamp_val": INT64,
    "bytes_list_val": st.lists(st.binary()),
    "string_list_val": st.lists(st.text()),
    "int32_list_val": st.lists(INT32),
    "int64_list_val": st.lists(INT64),
    "double_list_val": st.lists(DOUBLE),
    "float_list_val": st.lists(FLOAT32),
    "bool_list_val": st.lists(st.booleans()),
}
TYPED = st.sampled_from(sorted(CONTENT)).flatmap(lambda k: st.tuples(st.just(k), CONTENT[k]))


@given(TYPED)
def test_reads_what_feast_writes(typed):
    kind, content = typed
    found = decode_value(feast_values.value(kind, content))
    assert found == content and type(found) is type(content)


def test_null_is_none():
    null = feast_values.protos().Value(null_val=0).SerializeToString()
    assert decode_value(null) is None and decode_value(b"") is None


def test_other_kinds_and_broken_bytes_are_errors():
    nested = feast_values.protos().Value()
    nested.map_val.val["a"].int64_val = 1
    with pytest.raises(FeastRowError, match="kind 20"):
        decode_value(nested.SerializeToString())
    whole = feast_values.value("string_val", "hello")
    for size in range(1, len(whole)):
        with pytest.raises(FeastRowError):
            decode_value(whole[:size])


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_timestamps_are_exact_to_the_microsecond(time_us):
    assert decode_timestamp(feast_values.timestamp(time_us)) == time_us


@given(st.binary(max_size=40))
def test_murmur3_agrees_with_the_library_feast_uses(data):
    assert murmur3_32(data) == mmh3.hash(data, signed=False)


def test_entity_key_is_feasts():
    known = "010000000200000007000000757365725f696402000000020000007531696e74656e74"
    assert entity_key({"user_id": "u1"}, "intent").hex() == known
    pair = entity_key({"user_id": "阿明", "session_id": "s"}, "intent")
    assert pair == entity_key({"session_id": "s", "user_id": "阿明"}, "intent")
    assert pair.index(b"session_id") < pair.index(b"user_id")


def test_feature_field_is_the_hash_little_endian():
    expected = mmh3.hash("user_activity:view_count_1h", signed=False).to_bytes(4, "little")
    assert feature_field("user_activity", "view_count_1h") == expected
