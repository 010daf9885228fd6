"""Text to vector while a request waits: the encoder's ONNX graph, its tokenizer and a cache."""

import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
import opencc
from tokenizers import Tokenizer

MAX_CHARS = 2000
"""Characters of a text that are looked at, so that one huge text costs no more than a long one."""

NORMALIZATION = f"no-control,plain-emoji,nfkc,lower,t2s-opencc-{opencc.__version__},one-space,{MAX_CHARS}"
"""Names what `normalize_text` does; part of an encoder's revision, so change it with the code."""

# What only shades an emoji: the sex joined to it, presentation selectors, keycaps, skin tones.
EMOJI_SHADES = re.compile("\u200d[\u2640\u2642]|[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")
# Letters of flags are left out: two equal ones can be a flag.
EMOJI_AGAIN = re.compile(
    "([\u231a\u231b\u23e9-\u23fa\u2600-\u27bf\u2b50\u2b55"
    "\U0001f300-\U0001f64f\U0001f680-\U0001faff])(?: ?\\1)+"
)
_SIMPLIFIED = opencc.OpenCC("t2s")


def normalize_text(text: str) -> str:
    """The one form in which a text is encoded, cached, segmented and looked up, online and in batch.

    Control and invisible characters vanish, width variants and ligatures become their plain form
    (NFKC), letters lower case, traditional Chinese simplified, runs of white space one space. Emoji
    stay, without skin tone, sex and presentation; the same one again and again counts once.
    """
    text = text[:MAX_CHARS]
    if text.isascii():
        return _one_space(_visible(text).lower())
    text = _visible(EMOJI_SHADES.sub("", text))
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    text = EMOJI_AGAIN.sub(r"\1", _one_space(_SIMPLIFIED.convert(text)))
    return text[:MAX_CHARS].rstrip()  # NFKC can lengthen


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))


def _one_space(text: str) -> str:
    return " ".join(text.split())


class EncoderInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `encoder.json` says of the graph and tokenizer beside it."""

    revision: str
    dim: int
    prefix: str
    max_length: int
    pad_id: int
    normalization: str


class TextEncoderError(ValueError):
    """A folder does not hold an encoder that this code can serve."""


def pad_ids(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and attention mask, int64 [n, longest row]."""
    width = max(map(len, rows))
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


class TextEncoder:
    """Embeds texts on the CPU; remembers the most recent ones. Safe to call from threads."""

    def __init__(
        self,
        session: ort.InferenceSession,
        tokenizer: Tokenizer,
        info: EncoderInfo,
        cache_size: int = 4096,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(info.max_length)
        self._info = info
        self._cache_size = cache_size
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path | str, threads: int = 1, cache_size: int = 4096) -> "TextEncoder":
        folder = Path(folder)
        for name in ("encoder.json", "model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise TextEncoderError(f"{folder}: no {name}; export the encoder there first")
        try:
            info = msgspec.json.decode((folder / "encoder.json").read_bytes(), type=EncoderInfo)
        except msgspec.DecodeError as error:
            path = folder / "encoder.json"
            raise TextEncoderError(f"{path}: {error}; export the encoder again") from error
        if info.normalization != NORMALIZATION:
            raise TextEncoderError(
                f"{folder}: made for text normalised as {info.normalization!r}, this code does "
                f"{NORMALIZATION!r}; export the encoder again"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return cls(session, tokenizer, info, cache_size)

    @property
    def revision(self) -> str:
        return self._info.revision

    @property
    def dim(self) -> int:
        return self._info.dim

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 [n, dim], in the order of the texts."""
        keys = [normalize_text(text) for text in texts]
        if not keys:
            return np.empty((0, self.dim), dtype=np.float32)
        found = self._remembered(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            new = dict(zip(missing, self._run(missing), strict=True))
            found |= new
            self._remember(new)
        return np.stack([found[key] for key in keys])

    def _run(self, normalized: list[str]) -> np.ndarray:
        prefixed = [self._info.prefix + text for text in normalized]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(prefixed)]
        ids, mask = pad_ids(rows, self._info.pad_id)
        return self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]

    def _remembered(self, keys: list[str]) -> dict[str, np.ndarray]:
        with self._lock:
            found = {key: self._cache[key] for key in keys if key in self._cache}
            for key in found:
                self._cache.move_to_end(key)
        return found

    def _remember(self, vectors: dict[str, np.ndarray]) -> None:
        with self._lock:
            for key, vector in vectors.items():
                self._cache[key] = vector.copy()
                self._cache.move_to_end(key)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
