"""`CaanTrainingArguments`: the Trainer's arguments with those that CAAN adds, and how a recipe's values are checked."""

import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator
from transformers import TrainingArguments
from typing_extensions import TypedDict

from caan_hf.encoding.identity import Precision

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
MAX_SEED = 2**32 - 1  # numpy's limit
NON_NEGATIVE = "num_train_epochs max_minutes learning_rate tower_learning_rate weight_decay warmup_steps max_grad_norm "
NON_NEGATIVE += "dataloader_num_workers logging_steps eval_steps save_steps"
POSITIVE = "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps save_total_limit"
RANGES: dict[str, Any] = {"seed": Field(ge=0, le=MAX_SEED), "ema_decay": Field(ge=0, lt=1)}
RANGES |= dict.fromkeys(NON_NEGATIVE.split(), Field(ge=0)) | dict.fromkeys(POSITIVE.split(), Field(ge=1))


@dataclass
class CaanTrainingArguments(TrainingArguments):
    """`TrainingArguments` with additional arguments and other defaults.

    Args:
        tower_learning_rate: Learning rate of the pretrained towers; `learning_rate` then applies to all other
            parameters. None uses `learning_rate` for all.
        ema_decay: Decay of an exponential moving average of the weights, such as 0.99, which is validated and saved
            instead of the weights of the last step. None trains without it.
        max_minutes: Stop after this many minutes of training and save a checkpoint to resume from.
        resume_from_checkpoint: True resumes from the last complete checkpoint in `output_dir`, or starts if there is
            none. A path resumes from that checkpoint.
        resume_with_changes: Allow resuming with a recipe that differs from the recorded one.
    """

    tower_learning_rate: float | None = field(default=None, metadata={"help": "Learning rate of the towers."})
    ema_decay: float | None = field(default=None, metadata={"help": "Decay of the moving average of the weights."})
    max_minutes: float | None = field(default=None, metadata={"help": "Stop after this many minutes."})
    resume_from_checkpoint: str | bool | None = field(  # type: ignore[assignment]  # the Trainer's is only text
        default=None, metadata={"help": "True, or a checkpoint folder."}
    )
    resume_with_changes: bool = field(default=False, metadata={"help": "Resume with another recipe."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Triplets have no columns to remove."})
    label_names: list[str] | None = field(default_factory=lambda: ["category_ids"])
    report_to: str | list[str] | None = field(default="none", metadata={"help": '"tensorboard" writes event files.'})

    @property
    def encoding(self) -> dict[str, Any]:
        """Arguments of [`encode_rows`]: batch size, the precision of training, and a progress bar in one process."""
        dtype: Precision = "bfloat16" if self.bf16 else "float16" if self.fp16 else "float32"
        progress = not self.disable_tqdm and self.process_index == 0
        return {"batch_size": self.per_device_eval_batch_size, "dtype": dtype, "progress": progress}


def _as_given(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    validate(value)
    return value  # so that a record says 20 epochs instead of 20.0


def _training_types() -> dict[str, Any]:
    types = typing.get_type_hints(CaanTrainingArguments)
    for name, limits in RANGES.items():
        types[name] = Annotated[types[name], limits, WrapValidator(_as_given)]
    for name in types:
        if name.endswith("_strategy"):  # YAML reads the Trainer's value `no` as false
            types[name] = Annotated[types[name], BeforeValidator(lambda value: "no" if value is False else value)]
    return types


# Type of section `training`: pydantic checks each key by the type of the argument and refuses other keys. The types are
# collected when this module is imported, which mypy cannot follow, so mypy reads a plain dictionary.
if TYPE_CHECKING:
    TrainingValues = dict[str, Any]
else:
    TrainingValues = TypedDict("TrainingValues", _training_types(), total=False)
    TrainingValues.__pydantic_config__ = STRICT
