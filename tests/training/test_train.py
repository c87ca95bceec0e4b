"""Training runs: what they write, how they resume, and their errors."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipe import NO_VALIDATION, TINY_RECIPE
from transformers import AutoModel, AutoProcessor, ViTConfig, ViTImageProcessor
from typer.testing import CliRunner

from caan_hf import CaanError
from caan_hf.benchmarks import PrepareOptions, load_benchmark, prepare_benchmark
from caan_hf.benchmarks.sample import draw_object
from caan_hf.cli.main import app
from caan_hf.publishing.training_record import read_training_record, training_record
from caan_hf.training import load_recipe, train_recipe
from caan_hf.training.checkpoints import save_for_retrieval

CATEGORIES = ("house", "fish", "mug", "car")
# Learns within a few steps, unlike an untrained transformer.
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
def test_the_loss_falls(make_trainer, negatives):
    changes = {
        "model.vision": RESNET,
        "model.negatives": negatives,
        "model.lambda_con": 1.0,
        "data.augment": False,
        "training.learning_rate": 2e-3,
        "training.tower_learning_rate": 2e-3,
        "training.per_device_train_batch_size": 8,
        "training.num_train_epochs": 12,
    }
    trainer = make_trainer(NO_VALIDATION | changes)
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(logged[-4:]) < 0.75 * sum(logged[:4])


@pytest.mark.slow
def test_a_run_writes_a_model_for_retrieval(recipe_file, tmp_path):
    trained = train_recipe(load_recipe(recipe_file()))

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
def test_the_model_of_a_run_is_trained_further(recipe_file, tmp_path, sample_data):
    changes = NO_VALIDATION | {"model.text": None, "training.max_steps": 1}
    first = train_recipe(load_recipe(recipe_file(), changes=changes)).folder.rename(tmp_path / "first")
    config = json.loads((first / "config.json").read_text())
    named = {"training_protocol": "pool@1", "training_categories": ["dragon"]}
    (first / "config.json").write_text(json.dumps(config | named))
    still = {"training.learning_rate": 0.0, "training.tower_learning_rate": 0.0}
    again = train_recipe(load_recipe(recipe_file(), changes=changes | still | {"model.vision": str(first)})).folder
    weights = [load_file(folder / "model.safetensors") for folder in (first, again)]
    for name in weights[0]:
        assert torch.equal(weights[0][name], weights[1][name]) == name.startswith(("sketch_model.", "photo_model."))
    config, info = AutoModel.from_pretrained(again).config, load_benchmark(sample_data)[1]
    assert config.training_protocol == "sample@1+pool@1"
    assert read_training_record(again).data.protocol == "sample@1+pool@1"
    assert config.training_categories == sorted(["dragon", *info.seen])


def test_a_start_that_is_no_usable_model_is_one_line(recipe_file, tmp_path):
    run = tmp_path / "earlier"
    AutoModel.from_config(ViTConfig(**TINY_RECIPE["model"]["vision"])).save_pretrained(run / "model")
    ViTImageProcessor().save_pretrained(run / "model")
    changes = {"model.text": None, "model.vision": str(run)}
    with pytest.raises(CaanError, match=r"earlier is the folder of a training run\. Give its model, .*earlier/model"):
        train_recipe(load_recipe(recipe_file(), changes=changes))
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CaanError, match=r"section model: .*header"):
        train_recipe(load_recipe(recipe_file(), changes=changes | {"model.vision": str(run / "model")}))


def test_validation_shows_progress_unless_progress_bars_are_disabled(make_trainer, monkeypatch, caplog):
    monkeypatch.setattr("caan_hf.utils.progress.LINE_SECONDS", 0)
    caplog.set_level("INFO", logger="caan_hf")
    for disabled in (True, False):
        make_trainer({"training.disable_tqdm": disabled}).evaluate()
        assert ("encoding photos: 8 of 8 images" in caplog.text) is not disabled


@pytest.mark.slow
def test_training_without_text_and_with_targets(recipe_file, tmp_path):
    file = recipe_file(model__text=None, model__lambda_dis=1.0, data__target_image_size=48)
    trained = train_recipe(load_recipe(file))

    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert all("loss_dis" in entry for entry in history if "loss" in entry)
    assert trained.metrics["eval_mAP@all"] > 0


@pytest.mark.slow
def test_a_killed_and_resumed_run_equals_an_uninterrupted_run(recipe_file, tmp_path):
    unbroken = train_recipe(load_recipe(recipe_file("unbroken", training__num_train_epochs=4)))
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

    resumed = train_recipe(load_recipe(file, ["training.resume_from_checkpoint=true"]))

    one, other = (AutoModel.from_pretrained(trained.folder).state_dict() for trained in (unbroken, resumed))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, msg=name)
    assert losses(tmp_path / "broken", "checkpoint-16") == losses(tmp_path / "unbroken", "checkpoint-16")


@pytest.mark.slow
def test_a_run_in_slices_equals_an_uninterrupted_run(recipe_file, tmp_path):
    """A slice of zero minutes is a single step; the recipe has eight steps in two epochs."""
    unbroken = train_recipe(load_recipe(recipe_file("unbroken")))
    file = recipe_file("sliced", training__resume_from_checkpoint=True)
    slice_ = [str(file), "training.max_minutes=0"]
    done = CliRunner().invoke(app, ["train", *slice_], catch_exceptions=False)
    assert done.exit_code == 75
    assert "stopped with" in done.output
    assert not (tmp_path / "sliced" / "model").exists()
    assert not train_recipe(load_recipe(file, slice_[1:])).is_finished
    finished = train_recipe(load_recipe(file))
    assert finished.is_finished
    one, other = (AutoModel.from_pretrained(trained.folder).state_dict() for trained in (unbroken, finished))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, msg=name)


@pytest.mark.slow
def test_an_incomplete_checkpoint_is_skipped(recipe_file, tmp_path):
    train_recipe(load_recipe(recipe_file()))
    half = tmp_path / "run" / "checkpoint-9"
    half.mkdir()
    (half / "trainer_state.json").write_text('{"global_step": 9,', encoding="utf-8")

    again = train_recipe(load_recipe(recipe_file(), ["training.resume_from_checkpoint=true"]))

    assert again.metrics["epoch"] == 2


@pytest.mark.slow
def test_resuming_loads_exactly_the_saved_weights(recipe_file, make_trainer, tmp_path):
    """The Trainer reads checkpoints with `strict=False`, which ignores weights under the names of older releases."""
    train_recipe(load_recipe(recipe_file()))
    checkpoint = tmp_path / "run" / "checkpoint-8"
    trainer = make_trainer()
    trainer._load_from_checkpoint(str(checkpoint))
    saved, loaded = load_file(checkpoint / "model.safetensors"), trainer.model.state_dict()
    assert set(saved) == set(loaded)
    for name, tensor in saved.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model_and_another_seed_does_not(recipe_file):
    changes = {"training__num_train_epochs": 1}
    models = [
        AutoModel.from_pretrained(train_recipe(load_recipe(recipe_file(name, training__seed=seed, **changes))).folder)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, same, other = (model.sketch_model.state_dict() for model in models)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_model_card_of_a_run_describes_its_training(recipe_file, make_trainer, tmp_path):
    changes = NO_VALIDATION | {"training.max_steps": 3, "training.num_train_epochs": 6}
    recipe = load_recipe(recipe_file(), changes=changes)
    record = training_record(recipe.to_dict(), load_benchmark(recipe.data.path)[1])
    trainer = make_trainer(changes, record=record)
    trainer.train()  # 3 of the 4 steps of an epoch
    trainer.create_model_card(model_name="caan-run")
    card = (tmp_path / "run" / "README.md").read_text()
    assert "# caan-run" in card
    assert "| Benchmark | `sample@1` |" in card
    assert "| Epochs | 0.75 (3 steps) |" in card
    assert trainer.model.text_model is not None


def test_an_earlier_run_is_not_overwritten(recipe_file, tmp_path):
    (tmp_path / "run" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(CaanError, match=r"checkpoint-3.*resume_from_checkpoint=true"):
        train_recipe(load_recipe(recipe_file()))


def test_a_damaged_recorded_recipe_is_a_one_line_error(recipe_file, tmp_path):
    checkpoint = tmp_path / "run" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 3}')
    (tmp_path / "run" / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CaanError, match=r"recipe\.yaml: not a UTF-8 text file.*output_dir"):
        train_recipe(load_recipe(recipe_file(), ["training.resume_from_checkpoint=true"]))


def test_towers_have_their_own_learning_rate(make_trainer):
    trainer = make_trainer({"model.freeze_text": False})
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
        ({"model__vision": "./no/such/folder"}, "model.vision: ./no/such/folder is not a folder"),
        ({"model__vision": "package:no_such_package/model"}, "no_such_package is missing"),
        ({"training__per_device_train_batch_size": 1, "model__negatives": "in_batch"}, "must be at least 2, got 1"),
        ({"model__alignment_num_heads": 5}, "alignment_num_heads"),
        ({"model__text": "bert-base-uncased"}, "mapping"),
        ({"model__text": None, "model__lambda_txt": 1.0}, "model.lambda_txt: requires a text tower"),
        ({"model__relation_loss": "hinge"}, "relation_loss"),
        ({"model__local_grid": 0}, "^section model: local_grid must be at least 1"),
        ({"data__path": "no/such/benchmark"}, "caan prepare"),
        ({"data__path": None}, "data.path"),
        ({"data__validation_split": "dev"}, "no split 'dev'"),
        ({"training__resume_from_checkpoint": "no/such/checkpoint"}, "is not a folder"),
        ({"training__resume_from_checkpoint": "true"}, "'true' is not a folder.*without quotes"),
    ],
)
def test_bad_recipes_are_one_line_errors(recipe_file, changes, message):
    with pytest.raises(CaanError, match=message) as error:
        train_recipe(load_recipe(recipe_file(**changes)))
    assert "\n" not in str(error.value)


def test_a_tower_that_cannot_be_downloaded_is_named(recipe_file, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    changes = {"model.vision": "nobody/tower", "model.text": None}
    with pytest.raises(CaanError, match=r"vision=nobody/tower\): HF_HUB_OFFLINE is set.*model\.vision=FOLDER"):
        train_recipe(load_recipe(recipe_file(), changes=changes))


def test_validating_on_unseen_categories_warns(make_trainer):
    with pytest.warns(UserWarning, match="zero-shot"):
        make_trainer({"data.validation_split": "test"})


def test_saving_replaces_the_whole_folder_of_an_earlier_model(make_model, processor, tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("config.json", "old"):
        (tmp_path / "model" / name).touch()
    save_for_retrieval(make_model(), processor, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "old").exists()


def test_validation_with_one_category_is_an_error(recipe_file, tmp_path):
    options = {"photos_per_category": 2, "sketches_per_category": 2, "image_size": 32, "categories": CATEGORIES}
    options = PrepareOptions(validation_categories=1, progress=False, **options)
    prepare_benchmark("sample", None, tmp_path / "one", options)
    recipe = load_recipe(recipe_file(data__path=str(tmp_path / "one")))
    with pytest.raises(CaanError, match="photos of one category"):
        train_recipe(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_sketch_is_a_one_line_error(recipe_file, tmp_path, workers):
    """It is found only when training starts if the prepared benchmark refers to files that were removed since."""
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
    changes |= {key.replace(".", "__"): value for key, value in NO_VALIDATION.items()}
    file = recipe_file(**changes)
    done = subprocess.run(
        [sys.executable, "-m", "caan_hf", "train", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"sketches/{CATEGORIES[1]}/0.png: " in line
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_finished_run_in_the_middle_of_an_epoch_is_not_trained_further(recipe_file, tmp_path, caplog):
    changes = NO_VALIDATION | {"training.max_steps": 3, "training.save_strategy": "steps"}
    first = train_recipe(load_recipe(recipe_file(), changes=changes))
    weights = (first.folder / "model.safetensors").read_bytes()
    with caplog.at_level("INFO", logger="caan_hf"):
        again = train_recipe(load_recipe(recipe_file(), ["training.resume_from_checkpoint=true"], changes))
    assert (again.folder / "model.safetensors").read_bytes() == weights
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-3"]
    assert "finished after 3 steps, so nothing is trained. Increase training.max_steps" in caplog.text


@pytest.mark.slow
def test_resuming_with_another_recipe_is_refused_and_keeps_the_records(recipe_file, tmp_path):
    train_recipe(load_recipe(recipe_file()))
    run = tmp_path / "run"
    records = [run / "recipe.yaml", run / "model" / "training.json", run / "model" / "config.json"]
    before = [record.read_bytes() for record in records]
    resume = "training.resume_from_checkpoint=true"
    for word in ("training.learning_rate=0.5", "model.negatives=both", "model.local_dim=8", "data.sketch_size=24"):
        key = word.partition("=")[0]
        with pytest.raises(CaanError, match=rf"recipe\.yaml: .*{key} is .*, was .*resume_with_changes=true") as error:
            train_recipe(load_recipe(recipe_file(), [resume, word]))
        assert "\n" not in str(error.value)
    allowed = [resume, "training.resume_with_changes=true"]
    with pytest.raises(CaanError, match="the run is finished after 8 steps"):
        train_recipe(load_recipe(recipe_file(), [*allowed, "model.lambda_con=1"]))
    with pytest.raises(CaanError, match=r"checkpoint-8: does not fit the model of this recipe.*size mismatch") as error:
        train_recipe(load_recipe(recipe_file(), [*allowed, "model.local_dim=8", "training.num_train_epochs=3"]))
    assert "\n" not in str(error.value)
    assert [record.read_bytes() for record in records] == before


@pytest.mark.slow
def test_resuming_with_allowed_changes_records_them_without_paths(recipe_file, sample_data, tmp_path):
    train_recipe(load_recipe(recipe_file(training__num_train_epochs=1)))
    shutil.copytree(sample_data, tmp_path / "moved")
    words = ["training.resume_from_checkpoint=true", "training.resume_with_changes=true", "model.lambda_con=1"]
    with pytest.raises(CaanError, match=r"training\.learning_rate cannot be changed in a resumed run"):
        train_recipe(load_recipe(recipe_file(), [*words, "training.learning_rate=0.5"]))
    train_recipe(load_recipe(recipe_file(), words, {"data.path": str(tmp_path / "moved")}))
    note = "at step 4 with changes: data.path is 'moved', was 'sample', model.lambda_con is 1, was 0.0"
    recorded = tmp_path / "run" / "recipe.yaml"
    assert recorded.read_text(encoding="utf-8").startswith(f"# Resumed {note}\n")
    assert load_recipe(recorded).model.config["lambda_con"] == 1
    record = json.loads((tmp_path / "run" / "model" / "training.json").read_text(encoding="utf-8"))
    assert record["resumed"] == [note]


@pytest.mark.slow
def test_more_epochs_and_settings_that_do_not_change_weights_may_differ_when_resuming(recipe_file, tmp_path):
    train_recipe(load_recipe(recipe_file(training__num_train_epochs=1)))
    words = ["training.resume_from_checkpoint=true", "training.logging_steps=2", "training.save_total_limit=3"]
    resumed = train_recipe(load_recipe(recipe_file(training__num_train_epochs=2), words))
    assert resumed.metrics["epoch"] == 2
    assert load_recipe(tmp_path / "run" / "recipe.yaml").training["num_train_epochs"] == 2
    with pytest.raises(CaanError, match=r"training\.num_train_epochs is 1, was 2"):
        train_recipe(load_recipe(recipe_file(training__num_train_epochs=1), words))


def test_a_checkpoint_that_the_disk_cannot_hold_is_one_line_and_leaves_no_part(recipe_file, tmp_path, full_disk):
    file = recipe_file(training__num_train_epochs=1)
    with pytest.raises(CaanError, match=r"checkpoint-\d+: cannot be written.*resume_from_checkpoint=true"):
        train_recipe(load_recipe(file))
    assert not list((tmp_path / "run").glob("checkpoint-*"))
