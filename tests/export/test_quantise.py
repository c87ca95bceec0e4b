"""int8 linear layers, compared with a naive implementation of the definition."""

import numpy as np
import onnx
import onnxruntime
import pytest
from caan_export.quantise import quantise
from linear_graph import save_linear
from onnx import TensorProto, helper


def by_definition(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Each row of x and each column of the weight divided by its scale, rounded, multiplied, and scaled back."""
    rows = np.abs(x).max(axis=-1, keepdims=True) / 127
    columns = np.abs(weight).max(axis=0) / 127
    return (np.rint(x / rows) @ np.rint(weight / columns)) * rows * columns


@pytest.mark.parametrize("middle", [(), (5,), (3, 2)])
def test_a_linear_layer_equals_the_definition(tmp_path, middle):
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((16, 6)).astype(np.float32)
    x = generator.standard_normal((4, *middle, 16)).astype(np.float32) * 10
    file = tmp_path / "g.onnx"
    save_linear(file, weight, middle)
    assert quantise(file) == 1
    onnx.checker.check_model(str(file), full_check=True)
    (found,) = onnxruntime.InferenceSession(file).run(None, {"x": x})
    np.testing.assert_allclose(
        found, by_definition(x.astype(np.float64), weight.astype(np.float64)), rtol=1e-3, atol=0.02
    )
    assert np.abs(found - x @ weight).max() < 0.02 * np.abs(x @ weight).max()


def test_rows_and_columns_of_zeros_remain_zero(tmp_path):
    weight = np.eye(8, dtype=np.float32)
    weight[:, 3] = 0
    save_linear(tmp_path / "g.onnx", weight, (2,))
    quantise(tmp_path / "g.onnx")
    x = np.ones((1, 2, 8), np.float32)
    x[0, 1] = 0
    (found,) = onnxruntime.InferenceSession(tmp_path / "g.onnx").run(None, {"x": x})
    np.testing.assert_allclose(found[0, 0], weight.sum(axis=0), atol=1e-6)
    np.testing.assert_array_equal(found[0, 1], np.zeros(8))


def test_the_file_shrinks_to_a_quarter(tmp_path):
    file = tmp_path / "g.onnx"
    save_linear(file, np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32), ())
    before = file.stat().st_size
    quantise(file)
    assert file.stat().st_size < 0.27 * before


def test_products_of_two_activations_are_not_quantised(tmp_path):
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4, 4]) for name in "xyz"]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "y"], ["z"])], "attention", value[:2], value[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "g.onnx")
    assert quantise(tmp_path / "g.onnx") == 0
