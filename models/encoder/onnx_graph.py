"""The encoder's network as an ONNX graph, written node by node.

Written out rather than traced, so that the embedding table, nine tenths of a multilingual
encoder, can stay in int8: a row is gathered and only then multiplied by its scales.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.encoder.encoder import Encoder
from models.runtime.text import NORMALIZATION

OPSET = 20
TABLE_BLOCK = 32
MASKED = -1e9


def export_onnx(encoder: Encoder, folder: Path) -> None:
    """Writes `model.onnx`, `tokenizer.json` and `encoder.json` for `runtime.text.TextEncoder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(bert_graph(encoder), str(folder / "model.onnx"))
    encoder.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    info = {
        "revision": encoder.revision,
        "dim": encoder.dim,
        "prefix": encoder.prefix,
        "max_length": encoder.max_length,
        "pad_id": encoder.pad_id,
        "normalization": NORMALIZATION,
    }
    (folder / "encoder.json").write_text(json.dumps(info, indent=2) + "\n")


def quantised_blocks(table: np.ndarray, block: int = TABLE_BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """Int8 [rows, width] and scales [rows, width / block] whose product is nearly the table.

    A block that was once quantised to 4 bits (its largest weight eight steps from zero, all
    others whole steps) comes back exactly; any other is rounded to 127 steps.
    """
    blocks = table.reshape(len(table), -1, block)
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    largest[largest == 0] = 1
    in_eighths = blocks * (8 / largest)
    whole = (np.abs(in_eighths - np.round(in_eighths)) < 1e-4).all(axis=2, keepdims=True)
    scale = (largest / np.where(whole, 8, 127)).astype(np.float32)
    steps = np.round(blocks / scale).astype(np.int8)
    return steps.reshape(table.shape), scale[:, :, 0]


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes) -> str | list[str]:
        names = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def ints(self, *values: int) -> str:
        return self.const(np.array(values, dtype=np.int64))

    def scalar(self, value: float) -> str:
        return self.const(np.float32(value).reshape(()))

    def dense(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """`weight` as torch keeps it, [out, in]."""
        return self.add("Add", self.add("MatMul", x, self.const(weight.T)), self.const(bias))

    def layer_norm(self, x: str, weight: np.ndarray, bias: np.ndarray, epsilon: float) -> str:
        scale, shift = self.const(weight), self.const(bias)
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def bert_graph(encoder: Encoder) -> onnx.ModelProto:
    """int64 `input_ids`, `attention_mask` [n, length] -> float32 `embedding` [n, dim]."""
    config = encoder.model.config
    if config.hidden_act != "gelu":
        raise ValueError(f"cannot export a BERT with {config.hidden_act!r}: only gelu is written")
    state = {k: v.float().cpu().numpy() for k, v in encoder.model.state_dict().items()}
    graph = _Graph()
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = _embeddings(graph, state, config)
    away = graph.add("Mul", graph.add("Sub", mask, graph.scalar(1)), graph.scalar(-MASKED))
    attention_bias = graph.add("Unsqueeze", away, graph.ints(1, 2))
    for i in range(config.num_hidden_layers):
        part = {
            k.removeprefix(f"encoder.layer.{i}."): v
            for k, v in state.items()
            if k.startswith(f"encoder.layer.{i}.")
        }
        hidden = _layer(graph, part, hidden, attention_bias, config)
    _mean_pooled(graph, hidden, mask)
    return _model(graph, config.hidden_size)


def _embeddings(graph: _Graph, state: dict[str, np.ndarray], config) -> str:
    width = config.hidden_size
    block = TABLE_BLOCK if width % TABLE_BLOCK == 0 else width
    steps, scales = quantised_blocks(state["embeddings.word_embeddings.weight"], block)
    rows = graph.add("Gather", graph.const(steps), "input_ids", axis=0)
    rows = graph.add("Cast", rows, to=TensorProto.FLOAT)
    rows = graph.add("Reshape", rows, graph.ints(0, 0, width // block, block))
    row_scales = graph.add("Gather", graph.const(scales[:, :, None]), "input_ids", axis=0)
    words = graph.add("Reshape", graph.add("Mul", rows, row_scales), graph.ints(0, 0, width))

    first_type = state["embeddings.token_type_embeddings.weight"][0]
    places = graph.const(state["embeddings.position_embeddings.weight"] + first_type)
    length = graph.add("Shape", "input_ids", start=1, end=2)
    places = graph.add("Slice", places, graph.ints(0), length, graph.ints(0))
    return graph.layer_norm(
        graph.add("Add", words, places),
        state["embeddings.LayerNorm.weight"],
        state["embeddings.LayerNorm.bias"],
        config.layer_norm_eps,
    )


def _layer(graph: _Graph, part: dict[str, np.ndarray], hidden: str, bias: str, config) -> str:
    heads, width = config.num_attention_heads, config.hidden_size
    size = width // heads
    shrink = size**-0.5  # the attention's 1/sqrt(size), folded into the query projection
    names = ("query", "key", "value")
    weights = [part[f"attention.self.{name}.weight"] for name in names]
    biases = [part[f"attention.self.{name}.bias"] for name in names]
    weights[0], biases[0] = weights[0] * shrink, biases[0] * shrink
    qkv = graph.dense(hidden, np.concatenate(weights), np.concatenate(biases))
    qkv = graph.add("Reshape", qkv, graph.ints(0, 0, 3 * heads, size))
    qkv = graph.add("Transpose", qkv, perm=[0, 2, 1, 3])
    query, key, value = graph.add("Split", qkv, axis=1, num_outputs=3, outputs=3)
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
    weight = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    context = graph.add("Transpose", graph.add("MatMul", weight, value), perm=[0, 2, 1, 3])
    context = graph.add("Reshape", context, graph.ints(0, 0, width))
    hidden = _residual(graph, part, "attention.output", context, hidden, config)
    inner = graph.dense(hidden, part["intermediate.dense.weight"], part["intermediate.dense.bias"])
    return _residual(graph, part, "output", graph.add("Gelu", inner), hidden, config)


def _residual(graph: _Graph, part: dict, name: str, x: str, residual: str, config) -> str:
    x = graph.dense(x, part[f"{name}.dense.weight"], part[f"{name}.dense.bias"])
    norm = (part[f"{name}.LayerNorm.weight"], part[f"{name}.LayerNorm.bias"])
    return graph.layer_norm(graph.add("Add", x, residual), *norm, config.layer_norm_eps)


def _mean_pooled(graph: _Graph, hidden: str, mask: str) -> None:
    attended = graph.add("Mul", hidden, graph.add("Unsqueeze", mask, graph.ints(2)))
    total = graph.add("ReduceSum", attended, graph.ints(1), keepdims=0)
    length = graph.add("ReduceL2", total, graph.ints(1), keepdims=1)  # the count cancels out
    graph.nodes.append(helper.make_node("Div", [total, length], ["embedding"]))


def _model(graph: _Graph, width: int) -> onnx.ModelProto:
    tokens = ["n", "length"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", width])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "bert_encoder", inputs, [output], graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return model
