"""`CaanTrainer`: the Hugging Face Trainer, with zero-shot retrieval as its evaluation."""

import copy
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from huggingface_hub import CommitInfo, HfApi
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import HubStrategy
from transformers.utils import PushInProgress

from caan_hf.evaluation.embedding import embed_images
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.publishing.card import model_card
from caan_hf.publishing.folder import for_retrieval, save_published
from caan_hf.publishing.training_record import PublicRecipe, TrainingRecord, write_record

from .precompute import measure_centers
from .triplets import EpochSampler

TOWERS = ("sketch_model.", "photo_model.", "text_model.")
EPOCH_ROUNDING = 1e-6  # the Trainer counts epochs in fractions: the end of the second may be 1.9999999
LOSS_TERMS = ("loss_tri", "loss_rn", "loss_con", "loss_txt", "loss_dis")


@dataclass
class CaanTrainingArguments(TrainingArguments):
    """`TrainingArguments` with what CAAN needs, and defaults that suit it.

    Args:
        tower_learning_rate: Rate of the pretrained towers; `learning_rate` is for what is new. `None` gives one rate
            to all.
        max_minutes: Stop after so long, with a checkpoint to go on from: for machines that are lent by the hour.
    """

    tower_learning_rate: float | None = field(default=None, metadata={"help": "learning rate of the towers"})
    max_minutes: float | None = field(default=None, metadata={"help": "stop after so long, to be resumed"})
    resume_from_checkpoint: str | bool | None = field(default=None, metadata={"help": "true, or a checkpoint's folder"})
    remove_unused_columns: bool = field(default=False, metadata={"help": "triplets are no columns"})
    label_names: list[str] | None = field(default_factory=lambda: ["category_ids"])
    report_to: str | list[str] | None = field(default="none", metadata={"help": '"tensorboard" writes event files'})

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """What mixed precision computes in, None without it."""
        if self.bf16:
            return torch.bfloat16
        return torch.float16 if self.fp16 else None


class _EpochCallback(TrainerCallback):
    """Tells the sampler its epoch.

    The Trainer does so itself, but does not reach the sampler where several processes resume in the middle of an epoch
    (transformers 5.23, accelerate 1.15): they would train on the triplets of the first one.
    """

    def __init__(self, sampler: EpochSampler):
        self.sampler = sampler

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.sampler.set_epoch(int((state.epoch or 0) + EPOCH_ROUNDING))


class _TimeCallback(TrainerCallback):
    """Saves a checkpoint and stops once the time is over."""

    def __init__(self, minutes: float):
        self.seconds = 60 * minutes

    def on_train_begin(self, args, state, control, **kwargs):
        self.end = time.monotonic() + self.seconds

    def on_step_end(self, args, state, control, **kwargs):
        if time.monotonic() >= self.end and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args, state, control, **kwargs):
        # To the Trainer a stop ends an epoch: a model in the middle of one would be judged with the others.
        is_amid = abs(state.epoch - round(state.epoch)) > EPOCH_ROUNDING
        if control.should_training_stop and is_amid:
            control.should_evaluate = control.should_save = False


