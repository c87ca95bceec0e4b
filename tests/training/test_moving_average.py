"""Exponential moving average of the weights."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from caan_hf import CaanError
from caan_hf.benchmarks import load_benchmark
from caan_hf.training import build_trainer, load_recipe, train_recipe

QUICK = {"training__eval_strategy": "no", "training__save_strategy": "no", "training__load_best_model_at_end": False}


class Recorder(TrainerCallback):
    """Keeps the weights after each step."""

    def __init__(self, weight: torch.Tensor):
        self.weight = weight
        self.seen: list[torch.Tensor] = []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append(self.weight.detach().clone())


def test_the_model_is_the_average_of_the_steps(recipe_file, train_split):
    recipe = load_recipe(recipe_file(**QUICK, training__ema_decay=0.4, training__max_steps=4))
    trainer = build_trainer(recipe, recipe.training_arguments(), {"train": train_split})
    weight = next(trainer.caan.sketch_model.parameters())
    recorder = Recorder(weight)
    trainer.add_callback(recorder)
    trainer.train()
    mean = recorder.seen[0]
    for step, seen in enumerate(recorder.seen[1:], start=2):
        decay = min(0.4, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * seen
    assert len(recorder.seen) == 4
    torch.testing.assert_close(weight.detach(), mean)
    assert not torch.equal(weight, recorder.seen[-1])


def test_validation_uses_the_average_and_training_goes_on_with_the_weights(recipe_file):
    settings = {"training__save_strategy": "no", "training__load_best_model_at_end": False}
    plain = load_recipe(recipe_file("plain", **settings))
    averaged = load_recipe(recipe_file("averaged", **settings, training__ema_decay=0.9))
    seen = []
    for recipe in (plain, averaged):
        torch.manual_seed(0)
        trainer = build_trainer(recipe, recipe.training_arguments(), load_benchmark(recipe.data.path)[0])
        recorder = Recorder(next(trainer.caan.photo_model.parameters()))
        trainer.add_callback(recorder)
        trainer.train()
        seen.append(recorder.seen)
    assert sum("eval_mAP@all" in entry for entry in trainer.state.log_history) == 2
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_average(recipe_file, tmp_path):
    changes = QUICK | {"training__save_strategy": "steps", "training__save_steps": 3, "training__ema_decay": 0.9}
    recipe = load_recipe(recipe_file(**changes))
    whole = load_file(train_recipe(recipe).folder / "model.safetensors")
    shutil.rmtree(tmp_path / "run" / "model")
    for checkpoint in ("checkpoint-6", "checkpoint-8"):
        shutil.rmtree(tmp_path / "run" / checkpoint)
    resumed = train_recipe(load_recipe(recipe_file(**changes), ["training.resume_from_checkpoint=true"]))
    for name, tensor in load_file(resumed.folder / "model.safetensors").items():
        torch.testing.assert_close(tensor, whole[name], msg=name)
    (tmp_path / "run" / "checkpoint-8" / "moving_average.safetensors").unlink()
    words = ["training.resume_from_checkpoint=true", "training.num_train_epochs=3"]
    with pytest.raises(CaanError, match=r"moving_average\.safetensors: .*without training\.ema_decay"):
        train_recipe(load_recipe(recipe_file(**changes), words))


def test_unusable_settings_are_errors(recipe_file):
    with pytest.raises(CaanError, match=r"training\.ema_decay"):
        load_recipe(recipe_file(training__ema_decay=1.0))
    with pytest.raises(CaanError, match=r"training\.ema_decay: .*load_best_model_at_end"):
        load_recipe(recipe_file(training__ema_decay=0.9)).training_arguments()
