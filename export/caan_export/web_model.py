"""The sketch encoder of a page: with weights in int8, it is about a third of the size."""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEVELS = 127
SMALLEST = 1024
"""Weights with fewer values stay in float32."""
BLOCK = 8
"""Number of weights that share a scale."""
SCALES = np.finfo(np.float16)


def compress_weights(graph: Path, out: Path) -> None:
    """Store the weights of a float32 graph in int8, with one float16 scale for each block of weights.

    The graph converts them to float32, which onnxruntime does once, when it opens the graph. Unlike the int8 export,
    whose activations are int8 too, it computes in float32, so that browsers and Python find the same photos, and WebGPU
    can run it.

    Args:
        graph: The graph; its weights are in the file.
        out: The file to write.
    """
    model = onnx.load(str(graph))
    kept, nodes = [], []
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < SMALLEST:
            kept.append(tensor)
            continue
        name, size = tensor.name, math.gcd(BLOCK, weights.size)
        blocks = weights.reshape(-1, size)
        largest = np.abs(blocks).max(axis=1, keepdims=True)
        scales = (largest / LEVELS).clip(SCALES.smallest_subnormal, SCALES.max).astype(np.float16)
        levels = np.rint(blocks / scales.astype(np.float32)).clip(-LEVELS, LEVELS)
        kept += [
            numpy_helper.from_array(levels.astype(np.int8), f"{name}.int8"),
            numpy_helper.from_array(scales, f"{name}.float16"),
            numpy_helper.from_array(np.array(weights.shape, np.int64), f"{name}.shape"),
        ]
        nodes += [
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.levels"], to=TensorProto.FLOAT),
            helper.make_node("Cast", [f"{name}.float16"], [f"{name}.scales"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.levels", f"{name}.scales"], [f"{name}.blocks"]),
            helper.make_node("Reshape", [f"{name}.blocks", f"{name}.shape"], [name]),
        ]
    nodes += model.graph.node
    for field, values in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        del field[:]
        field.extend(values)
    onnx.checker.check_model(model)
    onnx.save(model, str(out))
