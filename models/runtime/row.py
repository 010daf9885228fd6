"""From the declared features' values to the matrix the behaviour models read.

Training and serving both come through `RowBuilder`, so there is one definition of a column. The
columns are

- every numeric feature of `SERVICE_FEATURES` in order, as `log1p`;
- what the shopper's recent text asks for: the utterance head's probability of each intent, given
  the stored `user_intent_embedding`; zeros where there is no text;
- `has_recent_text`, 0 or 1.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from feature_repo.behavior import EMBEDDING_DIM, SERVICE_FEATURES

NUMERIC = tuple(f for f in SERVICE_FEATURES if f.dtype in ("int64", "float64"))
(VECTOR,) = (f for f in SERVICE_FEATURES if f.dtype == "vector")
_NUMERIC_AT = np.array([i for i, f in enumerate(SERVICE_FEATURES) if f.dtype != "vector"])
_VECTOR_AT = SERVICE_FEATURES.index(VECTOR)
_DEFAULTS = np.array([f.default for f in NUMERIC], dtype=np.float64)

HAS_TEXT = "has_recent_text"
DECIMALS = 4
"""Logarithms are rounded to this many decimals: no two values are then so close that a tree's
threshold between them, a double in training, falls on one of them as the exported graph's
float32."""

PREDICT_BATCH = 8_192

Value = int | float | Sequence[float] | np.ndarray | None


class TextHead(Protocol):
    """The utterance model as seen from here."""

    @property
    def intents(self) -> Sequence[str]: ...

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities [n, intents] of unit vectors [n, EMBEDDING_DIM]."""
        ...


class FeatureRow(NamedTuple):
    """One row: `values` by feature reference, defaults filled in, and the models' `inputs`,
    float32 [1, F]."""

    values: dict[str, Value]
    inputs: np.ndarray


class RowBuilder:
    def __init__(self, head: TextHead) -> None:
        self._head = head
        self.intents = tuple(head.intents)
        text = (*(f"recent_text_{intent}" for intent in self.intents), HAS_TEXT)
        self.columns: tuple[str, ...] = (*(f.reference for f in NUMERIC), *text)
        first = len(NUMERIC)
        self.groups: dict[str, slice] = {
            **{f.reference: slice(i, i + 1) for i, f in enumerate(NUMERIC)},
            VECTOR.reference: slice(first, first + len(text)),
        }
        """The columns that each feature stands behind; a vector stands behind several."""

    def row(self, values: Sequence[Value]) -> FeatureRow:
        """`values` in the order of SERVICE_FEATURES; None (or NaN) is the declared default."""
        if len(values) != len(SERVICE_FEATURES):
            raise ValueError(f"{len(values)} values for {len(SERVICE_FEATURES)} declared features")
        numbers = np.array(
            [[np.nan if values[i] is None else values[i] for i in _NUMERIC_AT]], dtype=np.float64
        )
        vector = values[_VECTOR_AT]
        known = {
            f.reference: f.default if value is None else value
            for f, value in zip(SERVICE_FEATURES, values, strict=True)
        }
        return FeatureRow(known, self.matrix(numbers, stack_vectors([vector])))

    def recent_text(self, row: FeatureRow) -> dict[str, float] | None:
        """The probability of each intent of the shopper's recent text; None where there is none."""
        *intents, has_text = row.inputs[0, len(NUMERIC) :].tolist()
        return dict(zip(self.intents, intents, strict=True)) if has_text else None

    def matrix(self, numbers: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """float32 [n, F] from `numbers` float64 [n, len(NUMERIC)], NaN where missing, and `vectors`
        float32 [n, EMBEDDING_DIM], zeros where missing."""
        if numbers.shape[1:] != (len(NUMERIC),) or vectors.shape != (len(numbers), EMBEDDING_DIM):
            raise ValueError(
                f"numbers {numbers.shape} and vectors {vectors.shape} do not fit "
                f"{len(NUMERIC)} numeric features and a vector of {EMBEDDING_DIM}"
            )
        filled = np.where(np.isnan(numbers), _DEFAULTS, numbers)
        out = np.zeros((len(numbers), len(self.columns)), dtype=np.float32)
        out[:, : len(NUMERIC)] = np.round(np.log1p(np.maximum(filled, 0.0)), DECIMALS)
        with_text = np.flatnonzero(vectors.any(axis=1))
        for start in range(0, len(with_text), PREDICT_BATCH):
            rows = with_text[start : start + PREDICT_BATCH]
            out[rows, len(NUMERIC) : -1] = np.round(self._head.predict(vectors[rows]), DECIMALS)
        out[with_text, -1] = 1.0
        return out


def stack_vectors(vectors: Sequence[Sequence[float] | np.ndarray | None]) -> np.ndarray:
    """float32 [n, EMBEDDING_DIM]; None becomes zeros, which is how a missing vector is stored."""
    out = np.zeros((len(vectors), EMBEDDING_DIM), dtype=np.float32)
    for i, vector in enumerate(vectors):
        if vector is not None:
            if len(vector) != EMBEDDING_DIM:
                raise ValueError(f"{VECTOR.reference}: {len(vector)} numbers, expected {EMBEDDING_DIM}")
            out[i] = vector
    return out


def numbers_of(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """float64 [n, len(NUMERIC)] from a table's columns by feature name."""
    return np.column_stack([np.asarray(columns[f.name], dtype=np.float64) for f in NUMERIC])
