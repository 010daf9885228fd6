"""What is learned from: a table of feature rows as arrays, with its parts by time."""

import numpy as np
import pandas as pd
import pyarrow as pa

from models.behavior.split import Dataset, split_by_time
from models.runtime.behavior import TARGETS
from models.runtime.row import NUMERIC, VECTOR, RowBuilder, numbers_of, stack_vectors

MIN_SESSIONS = {"train": 30, "calibrate": 10, "test": 10}
"""In each part at least so many sessions must have a positive row, and so many a negative one;
else the target is answered by its base rate."""


class TrainingError(ValueError):
    """The table cannot be trained on; the message says why."""


def dataset(table: pd.DataFrame | pa.Table, rows: RowBuilder) -> Dataset:
    frame = table.to_pandas() if isinstance(table, pa.Table) else table
    needed = [
        "user_id",
        "session_id",
        "event_timestamp",
        *TARGETS,
        *(f.name for f in NUMERIC),
        VECTOR.name,
    ]
    if absent := [c for c in needed if c not in frame.columns]:
        raise TrainingError(f"the training table lacks {', '.join(absent)}")
    if frame.empty:
        raise TrainingError("the training table is empty: import a log and materialize its days first")
    # the order of the rows must not matter: retrieval gives them in any
    frame = frame.sort_values(["event_timestamp", "user_id", "session_id"], kind="stable")
    labels = {t: frame[t].to_numpy(dtype=np.float64) for t in TARGETS}
    for target, y in labels.items():
        if not np.isin(y, (0, 1)).all():
            raise TrainingError(f"label {target} must be 0 or 1 in every row")
    vectors = [None if v is None or np.isscalar(v) else v for v in frame[VECTOR.name]]
    numbers = numbers_of({f.name: frame[f.name].to_numpy(dtype=np.float64, na_value=np.nan) for f in NUMERIC})
    names = frame[["user_id", "session_id"]].astype(str)
    session = pd.factorize(pd.MultiIndex.from_frame(names))[0]
    time = pd.to_datetime(frame["event_timestamp"], utc=True).to_numpy(dtype="datetime64[us]")
    parts = split_by_time(session, time)
    if any(len(getattr(parts, name)) == 0 for name in MIN_SESSIONS):
        raise TrainingError(
            f"the training table has {session.max() + 1} sessions over too short a time to keep "
            "later ones for testing: import a longer log"
        )
    return Dataset(rows.matrix(numbers, stack_vectors(vectors)), labels, session, time, parts)
