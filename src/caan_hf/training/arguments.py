"""`CaanTrainingArguments`: the Trainer's arguments with those that CAAN adds."""

from dataclasses import dataclass, field

from transformers import TrainingArguments

from caan_hf.encoding.checkpoint import DType


@dataclass
class CaanTrainingArguments(TrainingArguments):
    """`TrainingArguments` with additional arguments and other defaults.

    Args:
        tower_learning_rate: Learning rate of the pretrained towers; `learning_rate` then applies to all other
            parameters. None uses `learning_rate` for all.
        max_minutes: Stop after this many minutes of training and save a checkpoint to resume from.
        resume_from_checkpoint: str | bool | None = field(  # type: ignore[assignment]  # the Trainer's is only text
        default=None, metadata={"help": "True, or a checkpoint folder."}
    )
            none. A path resumes from that checkpoint.
        resume_with_changes: Allow resuming with a recipe that differs from the recorded one.
    """

    tower_learning_rate: float | None = field(default=None, metadata={"help": "Learning rate of the towers."})
    max_minutes: float | None = field(default=None, metadata={"help": "Stop after this many minutes."})
    resume_from_checkpoint: str | bool | None = field(  # type: ignore[assignment]  # the Trainer's is only text
        default=None, metadata={"help": "True, or a checkpoint folder."}
    )
    resume_with_changes: bool = field(default=False, metadata={"help": "Resume with another recipe."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Triplets have no columns to remove."})
    label_names: list[str] | None = field(default_factory=lambda: ["category_ids"])
    report_to: str | list[str] | None = field(default="none", metadata={"help": '"tensorboard" writes event files.'})

    @property
    def encoding_dtype(self) -> DType:
        """The precision in which images are encoded outside of training steps: that of automatic mixed precision."""
        if self.bf16:
            return "bfloat16"
        return "float16" if self.fp16 else "float32"
