"""Feast's own protobuf classes, to write rows as Feast does. Loaded by file, since importing the package
takes seconds."""

import importlib.util
import json
from functools import cache
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from feature_repo.behavior import DEFINITIONS_HASH
from feature_repo.profiles import USER_PROFILE
from online_api.feast_rows import entity_key, feature_field, timestamp_field

LISTS = {"float_list_val", "double_list_val", "int64_list_val", "int32_list_val", "string_list_val"}


@cache
def protos():
    package = Path(importlib.util.find_spec("feast").origin).parent
    path = package / "protos" / "feast" / "types" / "Value_pb2.py"
    spec = importlib.util.spec_from_file_location("feast_value_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def value(kind: str, content) -> bytes:
    message = protos().Value()
    if kind == "null_val":
        return b""
    target = getattr(message, kind)
    if hasattr(target, "val"):
        target.val.extend(content)
        target.SetInParent()
    else:
        setattr(message, kind, content)
    return message.SerializeToString()


def timestamp(time_us: int) -> bytes:
    stamp = Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp.SerializeToString()


def write_row(server, view: str, entities: dict, time_us: int, **features) -> None:
    """What materialization leaves: `features` by name, as (kind, content)."""
    row = {feature_field(view, name): value(*typed) for name, typed in features.items()}
    server.hset(entity_key(entities), mapping={timestamp_field(view): timestamp(time_us), **row})


def write_user_tiles(
    server, user_id, tiles, time_us, covered_epoch, newest=None, session=None,
    definitions=DEFINITIONS_HASH,
):  # fmt: skip
    last_us, last_id = session or (None, None)
    write_row(
        server,
        "user_tiles",
        {"user_id": user_id},
        time_us,
        tiles=("string_val", json.dumps(tiles)),
        newest_event_us=("null_val", None) if newest is None else ("int64_val", newest),
        last_session_us=("null_val", None) if last_us is None else ("int64_val", last_us),
        last_session_id=("null_val", None) if last_id is None else ("string_val", last_id),
        covered_epoch=("int64_val", covered_epoch),
        definitions_hash=("string_val", definitions),
    )


def write_embedding(server, user_id, vector, time_us, revision) -> None:
    write_row(
        server,
        "user_intent_embedding",
        {"user_id": user_id},
        time_us,
        embedding=("null_val", None) if vector is None else ("float_list_val", vector),
        encoder_revision=("string_val", revision),
    )


KINDS = {"int64": "int64_val", "float64": "double_val", "string": "string_val", "strings": "string_list_val"}


def write_user_profile(server, user_id, time_us, **given) -> None:
    """A whole row: what is not given has its default, and is null where there is none."""
    values = {f.name: given.get(f.name, f.default) for f in USER_PROFILE}
    typed = {
        f.name: ("null_val", None) if values[f.name] is None else (KINDS[f.dtype], values[f.name])
        for f in USER_PROFILE
    }
    write_row(server, "user_profile", {"user_id": user_id}, time_us, **typed)