class CaanTrainer(Trainer):
    """Trains a `CaanModel` on triplets and validates it by retrieval.

    Args:
        evaluator: Ranks the validation categories' photos for their sketches; its metrics are logged as `eval_mAP@all`
            and so on. `None` trains without validation.
        record: How the model is trained, as [`training_record`] writes it down; for the model card.
        **kwargs: Those of `Trainer`. `train_dataset` is a `TripletDataset`, `processing_class` the `CaanProcessor`.
    """

    def __init__(
        self,
        *,
        processing_class,
        evaluator: ZeroShotEvaluator | None = None,
        record: TrainingRecord | None = None,
        **kwargs,
    ):
        self.processor = processing_class
        self.evaluator = evaluator
        self.record = record or TrainingRecord(recipe=PublicRecipe())
        self._validation: dict[str, float] = {}
        self._hub = HfApi()  # one for all: its pushes in the background follow one another
        self._loss_sums: dict[str, torch.Tensor] = {}
        self._loss_steps = 0
        # The Trainer insists on a dataset where an evaluation strategy is set; ours lives in the evaluator.
        super().__init__(
            eval_dataset=evaluator.sketches if evaluator is not None else None,
            # The Trainer copies special tokens from a processor's tokenizer without asking whether there is one.
            processing_class=processing_class if processing_class.tokenizer is not None else None,
            **kwargs,
        )
        if self.args.max_minutes is not None:
            self.add_callback(_TimeCallback(self.args.max_minutes))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The model's loss; its terms are kept for the log."""
        outputs = model(**inputs)
        for term in LOSS_TERMS:
            if outputs.get(term) is not None:
                self._loss_sums[term] = self._loss_sums.get(term, 0) + outputs[term].detach()
        self._loss_steps += 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Adds the mean of each loss term since the last log, over all processes."""
        if "loss" in logs and self._loss_steps:
            for term, total in self._loss_sums.items():
                mean = self.accelerator.reduce(total / self._loss_steps, reduction="mean")
                logs[term] = round(mean.item(), 4)
            self._loss_sums, self._loss_steps = {}, 0
        super().log(logs, *args, **kwargs)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Zero-shot retrieval among the validation categories; every process encodes its share of the images.

        Returns:
            `{prefix}_mAP@all`, `{prefix}_mAP@200`, `{prefix}_P@100`, `{prefix}_P@200` (standard convention, in [0, 1])
            and `{prefix}_chance`, the mAP@all of a random ranking.
        """
        self.finish_model()
        evaluator = self.evaluator
        result = evaluator.evaluate_embeddings(
            self._embed(evaluator.sketches, "sketch"),
            self._embed(evaluator.photos, "photo"),
            evaluator.sketch_categories,
            evaluator.photo_categories,
            device=self.args.device,
        )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in result.metrics.items()}
        metrics[f"{metric_key_prefix}_chance"] = result.chance
        self._validation = {**result.metrics, "chance": result.chance}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def finish_model(self) -> None:
        """Measures the means of `center_features` on the training images; for retrieval, and so for validation too."""
        model = self.accelerator.unwrap_model(self.model)
        if model.config.center_features:
            measure_centers(
                model,
                self.processor,
                self.train_dataset,
                batch_size=self.args.per_device_eval_batch_size,
                dtype=self.args.autocast_dtype,
            )

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """AdamW (or what `optim` names) with a rate of their own for the towers, and no decay of biases and norms."""
        if self.optimizer is not None or self.args.tower_learning_rate is None:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        optimizer_class, kwargs = self.get_optimizer_cls_and_kwargs(self.args, model)
        self.optimizer = optimizer_class(self._parameter_groups(model), **kwargs)
        return self.optimizer

    @property
    def is_unfinished(self) -> bool:
        """Whether training stopped before its last step, as `max_minutes` has it."""
        return self.state.global_step < self.state.max_steps

    def current_record(self) -> TrainingRecord:
        """How the model was trained, and what the last validation found."""
        return self.record.model_copy(update={"validation": self._validation} if self._validation else {})

    def create_model_card(self, model_name: str | None = None, **_) -> None:
        """Writes the model card into `output_dir`."""
        if self.is_world_process_zero():
            output_dir = Path(self.args.output_dir)
            model = for_retrieval(self.accelerator.unwrap_model(self.model))
            card = model_card(self.hub_model_id or model_name or output_dir.name, model, record=self.current_record())
            card.save(output_dir / "README.md")

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **_,
    ) -> CommitInfo | Future | None:
        """Pushes the model for retrieval in one commit: weights, processor, card, record, and the code that loads it.

        Checkpoints, which hold the text tower, stay here, unless `hub_strategy` is `checkpoint` or `all_checkpoints`.
        Then they go with the states of optimizer, scheduler and random numbers, pickled files that resuming needs: load
        none but your own. The pickled arguments never go, which may hold a token and paths, and which resuming does
        without.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token or self.args.hub_token, private=private)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        upload = self._upload(commit_message, token=token, revision=revision)
        return upload.result() if blocking else upload

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Pushes after a checkpoint was saved, as `hub_strategy` says, while training goes on."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        is_busy = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if is_busy and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        message = f"Training in progress, step {self.state.global_step}"
        jobs = [self._upload(message)]
        if self.args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            is_last_only = self.args.hub_strategy == HubStrategy.CHECKPOINT
            jobs.append(
                self._hub.upload_folder(
                    repo_id=self.hub_model_id,
                    folder_path=checkpoint_folder,
                    path_in_repo="last-checkpoint" if is_last_only else Path(checkpoint_folder).name,
                    commit_message=f"{message}, checkpoint",
                    ignore_patterns=[TRAINING_ARGS_NAME, f"*/{TRAINING_ARGS_NAME}"],
                    token=self.args.hub_token,
                    revision=self.args.hub_revision,
                    run_as_future=True,
                )
            )
        self.push_in_progress = PushInProgress([*(self.push_in_progress.jobs if is_busy else []), *jobs])

    def _upload(self, message: str, *, token: str | None = None, revision: str | None = None) -> Future:
        """Starts to push the model as it is now."""
        folder = TemporaryDirectory(prefix="caan-push-")
        model = for_retrieval(self.accelerator.unwrap_model(self.model))
        record = self.current_record()
        save_published(model, copy.copy(self.processor).drop_text(), folder.name)
        write_record(record, Path(folder.name))
        model_card(self.hub_model_id, model, record=record).save(Path(folder.name) / "README.md")
        upload = self._hub.upload_folder(
            repo_id=self.hub_model_id,
            folder_path=folder.name,
            commit_message=message,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
            run_as_future=True,
        )
        upload.add_done_callback(lambda _: folder.cleanup())
        return upload

    def _parameter_groups(self, model) -> list[dict]:
        decayed = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                is_tower = name.removeprefix("module.").startswith(TOWERS)
                groups.setdefault((is_tower, name in decayed), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": self.args.tower_learning_rate if is_tower else self.args.learning_rate,
                "weight_decay": self.args.weight_decay if is_decayed else 0.0,
            }
            for (is_tower, is_decayed), parameters in groups.items()
        ]

    def _get_train_sampler(self, train_dataset=None) -> EpochSampler:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        sampler = EpochSampler(len(dataset), self.args.seed)
        self.add_callback(_EpochCallback(sampler))
        return sampler

    def _embed(self, images, modality: str) -> torch.Tensor:
        """Global features (rows, D) of all images, gathered from all processes, in their order."""
        processes, process = self.args.world_size, self.args.process_index
        share = -(-len(images) // processes)
        # Every process takes as many rows, for the gathering; those past the end repeat the last one and are cut off.
        rows = [min(row, len(images) - 1) for row in range(process * share, (process + 1) * share)]
        embeddings = embed_images(
            self.accelerator.unwrap_model(self.model),
            self.processor,
            images.select(rows),
            modality,
            batch_size=self.args.per_device_eval_batch_size,
            dtype=self.args.autocast_dtype,
            num_workers=self.args.dataloader_num_workers,
            progress=False,
        )
        gathered = self.accelerator.gather(embeddings.global_embeds.to(self.args.device))
        return gathered[: len(images)].cpu()

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Saves weights under the names that the running model has.

        `save_pretrained` writes some towers under the names of older releases, but the Trainer reads a checkpoint back
        with `load_state_dict(strict=False)`, which knows only today's: resuming, and loading the best model at the
        end, would keep wrong weights with no more than a warning (transformers 5.23).
        """
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            output_dir = output_dir or self.args.output_dir
            self.processor.save_pretrained(output_dir)
            self.accelerator.unwrap_model(self.model).save_pretrained(
                output_dir, state_dict=state_dict, save_original_format=False
            )
