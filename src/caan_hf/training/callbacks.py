"""Callbacks of `CaanTrainer`."""

import logging
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from caan_hf.errors import CaanError

from .sampler import EpochSampler

logger = logging.getLogger(__name__)

EPOCH_ROUNDING = 1e-6  # the Trainer counts epochs in fractions: the end of the second may be 1.9999999


class EpochCallback(TrainerCallback):
    """Sets the epoch of the sampler.

    The Trainer's own call does not reach the sampler when several processes resume in the middle of an epoch
    (transformers 5.23, accelerate 1.15), and they would train on the triplets of the first epoch.
    """

    def __init__(self, sampler: EpochSampler):
        self.sampler = sampler

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Set the epoch."""
        self.sampler.set_epoch(int((state.epoch or 0) + EPOCH_ROUNDING))


class TimeCallback(TrainerCallback):
    """Saves a checkpoint and stops after some minutes of training."""

    def __init__(self, minutes: float):
        self.seconds = 60 * minutes

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Start the clock."""
        self.end = time.monotonic() + self.seconds

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop when the time has passed."""
        if time.monotonic() >= self.end and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Skip evaluating and saving after an incomplete epoch, so that its model cannot become the best one.

        The Trainer ends the epoch when training stops.
        """
        epoch = state.epoch or 0
        if control.should_training_stop and abs(epoch - round(epoch)) > EPOCH_ROUNDING:
            control.should_evaluate = control.should_save = False


class StartCallback(TrainerCallback):
    """Writes the recipe when training starts, so that a run that cannot be resumed keeps its recorded recipe."""

    def __init__(self, write: Callable[[], None]):
        self.write = write

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write the recipe, and log a message if no steps are left to train.

        Raises:
            CaanError: The run is finished and its recipe was changed.
        """
        if state.global_step >= state.max_steps:
            longer = "Increase training.max_steps" if args.max_steps > 0 else "Increase training.num_train_epochs"
            finished = f"{args.output_dir}: the run is finished after {state.global_step} steps"
            if args.resume_with_changes:
                raise CaanError(
                    f"{finished}, so changes have no effect. {longer}, or choose another training.output_dir."
                )
            logger.info("%s, so nothing is trained. %s to train longer.", finished, longer)
        self.write()
