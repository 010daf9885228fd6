"""An encoder whose vectors can be told by hand: an axis per letter, counted, at unit length."""

import string

import numpy as np

from feature_repo.behavior import EMBEDDING_DIM
from models.runtime.text import normalize_text


class LetterEncoder:
    def __init__(self, revision: str) -> None:
        self.revision = revision

    def normalized(self, texts: list[str]) -> list[str]:
        return [normalize_text(text) for text in texts]

    def embed(self, texts: list[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), EMBEDDING_DIM), dtype=np.float32)
        for row, text in enumerate(texts):
            for letter in text.lower():
                vectors[row, string.ascii_lowercase.find(letter)] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
