"""What must hold of what models learn from."""

from feature_repo.behavior import EMBEDDING_DIM, SERVICE_FEATURES
from orchestration.quality.expectations import (
    FIX_JOB,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    VECTOR,
    Suite,
    filled,
    has_rows,
    in_days,
    unique,
)
from orchestration.quality.rules import Broken, RowRule, is_negative

LABELS = ("purchase", "add_to_cart", "leave")
COUNTS = tuple(f.name for f in SERVICE_FEATURES if f.dtype == "int64")
VECTORS = tuple(f.name for f in SERVICE_FEATURES if f.dtype == "vector")
SOMETHING_TO_LEARN_FROM = has_rows(
    "there is something to train on",
    "import a longer log: rows whose horizon runs past its end are dropped",
    "warning",
)
ZERO_OR_ONE = RowRule(
    "labels_are_0_or_1",
    "each label is 0 or 1",
    FIX_JOB,
    tuple(Broken(f"{label} NOT IN (0, 1)", (label,)) for label in LABELS),
)


def training_labels() -> Suite:
    key = ("user_id", "session_id", "event_timestamp")
    return Suite(
        name="training_labels",
        key=key,
        columns={
            **dict.fromkeys(("user_id", "session_id"), TEXT),
            "event_timestamp": TIME,
            **dict.fromkeys(LABELS, INTEGER),
        },
        expectations=(
            SOMETHING_TO_LEARN_FROM,
            unique(*key),
        ),
        rules=(filled(*key, *LABELS), ZERO_OR_ONE),
    )


def training_rows(labelled_from: str, labelled_to: str) -> Suite:
    """The labels with the features of their instant; days `YYYY-MM-DD` bound the labels'."""
    key = ("user_id", "session_key", "event_timestamp")
    numbers = {
        f.name: INTEGER if f.dtype == "int64" else NUMBER for f in SERVICE_FEATURES if f.dtype != "vector"
    }
    return Suite(
        name="training_rows",
        key=key,
        columns={
            **dict.fromkeys(("user_id", "session_id", "session_key"), TEXT),
            "event_timestamp": TIME,
            **dict.fromkeys(LABELS, INTEGER),
            **numbers,
            **dict.fromkeys(VECTORS, VECTOR),
        },
        expectations=(
            SOMETHING_TO_LEARN_FROM,
            unique(*key),
            in_days("event_timestamp", labelled_from, labelled_to),
        ),
        rules=(
            filled(*key, *LABELS),
            ZERO_OR_ONE,
            RowRule(
                "counts_are_not_negative",
                "counts and amounts are at least 0, or null where nothing was known",
                FIX_JOB,
                is_negative(COUNTS),
            ),
            RowRule(
                "a_session_knows_its_own_event",
                "a row of a client's session counts at least the event it stands at",
                "retrieval joined another session or an earlier instant: materialize session_activity again",
                (
                    Broken(
                        "session_key = session_id AND coalesce(session_event_count, 0) < 1",
                        ("session_event_count",),
                    ),
                ),
            ),
            RowRule(
                "vectors_have_their_length",
                f"a vector has {EMBEDDING_DIM} numbers, or is null where nothing was written",
                FIX_JOB,
                tuple(Broken(f"size({v}) <> {EMBEDDING_DIM}", ()) for v in VECTORS),
            ),
        ),
    )
