"""Comparison of the retrieval results of two encoders."""

import pytest
import torch
from caan_export.agreement import load_split, measure_agreement, require_agreement
from caan_export.manifest import Agreement
from caan_export.runtime import CaanOnnx

from caan_hf.errors import CaanError

AGREEMENT = Agreement(
    protocol="sketchy-25", split="test", sketches=625, photos=625, top10_overlap=0.95, map_torch=0.31, map_onnx=0.315
)


def test_the_checkpoint_agrees_and_another_model_does_not(exported, encoder, benchmark_folder):
    split = load_split(benchmark_folder, "test")
    onnx = CaanOnnx.from_pretrained(exported())
    same = measure_agreement(split, encoder, onnx)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    other = measure_agreement(split, encoder, onnx)
    assert (same.sketches, same.photos) == (24, 36)
    assert same.top10_overlap > 0.99
    assert other.top10_overlap < 0.8  # expected overlap of random rankings of 36 photos: 0.28
    assert other.map_onnx == same.map_onnx


def test_rankings_that_differ_too_much_are_an_error():
    require_agreement(AGREEMENT, 0.9, 0.01)
    with pytest.raises(CaanError, match=r"0\.950 .*--min-overlap"):
        require_agreement(AGREEMENT, 0.96, 0.01)
    for found in (0.29, 0.33):
        with pytest.raises(CaanError, match=r"0\.3100 with torch.*--max-map-difference"):
            require_agreement(AGREEMENT.model_copy(update={"map_onnx": found}), 0.9, 0.01)


def test_an_unknown_split_or_benchmark_is_an_error(benchmark_folder, tmp_path):
    with pytest.raises(CaanError, match=r"'tset'.* train, validation, test"):
        load_split(benchmark_folder, "tset")
    with pytest.raises(CaanError, match="not a prepared benchmark"):
        load_split(tmp_path, "test")
