"""Quantises the linear layers of an encoder to int8: a quarter of the size, and faster on CPUs with VNNI or AMX.

`quantize_dynamic` of onnxruntime uses one scale for all activations of a batch. This costs a small ViT a quarter of its
ten best photos, and makes the features of an image depend on the other images of the batch. Here, each token and each
output channel has its own scale. The product is `MatMulIntegerToFloat`, an operator of onnxruntime: written in standard
operators, converting and scaling its output takes two more passes over memory, and as long as the product itself.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .manifest import SINGLE_FILE_LIMIT

LEVELS = 127
"""Largest int8 weight and activation; the range is symmetric about 0."""
ZERO = 128
"""Zero point of the activations, which are uint8 because the kernels multiply unsigned by signed integers."""
ONNXRUNTIME = "com.microsoft"
"""Domain of the operators of onnxruntime."""
SMALLEST = 1e-8
"""Lower bound of the divisor, for tokens of zeros."""


def quantise(file: Path) -> int:
    """Replace the float32 linear layers of a graph in place.

    A linear layer is a product with a constant matrix W (K, N). With a scale s_j for each column of W and t_i for each
    row of the input X, it becomes X W = t_i s_j (round(X / t_i) round(W / s_j)).

    Args:
        file: The graph.

    Returns:
        Number of layers that were replaced.
    """
    model = onnx.load(str(file))
    rewriter = _Rewriter(model)
    nodes = [node for old in model.graph.node for node in rewriter.replacement(old)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    rewriter.remove_unused_weights()
    if rewriter.count:
        model.opset_import.append(helper.make_opsetid(ONNXRUNTIME, 1))
    big = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > SINGLE_FILE_LIMIT
    file.with_name(f"{file.name}.data").unlink(missing_ok=True)
    onnx.save(model, str(file), save_as_external_data=big, location=f"{file.name}.data")
    return rewriter.count


class _Rewriter:
    """Rewrites the nodes of a graph and adds the constants that the new nodes need."""

    def __init__(self, model: ModelProto):
        self.graph = model.graph
        self.count = 0
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
        self.shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}
        self.quantised_weights: dict[str, tuple[str, str]] = {}
        self.constants: set[str] = set()

    def replacement(self, node: NodeProto) -> list[NodeProto]:
        """The nodes that replace a node; the node itself if it is not a linear layer."""
        if node.op_type != "MatMul" or node.input[1] not in self.weights:
            return [node]
        weight, shape = self.weights[node.input[1]], self.shapes.get(node.input[0])
        if len(weight.dims) != 2 or weight.data_type != TensorProto.FLOAT or not shape or 0 in shape[1:]:
            return [node]
        self.count += 1
        return self._linear(node, [int(size) for size in weight.dims], [int(size) for size in shape[1:-1]])

    def _linear(self, node: NodeProto, dims: list[int], middle: list[int]) -> list[NodeProto]:
        """X (B, *middle, K) times W (K, N), with the rows of X quantised before the product and scaled after it."""
        weight, columns = self._weight(node.input[1])
        base, source, target = f"{node.output[0]}_int8", node.input[0], node.output[0]

        def name(part: str) -> str:
            return f"{base}_{part}"

        rows = self._integers(name("rows"), [-1, dims[0]])
        back = self._integers(name("back"), [-1, *middle, dims[1]])
        last = self._integers("int8_last_axis", [-1])
        smallest = self._constant("int8_smallest", np.float32(SMALLEST))
        levels = self._constant("int8_levels", np.float32(LEVELS))
        zero = self._constant("int8_zero", np.uint8(ZERO))
        one = self._constant("int8_one", np.float32(1))
        by_column = [name("q"), weight, one, columns, zero]
        make = helper.make_node
        return [
            make("Reshape", [source, rows], [name("x")], name("reshape")),
            make("Abs", [name("x")], [name("abs")], name("abs")),
            make("ReduceMax", [name("abs"), last], [name("max")], name("max"), keepdims=1),
            make("Max", [name("max"), smallest], [name("most")], name("most")),
            make("Div", [name("most"), levels], [name("scale")], name("scale")),  # (rows, 1)
            make("Squeeze", [name("scale"), last], [name("scales")], name("squeeze")),  # (rows,)
            make("Shape", [name("scales")], [name("count")], name("shape")),
            make("Expand", [zero, name("count")], [name("zeros")], name("expand")),
            make("QuantizeLinear", [name("x"), name("scales"), name("zeros")], [name("q")], name("quantise"), axis=0),
            make("MatMulIntegerToFloat", by_column, [name("by_column")], name("product"), domain=ONNXRUNTIME),
            make("Mul", [name("by_column"), name("scale")], [name("by_row")], name("by_row")),
            make("Reshape", [name("by_row"), back], [target], name("back")),
        ]

    def _weight(self, name: str) -> tuple[str, str]:
        """Names of the int8 weight (K, N) and its column scales (N,), which tied layers share."""
        if name not in self.quantised_weights:
            values = numpy_helper.to_array(self.weights[name])  # (K, N)
            scales = np.maximum(np.abs(values).max(axis=0), SMALLEST) / LEVELS
            rounded = np.rint(values / scales).astype(np.int8)
            self.quantised_weights[name] = (
                self._constant(f"{name}_int8", rounded),
                self._constant(f"{name}_int8_scales", scales.astype(np.float32)),
            )
        return self.quantised_weights[name]

    def _integers(self, name: str, values: list[int]) -> str:
        return self._constant(name, np.asarray(values, np.int64))

    def _constant(self, name: str, values: np.ndarray | np.generic) -> str:
        """Add a constant unless it exists; returns its name."""
        if name not in self.constants:
            self.constants.add(name)
            self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def remove_unused_weights(self) -> None:
        """Remove the float weights that no node reads any more."""
        read = {name for node in self.graph.node for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
