"""A session so far: what the lake has of it, plus live epochs that it does not cover."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from feature_repo.behavior import (
    DEFINITIONS_HASH,
    SESSION_AGGREGATES,
    SESSION_GAP_S,
    session_values,
)
from feature_repo.sequence import Step, newest_steps
from feature_repo.windows import US
from online_api.counters import LastSession
from online_api.feast_rows import decode_value, feature_field

BASE_FIELDS = tuple(
    feature_field("session_state", name) for name in ("definitions_hash", "covered_epoch", "state", "steps")
)

STEPS = "steps"
"""Where a live session's hash has the steps of an epoch: `<epoch>:steps`, records one after another."""

_RECORD = "%014x%x%08x"
_STEPS = STEPS.encode()
STEP_BYTES = len(_RECORD % (0, 0, 0))

_MERGE = {"count": int.__add__, "sum": int.__add__, "min_time": min, "max_time": max}
_state_decoder = msgspec.json.Decoder(dict[str, int | None])
_steps_decoder = msgspec.json.Decoder(list[tuple[int, int, int]])


class Session(NamedTuple):
    """`state`: each aggregate seen, by name; empty for a session of which nothing is known. `steps`: its
    newest, in order."""

    state: dict[str, int]
    steps: Sequence[tuple[int, int, int]] = ()

    @property
    def last_event(self) -> int | None:
        return self.state.get("session_last_event_us")

    def values(self) -> list[int | float]:
        """In the order of `session_activity`."""
        return session_values(self.state, self.steps)


NO_SESSION = Session({})


def session(base: Sequence[bytes | None], live: Mapping[bytes, bytes]) -> Session:
    """`base`: the stored BASE_FIELDS; one of other definitions is as good as absent."""
    definitions, covered, encoded, listed = (decode_value(field) if field else None for field in base)
    state: dict[str, int] = {}
    steps: list[tuple[int, int, int]] = []
    if definitions != DEFINITIONS_HASH:
        covered = None
    elif encoded:
        known = _state_decoder.decode(encoded)
        state = {name: value for name, value in known.items() if value is not None}
        steps = _steps_decoder.decode(listed) if listed else []
    for field, value in live.items():
        epoch, _, name = field.partition(b":")
        if covered is not None and int(epoch) <= covered:
            continue
        if name == _STEPS:
            steps += steps_of(value)
            continue
        aggregate = SESSION_AGGREGATES[int(name)]
        before = state.get(aggregate.name)
        merged = int(value) if before is None else _MERGE[aggregate.op](before, int(value))
        state[aggregate.name] = merged
    return Session(state, newest_steps(steps))


def step_record(step: Step) -> str:
    """STEP_BYTES characters whose order is the order of steps."""
    return _RECORD % step


def steps_of(records: bytes) -> list[tuple[int, int, int]]:
    text = records.decode()
    return [
        (int(text[at : at + 14], 16), int(text[at + 14], 16), int(text[at + 15 : at + STEP_BYTES], 16))
        for at in range(0, len(text), STEP_BYTES)
    ]


def current_session(last: LastSession | None, as_of: int) -> str | None:
    """The session a shopper is taken to be in when none is named: the newest, if it is near `as_of`."""
    if last is None or abs(as_of - last.event_time) > SESSION_GAP_S * US:
        return None
    return last.session_id
