"""Batch half of the encoder: a transformers `BertModel` turned into unit vectors."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, BertConfig, BertModel
from transformers.initialization import no_init_weights

from models.encoder.packed import PackedModel, packaged_file, read_packed
from models.runtime.text import NORMALIZATION, normalize_text, pad_ids

PACKAGED = "packaged"
MAX_LENGTH = 128
"""Tokens of a text that are read, special ones included; what follows is cut off."""

POOLING = "mean,l2"
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536}
"""Tokens of a batch, padding included."""


class EncoderLoadError(ValueError):
    """The encoder asked for cannot be used; the message says why."""


class Encoder:
    """Embeds texts in batches; a text's vector does not depend on its neighbours.

    On a GPU the network runs in mixed precision, so vectors there differ from the CPU's in
    the third decimal; pooling and length are float32 everywhere.
    """

    def __init__(
        self,
        model: BertModel,
        tokenizer: Tokenizer,
        pad_id: int,
        prefix: str,
        weights_hash: str,
        device: str | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().to(self.device)
        self.tokenizer = tokenizer
        self.pad_id = pad_id
        self.prefix = prefix
        self.max_length = min(MAX_LENGTH, model.config.max_position_embeddings)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_length)
        self.revision = _digest(
            weights_hash,
            tokenizer.to_str(),
            POOLING,
            prefix,
            str(self.max_length),
            NORMALIZATION,
        )[:12]

    @property
    def dim(self) -> int:
        return self.model.config.hidden_size

    def normalized(self, texts: Sequence[str]) -> list[str]:
        """The form in which each text is embedded and looked up."""
        return [normalize_text(text) for text in texts]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 [n, dim], in the order of the texts."""
        normalized = self.normalized(texts)
        distinct = list(dict.fromkeys(normalized))
        if not distinct:
            return np.empty((0, self.dim), dtype=np.float32)
        rows = [e.ids for e in self.tokenizer.encode_batch([self.prefix + t for t in distinct])]
        vectors = np.empty((len(distinct), self.dim), dtype=np.float32)
        for batch in length_batches([len(row) for row in rows], BATCH_TOKENS[self.device.type]):
            vectors[batch] = self._forward(*pad_ids([rows[i] for i in batch], self.pad_id))
        place = {text: i for i, text in enumerate(distinct)}
        return vectors[[place[text] for text in normalized]]

    @torch.inference_mode()
    def _forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        on_gpu = self.device.type == "cuda"
        tokens = torch.from_numpy(ids).to(self.device)
        attended = torch.from_numpy(mask).to(self.device)
        half = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float16
        with torch.autocast(self.device.type, dtype=half, enabled=on_gpu):
            hidden = self.model(input_ids=tokens, attention_mask=attended).last_hidden_state
        weight = attended.unsqueeze(-1).float()
        pooled = (hidden.float() * weight).sum(1) / weight.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()


def length_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Indices grouped by similar length; count times longest stays within `max_tokens`
    (a single longer text is a batch of its own)."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[i] > max_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def load_encoder(name: str = PACKAGED, device: str | None = None) -> Encoder:
    """`packaged`, a hub name or a local folder of a BERT-family encoder with mean pooling.

    Names with `e5` in them get the prefix `query: ` that those models were trained with.
    """
    if name == PACKAGED:
        path = packaged_file()
        packed = read_packed(path)
        weights_hash = hashlib.sha256(path.read_bytes()).hexdigest()
        model = bert_from_packed(packed)
        return Encoder(model, packed.tokenizer, packed.pad_id, "query: ", weights_hash, device)
    model, tokenizer = _pretrained(name)
    prefix = "query: " if "e5" in Path(name).name.lower() else ""
    pad_id = tokenizer.pad_token_id or 0
    return Encoder(model, tokenizer.backend_tokenizer, pad_id, prefix, _state_hash(model), device)


def _pretrained(name: str):
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type != "bert":
            raise EncoderLoadError(
                f"encoder {name!r} is of the family {config.model_type!r}; choose a BERT encoder"
            )
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = BertModel.from_pretrained(name, add_pooling_layer=False, dtype=torch.float32)
    except (OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EncoderLoadError(
            f"encoder {name!r} cannot be loaded ({reason}); give {PACKAGED!r}, a hub name or a "
            "folder with config.json, weights and tokenizer.json"
        ) from error
    if not tokenizer.is_fast:
        raise EncoderLoadError(f"encoder {name!r} has no fast tokenizer (tokenizer.json)")
    return model, tokenizer


def bert_from_packed(packed: PackedModel) -> BertModel:
    sizes = packed.config
    config = BertConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.intermediate,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.token_types,
        layer_norm_eps=sizes.layer_norm_eps,
        pad_token_id=packed.pad_id,
    )
    state = {_bert_name(name): torch.from_numpy(array.copy()) for name, array in packed.tensors.items()}
    with no_init_weights():  # strict loading fills every one
        model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(state)
    return model


_PARTS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def _bert_name(packed_name: str) -> str:
    """`l3.q.w` -> `encoder.layer.3.attention.self.query.weight`"""
    if packed_name in _PARTS:
        return _PARTS[packed_name]
    owner, _, kind = packed_name.rpartition(".")
    suffix = {"w": ".weight", "b": ".bias"}[kind]
    if owner in _PARTS:
        return _PARTS[owner] + suffix
    layer, _, part = owner.partition(".")
    return f"encoder.layer.{layer[1:]}.{_PARTS[part]}{suffix}"


def _state_hash(model: BertModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
