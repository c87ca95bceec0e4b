"""An ONNX graph with one linear layer."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_linear(file: Path, weight: np.ndarray, middle: tuple[int, ...] = ()) -> None:
    """Save a graph that computes y = x w with x (batch, *middle, K) and a constant w (K, N)."""
    shapes = [["batch", *middle, size] for size in weight.shape]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in zip("xy", shapes, strict=True)
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "linear", values[:1], values[1:], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
