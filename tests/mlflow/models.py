"""Writes one MLflow model for each name in `MODELS` into the folder that is given.

Those that answer give a softmax that a test can compute. A first feature of 1000 makes them answer NaN, and one of 2000
makes them raise: a model may fail on some rows only. `nan`, `raises` and `hangs` do nothing else.
"""

import sys
import time
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

COLUMNS = ["rsi", "macd", "hour"]
CLASSES = ["sell", "hold", "buy"]


def probabilities(row):
    if row[0] == 1000.0:
        return np.full(3, np.nan)
    if row[0] == 2000.0:
        raise ValueError("the model does not like 2000")
    weights = np.exp(row / 100.0)
    return weights / weights.sum()


def of_both(row, sequence):
    """Depends on both blocks."""
    return probabilities(row if row[0] >= 1000.0 else row + sequence.mean(axis=0))


class OfColumns(mlflow.pyfunc.PythonModel):
    """Answers with a DataFrame whose columns are named, in an order of its own."""

    def predict(self, context, model_input, params=None):
        rows = [probabilities(row) for row in model_input[COLUMNS].to_numpy(dtype=float)]
        return pd.DataFrame(rows, columns=CLASSES)[CLASSES[::-1]]


class OfTensor(mlflow.pyfunc.PythonModel):
    """Answers with an array, a row for each row."""

    def predict(self, context, model_input, params=None):
        if not isinstance(model_input, np.ndarray):
            raise TypeError(f"{type(model_input)}")
        return np.array([probabilities(row) for row in model_input])


class OfTwoTensors(mlflow.pyfunc.PythonModel):
    """Answers with an array, a row for each row of both tensors, which are float32 as those of a neural network."""

    def predict(self, context, model_input, params=None):
        rows, sequences = model_input["X_tabular"], model_input["X_sequential"]
        if not rows.dtype == sequences.dtype == np.float32:
            raise TypeError(f"{rows.dtype} and {sequences.dtype}")
        pairs = zip(rows.astype(float), sequences.astype(float), strict=True)
        return np.array([of_both(row, sequence) for row, sequence in pairs])


class OfTwoBlocks(mlflow.pyfunc.PythonModel):
    """Answers with an array; what it says depends on both blocks. Its row has one shape only."""

    def __init__(self, shape):
        self.shape = shape

    def predict(self, context, model_input, params=None):
        row = np.asarray(model_input["X_tabular"].iloc[0], dtype=float)
        sequence = np.asarray(model_input["X_sequential"].iloc[0], dtype=float)
        if row.shape != self.shape or sequence.shape != (60, 3):
            raise ValueError(f"{row.shape} and {sequence.shape}")
        return np.array([of_both(row.reshape(3), sequence)])


class Regressor(mlflow.pyfunc.PythonModel):
    """Answers with one number for each row, as a series or as an array."""

    def __init__(self, form):
        self.form = form

    def predict(self, context, model_input, params=None):
        return self.form([float(row.sum()) / 100.0 for row in model_input[COLUMNS].to_numpy(dtype=float)])


class Nan(mlflow.pyfunc.PythonModel):
    """Never answers with a number."""

    def predict(self, context, model_input, params=None):
        return np.full((len(model_input), 3), np.nan)


class Raises(mlflow.pyfunc.PythonModel):
    """Never answers."""

    def predict(self, context, model_input, params=None):
        raise RuntimeError(f"the model broke on {model_input.to_dict()}")


class Hangs(mlflow.pyfunc.PythonModel):
    """Answers, but not within any time that a test has."""

    def predict(self, context, model_input, params=None):
        time.sleep(60)
        return np.full((len(model_input), 3), 1 / 3)


NAMED = ModelSignature(inputs=Schema([ColSpec("double", name) for name in COLUMNS]))
TENSOR = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 3))]))
TENSORS = ModelSignature(
    inputs=Schema(
        [
            TensorSpec(np.dtype("float32"), (-1, 3), "X_tabular"),
            TensorSpec(np.dtype("float32"), (-1, 60, 3), "X_sequential"),
        ]
    )
)

MODELS = {
    "columns": (OfColumns(), NAMED),
    "tensor": (OfTensor(), TENSOR),
    "two_tensors": (OfTwoTensors(), TENSORS),
    "two_blocks": (OfTwoBlocks((3,)), None),
    "two_blocks_nested": (OfTwoBlocks((1, 3)), None),
    "regressor_series": (Regressor(pd.Series), NAMED),
    "regressor_array": (Regressor(np.array), NAMED),
    "nan": (Nan(), NAMED),
    "raises": (Raises(), NAMED),
    "hangs": (Hangs(), NAMED),
}

if __name__ == "__main__":
    for name, (model, signature) in MODELS.items():
        folder = Path(sys.argv[1]) / name
        mlflow.pyfunc.save_model(folder, python_model=model, signature=signature, pip_requirements=[])
