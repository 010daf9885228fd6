"""Feast's Redis layout, read without Feast: entity keys, hash fields, protobuf values.

One hash per entity. Its key is the entity key in Feast's serialization version 3, then the project's name.
A feature's field is the murmur3 hash of `view:feature`; `_ts:<view>` holds the row's event time. A null is
stored as an empty string, a feature that was never written is absent.
"""

import struct
from array import array
from collections.abc import Iterator, Mapping

from feature_repo.behavior import PROJECT

STRING_TYPE = 2
_MASK = 0xFFFFFFFF

FeastValue = int | float | str | bool | bytes | list | None


class FeastRowError(ValueError):
    """Bytes in a Feast hash that are not what Feast writes."""


def entity_key(entities: Mapping[str, str], project: str = PROJECT) -> bytes:
    """The Redis key of the entity with these join keys."""
    names = sorted(entities)
    values = [_sized(entities[name].encode()) for name in names]
    return b"".join([_key_names(names), *values, project.encode()])


def entity_key_pattern(entities: Mapping[str, str | None], project: str = PROJECT) -> bytes:
    """A pattern for SCAN that matches the keys of all entities with these values; None: any value."""
    names = sorted(entities)
    values = [entities[name] for name in names]
    parts = [b"*" if v is None else _literal(_sized(v.encode())) for v in values]
    return b"".join([_literal(_key_names(names)), *parts, project.encode()])


def _key_names(names: list[str]) -> bytes:
    return struct.pack("<I", len(names)) + b"".join(_sized(name.encode()) for name in names)


def _sized(text: bytes) -> bytes:
    return struct.pack("<II", STRING_TYPE, len(text)) + text


def _literal(part: bytes) -> bytes:
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\" else bytes([c]) for c in part)


def feature_field(view: str, feature: str) -> bytes:
    return struct.pack("<I", murmur3_32(f"{view}:{feature}".encode()))


def timestamp_field(view: str) -> bytes:
    return f"_ts:{view}".encode()


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """MurmurHash3_x86_32 by Austin Appleby."""
    h = seed
    whole = len(data) // 4 * 4
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        h ^= _scramble(k)
        h = (_rotate(h, 13) * 5 + 0xE6546B64) & _MASK
    if tail := data[whole:]:
        h ^= _scramble(int.from_bytes(tail, "little"))
    h ^= len(data)
    h = ((h ^ h >> 16) * 0x85EBCA6B) & _MASK
    h = ((h ^ h >> 13) * 0xC2B2AE35) & _MASK
    return h ^ h >> 16


def _scramble(k: int) -> int:
    return (_rotate((k * 0xCC9E2D51) & _MASK, 15) * 0x1B873593) & _MASK


def _rotate(x: int, bits: int) -> int:
    return (x << bits | x >> (32 - bits)) & _MASK


# -- protobuf -------------------------------------------------------------------------------------

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# feast.types.Value: a oneof, by field number. Of what Feast can store, what a declared feature can be.
_SCALARS = {
    1: "bytes",
    2: "string",
    3: "int32",
    4: "int64",
    5: "double",
    6: "float",
    7: "bool",
    8: "int64",
}
_LISTS = {
    11: "bytes",
    12: "string",
    13: "int32",
    14: "int64",
    15: "double",
    16: "float",
    17: "bool",
    18: "int64",
}
_NULL = 19


def decode_value(data: bytes) -> FeastValue:
    """A stored `feast.types.Value` as Python; None for a null. Instants are seconds since the epoch."""
    value: FeastValue = None
    for number, _, raw in _fields(data):
        if number in _SCALARS:
            value = _scalar(_SCALARS[number], raw)
        elif number in _LISTS:
            value = _elements(_LISTS[number], raw)
        elif number != _NULL:
            raise FeastRowError(f"a Feast value of kind {number}, which no declared feature has")
    return value


def decode_timestamp(data: bytes) -> int:
    """A stored `google.protobuf.Timestamp`, in microseconds since the epoch."""
    seconds = nanos = 0
    for number, _, raw in _fields(data):
        if number == 1:
            seconds = _signed(raw)
        elif number == 2:
            nanos = _signed(raw)
    return seconds * 1_000_000 + nanos // 1_000


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Field number, wire type and raw content of each field of a message."""
    position = 0
    try:
        while position < len(data):
            tag, position = _varint(data, position)
            wire = tag & 7
            if wire == _VARINT:
                raw, position = _varint(data, position)
            else:
                if wire == _LENGTH:
                    size, position = _varint(data, position)
                elif wire in (_FIXED64, _FIXED32):
                    size = 8 if wire == _FIXED64 else 4
                else:
                    raise FeastRowError(f"a Feast value with wire type {wire}")
                raw = data[position : position + size]
                if len(raw) != size:
                    raise FeastRowError("a Feast value that ends too early")
                position += size
            yield tag >> 3, wire, raw
    except IndexError:
        raise FeastRowError("a Feast value that ends too early") from None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def _signed(raw: int) -> int:
    """A varint of int32 or int64: negative numbers are written as 64-bit two's complement."""
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _scalar(kind: str, raw: int | bytes) -> FeastValue:
    match kind:
        case "bytes":
            return raw
        case "string":
            return raw.decode()
        case "double":
            return struct.unpack("<d", raw)[0]
        case "float":
            return struct.unpack("<f", raw)[0]
        case "bool":
            return bool(raw)
    return _signed(raw)


def _elements(kind: str, message: bytes) -> list:
    """The repeated field 1 of a list message; numbers come packed or one by one."""
    values: list = []
    for _, wire, raw in _fields(message):
        if wire == _LENGTH and kind in ("float", "double"):
            packed = array("f" if kind == "float" else "d")
            packed.frombytes(raw)
            values.extend(packed.tolist())
        elif wire == _LENGTH and kind in ("int32", "int64", "bool"):
            position = 0
            while position < len(raw):
                number, position = _varint(raw, position)
                values.append(_scalar(kind, number))
        else:
            values.append(_scalar(kind, raw))
    return values
