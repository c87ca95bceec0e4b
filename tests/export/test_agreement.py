"""Two rankings of the same photos, compared."""

from dataclasses import replace

import pytest
import torch
from caan_export.agreement import Agreement, load_split, measure_agreement, require_agreement
from caan_export.borrowed import CaanError
from caan_export.runtime import CaanOnnx

AGREEMENT = Agreement("sketchy-25", "test", 625, 625, top10_overlap=0.95, map_torch=0.31, map_onnx=0.315)


def test_rankings_of_another_model_do_not_agree(exported, model_and_processor, benchmark_folder):
    model, processor = model_and_processor
    split = load_split(benchmark_folder, "test")
    caan = CaanOnnx.from_pretrained(exported())
    same = measure_agreement(split, model, processor, caan)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    other = measure_agreement(split, model, processor, caan)
    assert same.top10_overlap > 0.99
    assert other.top10_overlap < 0.8  # ten of 36 at random: 0.28
    assert other.map_onnx == same.map_onnx


def test_limits():
    require_agreement(AGREEMENT, 0.9, 0.01)
    with pytest.raises(CaanError, match=r"^only 0\.950 of the ten best photos on sketchy-25, test are torch's"):
        require_agreement(AGREEMENT, 0.96, 0.01)
    for found in (0.29, 0.33):
        with pytest.raises(CaanError, match=r"is 0\.\d+, torch's 0\.3100; they may differ by 0\.01"):
            require_agreement(replace(AGREEMENT, map_onnx=found), 0.9, 0.01)


def test_an_unknown_split_lists_those_there_are(benchmark_folder):
    with pytest.raises(CaanError, match="no split 'tset'; there are train, validation, test"):
        load_split(benchmark_folder, "tset")


def test_a_folder_that_is_no_benchmark(tmp_path):
    with pytest.raises(CaanError, match="not a prepared benchmark"):
        load_split(tmp_path, "test")
