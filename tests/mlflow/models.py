"""Writes five MLflow models into the folder that is given: `columns`, `tensor`, `regressor`, `two_blocks` and
`two_blocks_nested`.

Their answers are a softmax that a test can compute. A first feature of 1000 makes them answer NaN, one of 2000
makes them raise, and one of 3000 makes them hang.
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
    if row[0] == 3000.0:
        time.sleep(20)
    weights = np.exp(row / 100.0)
    return weights / weights.sum()


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


class Regressor(mlflow.pyfunc.PythonModel):
    """Answers with one number for each row, as a series."""

    def predict(self, context, model_input, params=None):
        return pd.Series([float(row.sum()) / 100.0 for row in model_input[COLUMNS].to_numpy(dtype=float)])


class OfTwoBlocks(mlflow.pyfunc.PythonModel):
    """Answers with an array; what it says depends on both blocks. Its row has one shape only."""

    def __init__(self, shape):
        self.shape = shape

    def predict(self, context, model_input, params=None):
        row = np.asarray(model_input["X_tabular"].iloc[0], dtype=float)
        sequence = np.asarray(model_input["X_sequential"].iloc[0], dtype=float)
        if row.shape != self.shape or sequence.shape != (60, 3):
            raise ValueError(f"{row.shape} and {sequence.shape}")
        row = row.reshape(3)
        return np.array([probabilities(row) if row[0] >= 1000.0 else probabilities(row + sequence.mean(axis=0))])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    schema = ModelSignature(inputs=Schema([ColSpec("double", name) for name in COLUMNS]))
    mlflow.pyfunc.save_model(folder / "columns", python_model=OfColumns(), signature=schema, pip_requirements=[])
    mlflow.pyfunc.save_model(folder / "regressor", python_model=Regressor(), signature=schema, pip_requirements=[])
    tensor = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 3))]))
    mlflow.pyfunc.save_model(folder / "tensor", python_model=OfTensor(), signature=tensor, pip_requirements=[])
    for name, shape in [("two_blocks", (3,)), ("two_blocks_nested", (1, 3))]:
        mlflow.pyfunc.save_model(folder / name, python_model=OfTwoBlocks(shape), pip_requirements=[])
