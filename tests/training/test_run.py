import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoProcessor
from typer.testing import CliRunner

from caan_hf import CaanError
from caan_hf.benchmarks import load_benchmark
from caan_hf.cli.main import app
from caan_hf.training.recipe import load_recipe, training_arguments
from caan_hf.training.run import build_trainer, run_recipe

CATEGORIES = ("house", "fish", "mug", "car")
# Learns within a few steps, which a transformer that starts from nothing does not.
RESNET = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 32],
    "depths": [1, 1],
    "layer_type": "basic",
}


def losses(folder, checkpoint):
    history = json.loads((folder / checkpoint / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["sampled", "in_batch", "both"])
def test_the_loss_falls(recipe_file, tmp_path, negatives):
    changes = {
        "model__vision": RESNET,
        "model__negatives": negatives,
        "model__lambda_con": 1.0,
        "data__augment": False,
        "training__learning_rate": 2e-3,
        "training__tower_learning_rate": 2e-3,
        "training__per_device_train_batch_size": 8,
        "training__num_train_epochs": 12,
        "training__eval_strategy": "no",
        "training__save_strategy": "no",
        "training__load_best_model_at_end": False,
    }
    recipe = load_recipe(recipe_file(**changes))
    trainer = build_trainer(recipe, training_arguments(recipe), load_benchmark(recipe.data.path)[0])
    trainer.train()

    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(logged[-4:]) < 0.75 * sum(logged[:4])


@pytest.mark.slow
def test_a_run_leaves_a_model_for_retrieval(recipe_file, tmp_path):
    trained = run_recipe(load_recipe(recipe_file()))

    assert trained.folder == tmp_path / "run" / "model"
    assert 0 < trained.metrics["eval_mAP@all"] <= 1
    assert trained.metrics["eval_chance"] == pytest.approx(0.5, abs=0.15)
    model, processor = AutoModel.from_pretrained(trained.folder), AutoProcessor.from_pretrained(trained.folder)
    assert model.config.text_config is None
    assert processor.tokenizer is None
    info = json.loads((Path(load_recipe(recipe_file()).data.path) / "benchmark.json").read_text())
    assert model.config.training_protocol == info["protocol"]
    assert model.config.training_categories == info["seen"]
    assert (tmp_path / "run" / "recipe.yaml").is_file()
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_training_without_text_and_with_targets(recipe_file, tmp_path):
    file = recipe_file(model__text=None, model__lambda_dis=1.0, data__target_image_size=48)
    trained = run_recipe(load_recipe(file))

    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert all("loss_dis" in entry for entry in history if "loss" in entry)
    assert trained.metrics["eval_mAP@all"] > 0


@pytest.mark.slow
def test_a_run_that_was_killed_and_resumed_ends_as_an_unbroken_one(recipe_file, tmp_path):
    unbroken = run_recipe(load_recipe(recipe_file("unbroken", training__num_train_epochs=4)))
    file = recipe_file("broken", training__num_train_epochs=4)
    process = subprocess.Popen([sys.executable, "-m", "caan_hf.cli.main", "train", str(file)])
    deadline = time.monotonic() + 120
    while not (tmp_path / "broken" / "checkpoint-4" / "trainer_state.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "broken" / "model").exists()

    resumed = run_recipe(load_recipe(file, ["training.resume_from_checkpoint=true"]))

    one, other = (AutoModel.from_pretrained(trained.folder).state_dict() for trained in (unbroken, resumed))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, msg=name)
    assert losses(tmp_path / "broken", "checkpoint-16") == losses(tmp_path / "unbroken", "checkpoint-16")


@pytest.mark.slow
def test_a_run_in_slices_ends_as_an_unbroken_one(recipe_file, tmp_path):
    """A slice of no minutes is a single step; the steps of a recipe of two epochs are eight."""
    unbroken = run_recipe(load_recipe(recipe_file("unbroken")))
    file = recipe_file("sliced", training__resume_from_checkpoint=True)
    slice_ = [str(file), "training.max_minutes=0"]
    done = CliRunner().invoke(app, ["train", *slice_], catch_exceptions=False)
    assert done.exit_code == 75
    assert "stopped with" in done.output
    assert not (tmp_path / "sliced" / "model").exists()
    assert not run_recipe(load_recipe(file, slice_[1:])).is_finished
    finished = run_recipe(load_recipe(file))
    assert finished.is_finished
    one, other = (AutoModel.from_pretrained(trained.folder).state_dict() for trained in (unbroken, finished))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, msg=name)


@pytest.mark.slow
def test_a_half_written_checkpoint_is_passed_over(recipe_file, tmp_path):
    run_recipe(load_recipe(recipe_file()))
    half = tmp_path / "run" / "checkpoint-9"
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_step": 9,', encoding="utf-8")

    again = run_recipe(load_recipe(recipe_file(), ["training.resume_from_checkpoint=true"]))

    assert again.metrics["epoch"] == 2


