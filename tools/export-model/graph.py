"""Writes ONNX files that the node can run: core operators, float32, one row in, class probabilities or one value out.

Shared by the exporter and the fixture maker, so that the fixtures are the same kind of file as a real export.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# Old enough for every runtime, new enough for one Softmax axis rule.
OPSET = 17
IR_VERSION = 8


def model_of(nodes, weights, width, classes, *, domains=(), input_type=TensorProto.FLOAT, output="probabilities"):
    """A model from nodes and a dict of weights; `domains` are operator sets beside the core one."""
    graph = helper.make_graph(
        nodes,
        "sentinel",
        [helper.make_tensor_value_info("row", input_type, [1, width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, classes])],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(graph, producer_name="export-model", opset_imports=opsets, ir_version=IR_VERSION)


def network(mean, inverse_std, clip, layers):
    """Standardise, clip, then `layers` = [(weights, bias), …] with Relu between them and Softmax at the end."""
    weights = {"mean": mean, "inverse_std": inverse_std, "low": -clip, "high": clip}
    nodes = [
        helper.make_node("Sub", ["row", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse_std"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["layer_0"]),
    ]
    for index, (weight, bias) in enumerate(layers):
        weights |= {f"weight_{index}": weight, f"bias_{index}": bias}
        nodes.append(helper.make_node("Gemm", [f"layer_{index}", f"weight_{index}", f"bias_{index}"], [f"sum_{index}"]))
        if index + 1 < len(layers):
            nodes.append(helper.make_node("Relu", [f"sum_{index}"], [f"layer_{index + 1}"]))
    nodes.append(helper.make_node("Softmax", [f"sum_{len(layers) - 1}"], ["probabilities"], axis=1))
    return model_of(nodes, weights, len(mean), len(layers[-1][1]))


def regression(mean, inverse_std, clip, weight, bias):
    """Standardise, clip, then one value: a weighted sum of the columns."""
    weights = {"mean": mean, "inverse_std": inverse_std, "low": -clip, "high": clip, "weight": weight, "bias": bias}
    nodes = [
        helper.make_node("Sub", ["row", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse_std"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("Gemm", ["clipped", "weight", "bias"], ["log_return"]),
    ]
    return model_of(nodes, weights, len(mean), 1, output="log_return")


def answers_of(model, rows):
    """What ONNX's own reference evaluator answers to rows, one call per row as the node asks."""
    session = ReferenceEvaluator(model)
    return [session.run(None, {"row": np.asarray([row], dtype=np.float32)})[0][0].astype(np.float64) for row in rows]


def write_pair(path, model, manifest, probe_rows):
    """Writes model and manifest, the manifest last: until then the node keeps the model that it has."""
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    answers = answers_of(model, probe_rows)
    manifest = {
        "schema": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        **manifest,
        "probe": [
            {"row": [float(x) for x in row], "expected": [float(x) for x in answer]}
            for row, answer in zip(probe_rows, answers, strict=True)
        ],
    }
    path = Path(path)
    replace(path, data)
    replace(path.with_suffix(".json"), (json.dumps(manifest, indent=1) + "\n").encode())


def replace(path, data):
    """Replaces a file as a whole: a reader sees the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(data)
    temporary.replace(path)
