"""`caan_hf.evaluate`: any encoder by object or name, on a prepared benchmark or on splits in memory."""

from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from vision_models import save_vit

import caan_hf
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.torch_encoder import precision_on
from caan_hf.errors import CaanError
from caan_hf.evaluation import CONVENTIONS, EvaluationOptions
from caan_hf.evaluation.record import EvaluationRecord

QUIET = EvaluationOptions(progress=False, no_cache=True)


@pytest.fixture
def benchmark(split):
    return datasets.DatasetDict(test=split)


@pytest.fixture
def vit(tmp_path):
    save_vit(tmp_path / "vit")
    return tmp_path / "vit"


def test_encoder_and_its_folder_give_the_same_result(tiny_caan, benchmark, tmp_path):
    for part in tiny_caan:
        part.save_pretrained(tmp_path / "model")
    by_object = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, QUIET)
    by_name = caan_hf.evaluate(tmp_path / "model", benchmark, QUIET)
    assert by_name.metrics == pytest.approx(by_object.metrics)
    assert list(by_name.conventions) == list(CONVENTIONS)
    assert (by_name.model, by_name.model_kind) == (str(tmp_path / "model"), "checkpoint")
    assert (by_name.protocol, by_name.split) == ("unnamed", "test")


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_the_report_and_its_command_name_the_precision_that_was_used(vit, benchmark, tmp_path, dtype):
    precision = precision_on(torch.device("cpu"), dtype)
    result = caan_hf.evaluate(vit, benchmark, replace(QUIET, device="cpu", dtype=dtype), out=tmp_path / "report")
    record = EvaluationRecord.of_folder(tmp_path / "report")
    assert (result.model_kind, record.model.kind) == ("untrained tower", "untrained tower")
    assert result.precision == record.model.precision == precision
    assert f"--dtype {precision}" in record.command
    assert f"(untrained tower, {precision})" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize(("options", "named"), [({"rerank": 5}, "--rerank"), ({"exhaustive": True}, "--exhaustive")])
def test_reranking_without_local_tokens_is_a_one_line_error(vit, benchmark, options, named):
    with pytest.raises(CaanError, match=f"{named} needs local tokens.*untrained tower") as error:
        caan_hf.evaluate(vit, benchmark, replace(QUIET, **options))
    assert "\n" not in str(error.value)


def test_categories_that_training_saw_are_left_out_or_noted(tiny_caan, benchmark, tmp_path):
    (tmp_path / "seen.txt").write_text("Red\n")
    options = replace(QUIET, trained_on=str(tmp_path / "seen.txt"))
    result = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, options)
    assert result.removed_categories == {"red": "Red"}
    assert result.protocol == "unnamed/from-seen"
    assert (result.num_queries, result.num_gallery) == (9, 15)
    assert not np.isin("red", result.labels)


def test_folders_may_be_strings(tiny_caan, benchmark, tmp_path):
    options = EvaluationOptions(progress=False, cache=str(tmp_path / "cache"))
    caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, options, out=str(tmp_path / "report"))
    assert EvaluationRecord.of_folder(tmp_path / "report").num_queries
    assert len(list((tmp_path / "cache").glob("*/*.safetensors"))) == 2  # sketches and photos