@pytest.mark.slow
def test_resuming_loads_the_very_weights_that_were_saved(recipe_file, tmp_path):
    """Guards against the Trainer's reading back old key names with `strict=False`."""
    from safetensors.torch import load_file

    run_recipe(load_recipe(recipe_file()))
    recipe = load_recipe(recipe_file("other", training__num_train_epochs=0.01, training__learning_rate=0.0))
    trainer = build_trainer(recipe, training_arguments(recipe), load_benchmark(recipe.data.path)[0])
    checkpoint = tmp_path / "run" / "checkpoint-8"

    trainer._load_from_checkpoint(str(checkpoint))

    saved, loaded = load_file(checkpoint / "model.safetensors"), trainer.model.state_dict()
    assert set(saved) == set(loaded)
    for name, tensor in saved.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model_and_another_does_not(recipe_file):
    changes = {"training__num_train_epochs": 1}
    models = [
        AutoModel.from_pretrained(run_recipe(load_recipe(recipe_file(name, training__seed=seed, **changes))).folder)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, same, other = (model.sketch_model.state_dict() for model in models)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_model_card_of_a_run_tells_how_it_was_trained(recipe_file, tmp_path):
    from caan_hf.publishing.training_record import training_record

    recipe = load_recipe(recipe_file())
    splits, info = load_benchmark(recipe.data.path)
    record = training_record(recipe.to_dict(), info)
    trainer = build_trainer(recipe, training_arguments(recipe), splits, record=record)
    trainer.create_model_card(model_name="caan-run")
    card = (tmp_path / "run" / "README.md").read_text()
    assert "# caan-run" in card
    assert "| Benchmark | `sample@1` |" in card
    assert trainer.model.text_model is not None


def test_an_earlier_run_is_not_overwritten(recipe_file, tmp_path):
    (tmp_path / "run" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(CaanError, match=r"checkpoint-3.*resume_from_checkpoint=true"):
        run_recipe(load_recipe(recipe_file()))


def test_towers_learn_at_their_own_rate(recipe_file):
    recipe = load_recipe(recipe_file(model__freeze_text=False))
    trainer = build_trainer(recipe, training_arguments(recipe), load_benchmark(recipe.data.path)[0])
    optimizer = trainer.create_optimizer()

    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in trainer.model.named_parameters():
        tower = name.startswith(("sketch_model.", "photo_model.", "text_model."))
        assert rate_of[id(parameter)] == (5e-4 if tower else 1e-3), name
        if name.endswith("bias"):
            assert decay_of[id(parameter)] == 0, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__vision": "./no/such/folder"}, "model.vision: ./no/such/folder is no folder"),
        ({"model__vision": "package:no_such_package/model"}, "no_such_package is missing"),
        ({"model__alignment_num_heads": 5}, "alignment_num_heads"),
        ({"model__text": "bert-base-uncased"}, "mapping"),
        ({"model__relation_loss": "hinge"}, "relation_loss"),
        ({"data__path": "no/such/benchmark"}, "caan prepare"),
        ({"data__path": None}, "data.path"),
        ({"data__validation_split": "dev"}, "no split 'dev'"),
        ({"training__resume_from_checkpoint": "no/such/checkpoint"}, "is no folder"),
    ],
)
def test_bad_recipes_are_one_line_errors(recipe_file, changes, message):
    with pytest.raises(CaanError, match=message) as error:
        run_recipe(load_recipe(recipe_file(**changes)))
    assert "\n" not in str(error.value)


def test_selecting_on_unseen_categories_warns(recipe_file):
    recipe = load_recipe(recipe_file(data__validation_split="test"))
    with pytest.warns(UserWarning, match="zero-shot"):
        build_trainer(recipe, training_arguments(recipe), load_benchmark(recipe.data.path)[0])


def test_what_a_killed_save_left_over_is_cleared_away(make_model, processor, tmp_path):
    from caan_hf.training.run import save_for_retrieval

    for left_over in (".model.previous", ".model.writing", "model"):
        (tmp_path / left_over).mkdir()
        (tmp_path / left_over / "old").touch()
    save_for_retrieval(make_model(), processor, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "old").exists()


def test_validation_on_one_category_is_refused(recipe_file, tmp_path):
    from caan_hf.benchmarks import PrepareOptions, prepare_benchmark

    options = {"photos_per_category": 2, "sketches_per_category": 2, "image_size": 32, "categories": CATEGORIES}
    options = PrepareOptions(validation_categories=1, progress=False, **options)
    prepare_benchmark("sample", None, tmp_path / "one", options)
    recipe = load_recipe(recipe_file(data__path=str(tmp_path / "one")))
    with pytest.raises(CaanError, match="photos of one category"):
        run_recipe(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_sketch_that_cannot_be_read_is_one_line(recipe_file, tmp_path, workers):
    """Found only in training, where the prepared benchmark refers to files that have gone since."""
    from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
    from caan_hf.benchmarks.sample import draw_object

    for category in CATEGORIES:
        for modality, name in (("sketch", "sketches"), ("photo", "photos")):
            place = tmp_path / "raw" / name / category
            place.mkdir(parents=True)
            for index in range(2):
                draw_object(category, modality, seed=0, index=index, image_size=32).save(place / f"{index}.png")
    (tmp_path / "raw" / "unseen.txt").write_text(CATEGORIES[0])
    options = {"embed": False, "validation_categories": 0, "progress": False}
    prepare_benchmark("folder", tmp_path / "raw", tmp_path / "data", PrepareOptions(**options))
    gone = tmp_path / "raw" / "sketches" / CATEGORIES[1] / "0.png"
    gone.unlink()
    changes = {"data__path": str(tmp_path / "data"), "training__dataloader_num_workers": workers}
    changes |= {"training__eval_strategy": "no", "training__save_strategy": "no"}
    file = recipe_file(training__load_best_model_at_end=False, **changes)
    done = subprocess.run(
        [sys.executable, "-m", "caan_hf", "train", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"error: sketches/{CATEGORIES[1]}/0.png: " in line
    assert "Traceback" not in done.stderr
