"""Exponential moving average of the trained weights (EMA), which becomes the model when training ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from caan_hf.errors import CaanError, one_line

FILE = "moving_average.safetensors"


class MovingAverage(TrainerCallback):
    """Averages the trained weights after each step: mean = decay * mean + (1 - decay) * weight.

    In the first steps the decay is at most (1 + step) / (10 + step), so that the start has little weight.

    Args:
        model: The model in training.
        decay: Decay in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.decay = decay
        self.means: dict[str, torch.Tensor] = {}

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Update the means."""
        if not self.means:
            self.means = {name: weight.detach().clone() for name, weight in self.weights.items()}
            return
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        weights = [weight.detach() for weight in self.weights.values()]
        torch._foreach_lerp_(list(self.means.values()), weights, 1 - decay)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Make the means the weights of the model."""
        self._set(self.means)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the means as the weights of the model inside the block, for validation during training."""
        trained = {name: self.weights[name].detach().clone() for name in self.means}
        self._set(self.means)
        try:
            yield
        finally:
            self._set(trained)

    def save(self, folder: Path) -> None:
        """Save the means into the folder of a checkpoint."""
        save_file({name: mean.contiguous() for name, mean in self.means.items()}, folder / FILE)

    def load(self, folder: Path) -> None:
        """Load the means of a checkpoint.

        Raises:
            CaanError: The checkpoint has none, or those of another model.
        """
        try:
            loaded = load_file(folder / FILE)
            self.means = {name: loaded[name].to(weight.device) for name, weight in self.weights.items()}
        except (OSError, SafetensorError, KeyError) as error:
            raise CaanError(
                f"{folder / FILE}: the moving average cannot be resumed ({one_line(error)}). Resume without "
                "training.ema_decay, or start a new run in another training.output_dir."
            ) from error

    @torch.no_grad()
    def _set(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.weights[name].copy_(value)
