"""`CaanTrainer`: the Hugging Face Trainer with zero-shot retrieval as its evaluation."""

import copy
import re
import shutil
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import torch
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
from torch import nn
from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy
from transformers.utils.hub import PushInProgress

from caan_hf.configuration_caan import LOSS_WEIGHTS
from caan_hf.encoding.features import Modality
from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.errors import CaanError, one_line
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.evaluation.setting import UNNAMED
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.publishing.card import model_card
from caan_hf.publishing.folder import for_retrieval, save_published
from caan_hf.publishing.training_record import PublicRecipe, TrainingRecord, write_record
from caan_hf.utils.files import writing

from .arguments import CaanTrainingArguments
from .callbacks import EpochCallback, TimeCallback
from .centers import measure_centers
from .checkpoints import save_for_retrieval
from .hub_bank import measure_hub_bank
from .moving_average import MovingAverage
from .precompute import encode_rows
from .sampler import EpochSampler
from .triplets import TripletDataset

TORCH_WRITER = re.compile(r"PytorchStreamWriter|inline_container")
TOWERS = ("sketch_model.", "photo_model.", "text_model.")


class CaanTrainer(Trainer):
    """Trains a `CaanModel` on triplets and validates it by zero-shot retrieval.

    Args:
        processing_class: The `CaanProcessor`.
        evaluator: Ranks the photos of the validation categories for their sketches; its metrics are logged as
            `eval_mAP@all` and so on. None trains without validation.
        record: Training record for the model card, see [`training_record`].
        **kwargs: Arguments of `Trainer`; `args` is [`CaanTrainingArguments`], `train_dataset` a [`TripletDataset`].
    """

    args: CaanTrainingArguments
    train_dataset: TripletDataset
    hub_model_id: Any  # the Trainer declares None
    push_in_progress: Any

    def __init__(
        self,
        *,
        processing_class: CaanProcessor,
        evaluator: ZeroShotEvaluator | None = None,
        record: TrainingRecord | None = None,
        **kwargs: Any,
    ):
        self.processor = processing_class
        self.evaluator = evaluator
        self.record = record or TrainingRecord(recipe=PublicRecipe())
        self._validation: dict[str, float] = {}
        self._hub = HfApi()  # a single client, so that pushes in the background run one after the other
        self._loss_sums: dict[str, torch.Tensor] = {}
        self._loss_steps = 0
        self._is_finished = False
        super().__init__(
            # The Trainer requires a dataset when there is an evaluation strategy; `evaluate` uses the evaluator's.
            eval_dataset=evaluator.sketches if evaluator is not None else None,
            # The Trainer copies special tokens from the processor's tokenizer and fails if it has none.
            processing_class=processing_class if processing_class.tokenizer is not None else None,
            **kwargs,
        )
        self._record_categories()
        self.moving_average: MovingAverage | None = None
        if self.args.ema_decay is not None:
            self.moving_average = MovingAverage(self.caan, self.args.ema_decay)
            self.add_callback(self.moving_average)
        if self.args.max_minutes is not None:
            self.add_callback(TimeCallback(self.args.max_minutes))

    @property
    def caan(self) -> CaanModel:
        """The model without the wrapper of distributed training."""
        model: CaanModel = self.accelerator.unwrap_model(self.model)
        return model

    def _record_categories(self) -> None:
        """Add the training and validation categories to the configuration; evaluations do not count them as unseen."""
        config, validation = self.caan.config, self.evaluator
        seen = {*(config.training_categories or ()), *self.train_dataset.category_names}
        chosen = set(config.validation_categories or ())
        if validation is not None:
            chosen.update(validation.category_names[number] for number in validation.photo_categories.tolist())
        config.training_categories, config.validation_categories = sorted(seen), sorted(chosen - seen)
        config.training_protocol = config.training_protocol or UNNAMED

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train an epoch.

        In a finished run that is resumed in the middle of an epoch, the Trainer would train one more step (transformers
        5.23).
        """
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The loss of the model; the terms of the loss are collected for the log."""
        outputs = model(**inputs)
        for term in LOSS_WEIGHTS:
            if outputs.get(term) is not None:
                self.log_loss(term, outputs[term])
        self._loss_steps += 1
        self._is_finished = False
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log_loss(self, name: str, loss: torch.Tensor) -> None:
        """Log a further term of the loss. A subclass calls it once in each `compute_loss`.

        Args:
            name: Name in the log.
            loss: Value of shape ().
        """
        self._loss_sums[name] = self._loss_sums.get(name, 0) + loss.detach()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each loss term since the last log, averaged over processes."""
        if "loss" in logs and self._loss_steps:
            for term, total in self._loss_sums.items():
                mean = self.accelerator.reduce(total / self._loss_steps, reduction="mean")
                logs[term] = round(mean.item(), 4)
            self._loss_sums, self._loss_steps = {}, 0
        super().log(logs, *args, **kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Evaluate zero-shot retrieval among the validation categories; each process encodes its share of the images.

        Returns:
            `{prefix}_mAP@all`, `{prefix}_mAP@200`, `{prefix}_P@100`, `{prefix}_P@200` (standard convention, in [0, 1])
            and `{prefix}_chance`, the mAP@all of a random ranking.

        Raises:
            CaanError: The trainer has no evaluator.
        """
        if self.evaluator is None:
            raise CaanError("CaanTrainer.evaluate needs an evaluator: pass evaluator=ZeroShotEvaluator(...).")
        evaluator = self.evaluator
        with self.moving_average.applied() if self.moving_average is not None else nullcontext():
            self.finish_model()
            result = evaluator.evaluate_embeddings(
                self._encode(evaluator.sketches, "sketch"),
                self._encode(evaluator.photos, "photo"),
                device=self.args.device,
            )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in result.metrics.items()}
        metrics[f"{metric_key_prefix}_chance"] = result.chance
        self._validation = {**result.metrics, "chance": result.chance}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def finish_model(self) -> None:
        """Measure the statistics of training images that retrieval uses, and encode the bank of sketches."""
        if self.caan.config.is_measured:
            images = self.train_dataset.paired_rows()
            measure_centers(self.caan, self.processor, images, **self.args.encoding)
            measure_hub_bank(self.caan, self.processor, images, **self.args.encoding)
        self._is_finished = True

    def save_for_retrieval(self, folder: str | Path, text: TextEncoder | None = None) -> None:
        """Write the model for retrieval, its processor and its training record, as `caan train` does.

        Unlike `save_model`, it writes no modules that only training needs, and no pickled arguments. The statistics of
        [`finish_model`] are measured first if necessary.

        Args:
            folder: Folder to write. An earlier model in it is replaced.
            text: Text side of a model that was trained with descriptions.
        """
        if not self._is_finished:
            self.finish_model()
        save_for_retrieval(self.caan, self.processor, Path(folder), self.current_record(), text)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the optimizer with a separate learning rate for the towers and no decay of biases and norms."""
        if self.optimizer is not None or self.args.tower_learning_rate is None:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        decayed = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                is_tower = name.removeprefix("module.").startswith(TOWERS)
                groups.setdefault((is_tower, name in decayed), []).append(parameter)
        optimizer_class, kwargs = self.get_optimizer_cls_and_kwargs(self.args, model)
        self.optimizer = optimizer_class(
            [
                {
                    "params": parameters,
                    "lr": self.args.tower_learning_rate if is_tower else self.args.learning_rate,
                    "weight_decay": self.args.weight_decay if is_decayed else 0.0,
                }
                for (is_tower, is_decayed), parameters in groups.items()
            ],
            **kwargs,
        )
        return self.optimizer

    def current_record(self) -> TrainingRecord:
        """The training record with the epochs and steps that ran and the metrics of the last validation."""
        ran = {"epochs": self.state.epoch or 0.0, "steps": self.state.global_step}
        return self.record.model_copy(update=ran | ({"validation": self._validation} if self._validation else {}))

    def create_model_card(self, *args: Any, model_name: str | None = None, **kwargs: Any) -> None:
        """Write the model card into `output_dir`."""
        if self.is_world_process_zero():
            output_dir = Path(str(self.args.output_dir))
            self._write_card(self.hub_model_id or model_name or output_dir.name, output_dir)

    def _write_card(self, name: str, folder: Path) -> None:
        model_card(name, for_retrieval(self.caan), record=self.current_record()).save(folder / "README.md")

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Push the model for retrieval in one commit: weights, processor, card, record, and the code that loads it.

        Checkpoints stay local unless `hub_strategy` is `checkpoint` or `all_checkpoints`. They then include the pickled
        states of optimizer, scheduler and random numbers, which resuming needs; load only your own. The pickled
        arguments are never pushed, because they can hold a token and paths, and resuming does not need them.

        Returns:
            The commit, or its future if `blocking` is False; None on processes other than the first.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token or self.args.hub_token, private=private)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        upload = self._push_model(commit_message or "End of training", token, revision)
        return upload.result() if blocking else upload

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push in the background after a checkpoint was saved, as `hub_strategy` says."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        is_busy = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if is_busy and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        message = f"Training in progress, step {self.state.global_step}"
        jobs: Any = [*(self.push_in_progress.jobs if is_busy else []), self._push_model(message)]
        if self.args.hub_strategy != HubStrategy.EVERY_SAVE:
            is_last_only = self.args.hub_strategy == HubStrategy.CHECKPOINT
            place = "last-checkpoint" if is_last_only else Path(checkpoint_folder).name
            jobs.append(
                self._hub.upload_folder(
                    repo_id=self.hub_model_id,
                    folder_path=checkpoint_folder,
                    path_in_repo=place,
                    commit_message=f"{message}, checkpoint",
                    ignore_patterns=[TRAINING_ARGS_NAME, f"*/{TRAINING_ARGS_NAME}"],
                    token=self.args.hub_token,
                    revision=self.args.hub_revision,
                    run_as_future=True,
                )
            )
        self.push_in_progress = PushInProgress(jobs)

    def _push_model(self, message: str, token: str | None = None, revision: str | None = None) -> Future[CommitInfo]:
        """Start to push the current model for retrieval."""
        folder = TemporaryDirectory(prefix="caan-push-")
        save_published(for_retrieval(self.caan), copy.copy(self.processor).drop_text(), folder.name)
        write_record(self.current_record(), Path(folder.name))
        self._write_card(self.hub_model_id, Path(folder.name))
        files = [path for path in Path(folder.name).iterdir() if path.is_file()]
        upload = self._hub.create_commit(  # one commit, while `upload_folder` may split a large folder into several
            repo_id=self.hub_model_id,
            operations=[CommitOperationAdd(path.name, path) for path in files],
            commit_message=message,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
            run_as_future=True,
        )
        upload.add_done_callback(lambda _: folder.cleanup())
        return upload

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        sampler = EpochSampler(len(dataset), self.args.seed, dataset.sketch_weights, dataset.groups)
        self.add_callback(EpochCallback(sampler))
        return sampler

    def _encode(self, images: datasets.Dataset, modality: Modality) -> torch.Tensor:
        """Global embeddings (rows, D) of all images in their order, gathered from all processes."""
        processes, process = self.args.world_size, self.args.process_index
        share = -(-len(images) // processes)
        # Gathering needs equal shares. The last ones are filled with the last row, which is cut off afterwards.
        rows = [min(row, len(images) - 1) for row in range(process * share, (process + 1) * share)]
        embeddings = encode_rows(self.caan, self.processor, images.select(rows), modality, **self.args.encoding)
        gathered = self.accelerator.gather(embeddings.to(self.args.device))
        return gathered[: len(images)].cpu()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a checkpoint; one that cannot be completed is removed, so that the earlier ones remain usable.

        Raises:
            CaanError: It cannot be written, for example because the disk is full.
        """
        folder = Path(str(self.args.output_dir), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
        try:
            with writing(folder):
                super()._save_checkpoint(model, trial)
        except (CaanError, RuntimeError) as error:
            # torch reports a full disk without the reason of the operating system
            if isinstance(error, RuntimeError) and not TORCH_WRITER.search(str(error)):
                raise
            shutil.rmtree(folder, ignore_errors=True)
            reason = str(error) if isinstance(error, CaanError) else f"{folder}: cannot be written. Free disk space."
            raise CaanError(f"{reason} Then continue with training.resume_from_checkpoint=true.") from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.moving_average is not None:
            self.moving_average.load(Path(resume_from_checkpoint))
        try:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        except RuntimeError as error:  # tensors of other shapes
            raise CaanError(
                f"{resume_from_checkpoint}: does not fit the model of this recipe ({one_line(error)}). Resume "
                "with the recipe that the run was started with."
            ) from error

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save the weights under the names that the running model uses.

        `save_pretrained` writes some towers under the names of older releases, but the Trainer reads a checkpoint back
        with `load_state_dict(strict=False)`, which ignores these names. Resuming, and loading the best model at the
        end, would keep wrong weights with only a warning (transformers 5.23).
        """
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            output_dir = str(output_dir or self.args.output_dir)
            self.processor.save_pretrained(output_dir)
            self.caan.save_pretrained(output_dir, state_dict=state_dict, save_original_format=False)
            if self.moving_average is not None:
                self.moving_average.save(Path(output_dir))
