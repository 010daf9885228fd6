"""Served scores against Feast's historical retrieval: the same shopper and time, the same input."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pandas as pd

from feature_repo.behavior import DEFINITIONS_HASH, FEATURES
from feature_repo.events import from_us
from online_api.score_log import ScoreRecord, unpack_vector
from orchestration.resources import Platform
from orchestration.scores import newest_scores
from orchestration.staleness import stale_days

FLOAT_TOLERANCE = 1e-6
SHOWN_EXAMPLES = 5

_FEATURE = {f.reference: f for f in FEATURES}


class Verification(msgspec.Struct, frozen=True):
    """`mismatches`: per feature, on how many scores it differed; only those that did are named.
    `skipped`: scores that other definitions made, or whose instant lies before events already known."""

    scores: int
    features: int
    mismatches: dict[str, int]
    examples: tuple[str, ...]
    skipped: dict[str, int]


def verify_scores(count: int) -> Verification:
    """Recompute the newest logged scores, once everything they knew is in the lake and its tables."""
    platform = Platform.from_environment()
    if platform.lake.ledger_days() and (stale := stale_days(platform.lake)):
        raise ValueError(
            f"events of {stale[0]} to {stale[-1]} are not in the tables yet: run `intent materialize` first"
        )
    records = newest_scores(platform.ledger, platform.lake, count)
    if not records:
        raise ValueError("no score has been logged: score some shoppers first (INTENT_SCORE_LOG above 0)")
    return verify(platform, records)


def verify(platform: Platform, records: Sequence[ScoreRecord]) -> Verification:
    """Compare what the model was given with what history says; integers exactly, floats within 1e-6."""
    skipped = Counter(filter(None, map(reason_to_skip, records)))
    checked = [r for r in records if reason_to_skip(r) is None]
    if not checked:
        return Verification(0, 0, {}, (), dict(skipped))
    rows = retrieved(platform, checked)
    mismatches, examples = Counter(), []
    for record, row in zip(checked, rows, strict=True):
        for name, served, recomputed in differences(record, row):
            mismatches[name] += 1
            if len(examples) < SHOWN_EXAMPLES:
                examples.append(
                    f"{record.score_id} {record.user_id} at {from_us(record.as_of).isoformat()}: "
                    f"{name} served {served}, recomputed {recomputed}"
                )
    compared = len(checked[0].features)
    return Verification(len(checked), compared, dict(mismatches), tuple(examples), dict(skipped))


def reason_to_skip(record: ScoreRecord) -> str | None:
    if record.definitions_hash != DEFINITIONS_HASH:
        return "other definitions"
    return None if record.as_of_exact else "as_of before events already known"


def retrieved(platform: Platform, records: Sequence[ScoreRecord]) -> list[dict]:
    """For each record, in order, every feature by name with declared defaults in the place of nulls."""
    from orchestration.feature_store import fill_defaults, historical

    store = platform.feature_store()
    entities = pd.DataFrame(
        {
            "position": range(len(records)),
            "user_id": [r.user_id for r in records],
            "session_id": [r.session_id or "" for r in records],
            "event_timestamp": [from_us(r.as_of) for r in records],
        }
    )
    rows = fill_defaults(historical(store, entities))
    return [row.asDict() for row in rows.orderBy("position").toLocalIterator()]


def differences(record: ScoreRecord, row: dict) -> Iterator[tuple[str, object, object]]:
    """The features whose served input is not what history gives: name, served, recomputed."""
    for reference, value, used in zip(record.features, record.values, record.used, strict=True):
        feature = _FEATURE[reference]
        recomputed = row[feature.name]
        if feature.dtype == "vector":
            served = unpack_vector(value) if used and value is not None else [0.0] * len(recomputed)
            if not all_close(served, recomputed):
                yield reference, f"{served[:3]}…", f"{recomputed[:3]}…"
            continue
        served = value if used and value is not None else feature.default
        exact = feature.dtype == "int64"
        if served != recomputed if exact else abs(served - recomputed) > FLOAT_TOLERANCE:
            yield reference, served, recomputed


def all_close(left: Iterable[float], right: Iterable[float]) -> bool:
    left, right = list(left), list(right)
    return len(left) == len(right) and all(
        abs(a - b) <= FLOAT_TOLERANCE for a, b in zip(left, right, strict=True)
    )
