"""Utterance intent while a request waits: probabilities from a text's vector."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort


class UtteranceInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `utterance.json` says of the `head.onnx` beside it."""

    intents: tuple[str, ...]
    encoder_revision: str
    dim: int
    temperature: float
    metrics: dict[str, Any]
    """Each with its data and who wrote it; not used to answer."""


class UtteranceModelError(ValueError):
    """The folder holds no utterance model, or one made for another encoder."""


class UtteranceModel:
    def __init__(self, session: ort.InferenceSession, info: UtteranceInfo) -> None:
        self._session = session
        self.info = info

    @classmethod
    def load(cls, folder: Path | str, encoder_revision: str, threads: int = 1) -> "UtteranceModel":
        folder = Path(folder)
        for name in ("utterance.json", "head.onnx"):
            if not (folder / name).is_file():
                raise UtteranceModelError(f"{folder}: no {name}; build the utterance model first")
        try:
            info = msgspec.json.decode((folder / "utterance.json").read_bytes(), type=UtteranceInfo)
        except msgspec.DecodeError as error:
            raise UtteranceModelError(f"{folder / 'utterance.json'}: {error}") from error
        if info.encoder_revision != encoder_revision:
            raise UtteranceModelError(
                f"{folder}: made for vectors of encoder revision {info.encoder_revision}, not "
                f"{encoder_revision}; build the utterance model again with this encoder"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(str(folder / "head.onnx"), options, providers=["CPUExecutionProvider"])
        return cls(session, info)

    @property
    def intents(self) -> tuple[str, ...]:
        return self.info.intents

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [n, intents], rows summing to 1, from float32 [n, dim]."""
        if vectors.ndim != 2 or vectors.shape[1] != self.info.dim:
            raise ValueError(f"vectors are {vectors.shape}, expected (n, {self.info.dim})")
        inputs = {"vectors": np.asarray(vectors, dtype=np.float32)}
        return softmax(self._session.run(["logits"], inputs)[0] / self.info.temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
