"""Makes the model files of tests/onnx_model and tests/process: `python make_fixtures.py ../../tests/data/models`.

All of them but `root_fx23` take 3 columns. `good_*` come with a manifest; the others are used with the manifest of `good_a`, its hash
replaced, because each of them must be refused for what it is and not for a manifest that does not fit.
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from graph import model_of, network, write_pair

COLUMNS, CLASSES = 3, 3
PROBES = [[0.5, -1.0, 2.0], [-0.25, 0.75, 0.125], [3.0, 0.0, -2.0]]
WEIGHTS = {"weight": np.eye(COLUMNS), "bias": np.zeros(CLASSES)}
SOFTMAX = helper.make_node("Softmax", ["sum"], ["probabilities"], axis=1)
GEMM = helper.make_node("Gemm", ["row", "weight", "bias"], ["sum"])
MANIFEST = {
    "features": {"set": "test3", "window": 20, "columns": ["feature_0", "feature_1", "feature_2"]},
    "input": "row",
    "classes": ["SELL", "HOLD", "BUY"],
    "trained": {"rows": 2, "from": "2017-01-02T00:00:00Z", "to": "2017-01-02T01:00:00Z"},
    "out_of_sample": {
        "rows": 2,
        "from": "2017-01-02T02:00:00Z",
        "to": "2017-01-02T03:00:00Z",
        "accuracy": 0.5,
        "majority_class_accuracy": 0.5,
        "log_loss": 1.1,
        "note": "A fixture: the weights are made up.",
    },
}


def good(seed):
    random = np.random.default_rng(seed)
    layers = [(random.normal(size=(COLUMNS, 4)), random.normal(size=4)), (random.normal(size=(4, CLASSES)), np.zeros(3))]
    return network(np.zeros(COLUMNS), np.ones(COLUMNS), 5.0, layers)


def root(weights):
    """Answers NaN to every row with a negative sum."""
    nodes = [GEMM, helper.make_node("Sqrt", ["sum"], ["root"]), helper.make_node("Softmax", ["root"], ["probabilities"])]
    return model_of(nodes, weights, COLUMNS, CLASSES)


def root_fx23():
    """A model for real features that is right at its probe rows and answers NaN after every hour that fell.

    The first feature is the newest bar's return. After an hour that rose the model is the surer of BUY the more it rose.
    """
    weight = np.zeros((23, CLASSES))
    weight[0] = [1e4, 4e4, 9e4]
    nodes = [GEMM, helper.make_node("Sqrt", ["sum"], ["root"]), helper.make_node("Softmax", ["root"], ["probabilities"])]
    columns = [f"feature_{number}" for number in range(23)]
    manifest = MANIFEST | {"features": {"set": "fx23", "window": 200, "columns": columns}}
    probes = [[rise] + [1.0] * 22 for rise in (0.0001, 0.0004, 0.0009)]
    return model_of(nodes, {"weight": weight, "bias": np.zeros(CLASSES)}, 23, CLASSES), manifest, probes


def refused():
    """Name and model of each file that must be refused."""
    yield "constant", model_of([GEMM, SOFTMAX], WEIGHTS | {"weight": np.zeros((3, 3))}, COLUMNS, CLASSES)
    # The root of a negative number.
    yield "nan", root(WEIGHTS)
    raw = helper.make_node("Gemm", ["row", "weight", "bias"], ["probabilities"])
    yield "no_softmax", model_of([raw], WEIGHTS, COLUMNS, CLASSES)
    yield "wide", model_of([GEMM, SOFTMAX], WEIGHTS | {"weight": np.ones((4, 3))}, 4, CLASSES)
    two = {"weight": np.eye(3)[:, :2], "bias": np.zeros(2)}
    yield "two_classes", model_of([GEMM, SOFTMAX], two, COLUMNS, 2)
    cast = helper.make_node("Cast", ["row"], ["float"], to=TensorProto.FLOAT)
    gemm = helper.make_node("Gemm", ["float", "weight", "bias"], ["sum"])
    yield "double", model_of([cast, gemm, SOFTMAX], WEIGHTS, COLUMNS, CLASSES, input_type=TensorProto.DOUBLE)
    two_inputs = model_of([GEMM, SOFTMAX], WEIGHTS, COLUMNS, CLASSES)
    two_inputs.graph.input.append(helper.make_tensor_value_info("sequence", TensorProto.FLOAT, [1, 60, 3]))
    yield "two_inputs", two_inputs
    yield "hardmax", model_of([GEMM, helper.make_node("Hardmax", ["sum"], ["probabilities"])], WEIGHTS, COLUMNS, CLASSES)
    tree = helper.make_node(
        "TreeEnsembleClassifier", ["row"], ["label", "probabilities"], domain="ai.onnx.ml",
        classlabels_int64s=[0, 1, 2], nodes_treeids=[0], nodes_nodeids=[0], nodes_featureids=[0],
        nodes_modes=["LEAF"], nodes_values=[0.0], nodes_truenodeids=[0], nodes_falsenodeids=[0],
        class_treeids=[0], class_nodeids=[0], class_ids=[0], class_weights=[1.0], post_transform="NONE",
    )  # fmt: skip
    yield "tree", model_of([tree], {}, COLUMNS, CLASSES, domains=["ai.onnx.ml"])


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_pair(folder / "good_a.onnx", good(1), MANIFEST, PROBES)
    write_pair(folder / "good_b.onnx", good(2), MANIFEST, PROBES)
    # Good on its probe rows, which are not negative.
    write_pair(folder / "root.onnx", root(WEIGHTS), MANIFEST, np.abs(PROBES))
    write_pair(folder / "root_fx23.onnx", *root_fx23())
    for name, model in refused():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
