"""Exponential moving average of the weights."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipe import NO_VALIDATION
from transformers import TrainerCallback

from caan_hf import CaanError
from caan_hf.training import load_recipe, train_recipe


class Recorder(TrainerCallback):
    """Keeps the weights after each step."""

    def __init__(self, weight: torch.Tensor):
        self.weight = weight
        self.seen: list[torch.Tensor] = []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append(self.weight.detach().clone())


def test_the_model_is_the_average_of_the_steps(make_trainer):
    trainer = make_trainer(NO_VALIDATION | {"training.ema_decay": 0.4, "training.max_steps": 4})
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


def test_validation_uses_the_average_and_training_goes_on_with_the_weights(make_trainer):
    seen = []
    for decay in (None, 0.9):
        torch.manual_seed(0)
        trainer = make_trainer(NO_VALIDATION | {"training.eval_strategy": "epoch", "training.ema_decay": decay})
        recorder = Recorder(next(trainer.caan.photo_model.parameters()))
        trainer.add_callback(recorder)
        trainer.train()
        seen.append(recorder.seen)
    assert sum("eval_mAP@all" in entry for entry in trainer.state.log_history) == 2
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_average(recipe_file, tmp_path):
    changes = NO_VALIDATION | {"training.save_strategy": "steps", "training.save_steps": 3, "training.ema_decay": 0.9}
    whole = load_file(train_recipe(load_recipe(recipe_file(), changes=changes)).folder / "model.safetensors")
    shutil.rmtree(tmp_path / "run" / "model")
    for checkpoint in ("checkpoint-6", "checkpoint-8"):
        shutil.rmtree(tmp_path / "run" / checkpoint)
    resumed = train_recipe(load_recipe(recipe_file(), ["training.resume_from_checkpoint=true"], changes))
    for name, tensor in load_file(resumed.folder / "model.safetensors").items():
        torch.testing.assert_close(tensor, whole[name], msg=name)
    (tmp_path / "run" / "checkpoint-8" / "moving_average.safetensors").unlink()
    words = ["training.resume_from_checkpoint=true", "training.num_train_epochs=3"]
    with pytest.raises(CaanError, match=r"moving_average\.safetensors: .*without training\.ema_decay"):
        train_recipe(load_recipe(recipe_file(), words, changes))


def test_unusable_settings_are_errors(recipe_file):
    with pytest.raises(CaanError, match=r"training\.ema_decay"):
        load_recipe(recipe_file(training__ema_decay=1.0))
    with pytest.raises(CaanError, match=r"training\.ema_decay: .*load_best_model_at_end"):
        load_recipe(recipe_file(training__ema_decay=0.9)).training_arguments()
