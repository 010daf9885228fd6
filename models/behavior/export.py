"""ONNX graphs of the candidates: float32 `inputs` [n, F] -> float32 `probability` [n],
uncalibrated."""

import lightgbm as lgb
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

OPSET = 15  # the newest that the tree converter writes
IR_VERSION = 9
INPUTS, PROBABILITY = "inputs", "probability"


def logistic_graph(weights: np.ndarray, bias: np.float32) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", [INPUTS, "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [PROBABILITY]),
    ]
    constants = {"weights": weights.astype(np.float32), "bias": np.array(bias, dtype=np.float32)}
    return _model(nodes, constants, len(weights))


def constant_graph(rate: float, width: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Shape", [INPUTS], ["rows"], start=0, end=1),
        helper.make_node("Expand", ["rate", "rows"], [PROBABILITY]),
    ]
    return _model(nodes, {"rate": np.array([rate], dtype=np.float32)}, width)


def single_precision(booster: lgb.Booster) -> lgb.Booster:
    """The same trees with every threshold cut down to a float32.

    ONNX keeps thresholds as float32. For float32 inputs `x <= t` holds exactly when `x` is at most the
    largest float32 that is not above `t`; rounding to the nearest may let one more value pass.
    """
    lines = []
    for line in booster.model_to_string().splitlines():
        name, _, values = line.partition("=")
        if name == "threshold" and values:
            line = f"threshold={' '.join(repr(floor32(float(v))) for v in values.split())}"
        elif name == "tree_sizes":
            continue  # the sizes of the trees' texts, which may have changed; they are optional
        lines.append(line)
    return lgb.Booster(model_str="\n".join(lines) + "\n")


def floor32(value: float) -> float:
    """The largest float32 that is not above `value`."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))


def trees_graph(booster: lgb.Booster) -> onnx.ModelProto:
    """The converter's graph, with the positive class's probability as its only output."""
    width = booster.num_feature()
    converted = convert_lightgbm(
        single_precision(booster),
        name="trees",
        initial_types=[(INPUTS, FloatTensorType([None, width]))],
        zipmap=False,
        target_opset=OPSET,
    )
    graph = converted.graph
    (both,) = (o.name for o in graph.output if o.name.startswith("probabilities"))
    graph.node.append(helper.make_node("Gather", [both, "positive"], [PROBABILITY], axis=1))
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "positive"))
    del graph.output[:]
    graph.output.append(_output())
    _drop_unused_nodes(graph)
    onnx.checker.check_model(converted)
    return converted


def _drop_unused_nodes(graph: onnx.GraphProto) -> None:
    wanted, kept = {PROBABILITY}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], width: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "behavior",
        [helper.make_tensor_value_info(INPUTS, TensorProto.FLOAT, ["n", width])],
        [_output()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _output() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, ["n"])
