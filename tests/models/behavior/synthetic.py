"""A made-up training table whose outcomes depend on the features in a known way."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from feature_repo.behavior import EMBEDDING_DIM, SERVICE_FEATURES
from models.runtime.row import NUMERIC, VECTOR

INTENTS = ("search", "price", "other")
START = datetime(2024, 5, 1, tzinfo=UTC)


class Head:
    """Reads the first numbers of a vector as evidence for each intent."""

    intents = INTENTS

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        scores = np.exp(8 * vectors[:, : len(INTENTS)])
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def make_table(sessions: int = 900, rows_each: int = 4, seed: int = 7) -> pd.DataFrame:
    """Carts and price texts make a purchase likelier; a long session makes leaving likelier."""
    rng = np.random.default_rng(seed)
    n = sessions * rows_each
    session, step = (
        np.repeat(np.arange(sessions), rows_each),
        np.tile(np.arange(rows_each), sessions),
    )
    counts = {f.name: (f.default or 0) + rng.poisson(0.4, n).astype(float) for f in NUMERIC}
    views, carts = 1 + step, np.minimum(step, rng.binomial(2, 0.3, sessions)[session])
    counts["session_view_count"], counts["session_add_to_cart_count"] = views, carts
    counts["session_event_count"] = views + carts
    for window in ("10m", "1h", "24h", "7d", "30d"):
        counts[f"add_to_cart_count_{window}"] = carts
        counts[f"view_count_{window}"] = views
    counts["session_cart_amount"] = carts * rng.integers(500, 90_000, n)
    counts["session_duration_s"] = step * rng.exponential(60, n)

    vectors, has_text = unit_vectors(rng, sessions)[session], rng.random(n) < 0.6
    asks_price = has_text & (Head().predict(vectors)[:, 1] > 0.5)
    logits = {
        "purchase": -2.5 + 1.6 * carts + 1.2 * asks_price,
        "add_to_cart": -2.0 + 0.9 * np.log1p(views),
        "leave": -2.0 + 0.7 * step,
    }
    labels = {t: (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int) for t, z in logits.items()}
    table = pd.DataFrame(
        {
            "user_id": [f"u{s % (sessions // 2)}" for s in session],
            "session_id": [f"s{s}" for s in session],
            "event_timestamp": [
                START + timedelta(minutes=10 * int(s), seconds=30 * int(k))
                for s, k in zip(session, step, strict=True)
            ],
            **labels,
            **counts,
        }
    )
    table[VECTOR.name] = [v if t else None for v, t in zip(vectors, has_text, strict=True)]
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def unit_vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = np.zeros((n, EMBEDDING_DIM), dtype=np.float32)
    vectors[np.arange(n), rng.integers(0, len(INTENTS), n)] = 1.0
    vectors += rng.normal(0, 0.01, vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def service_values(given: dict[str, object]) -> list:
    """Values in the service's order: those `given` by feature name, None for the rest."""
    return [given.get(f.name) for f in SERVICE_FEATURES]
