"""One training run, from a recipe to a model for retrieval."""

import copy
import json
import shutil
import warnings
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import datasets
import yaml
from transformers import set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from caan_hf.benchmarks import BenchmarkInfo, load_benchmark
from caan_hf.errors import CaanError
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.publishing.folder import for_retrieval, share_weights
from caan_hf.publishing.training_record import RECIPE_FILE, TOKENS, TrainingRecord, training_record, write_record
from caan_hf.utils.hub import hub_errors
from caan_hf.whole_file import write_whole_text

from .augmentation import photo_augmentation, sketch_augmentation
from .backbones import build
from .collator import TripletCollator
from .precompute import encode_photo_targets, encode_sentences
from .recipe import Recipe, training_arguments
from .sentences import category_sentences
from .trainer import CaanTrainer, CaanTrainingArguments
from .triplets import TripletDataset

MODEL_FOLDER = "model"


@dataclass(frozen=True)
class TrainedModel:
    """What a run leaves behind.

    Attributes:
        folder: the model for retrieval (config, safetensors, processor), without its text tower.
        metrics: the Trainer's own, and the last validation's `eval_*`; `steps_left` of a run that is to be resumed.
    """

    folder: Path
    metrics: dict[str, float]

    @property
    def is_finished(self) -> bool:
        """False where `max_minutes` were over before the last step: there is a checkpoint and no model yet."""
        return "steps_left" not in self.metrics


def run_recipe(recipe: Recipe) -> TrainedModel:
    """Trains as the recipe says.

    `output_dir` then holds the Trainer's checkpoints, which training can be resumed from, `recipe.yaml`, the recipe as
    it was run, and `model/`, the final (or best) model for retrieval, with `training.json`, the record of the run. With
    `push_to_hub` the model goes to the Hub too, with its card and with the code that loads it without this package.

    Raises:
        CaanError: something in the recipe or its data is wrong, or the Hub refuses the model, which then lies in
            `output_dir`.
    """
    arguments = training_arguments(recipe)
    _make_folder(Path(arguments.output_dir))
    checkpoint = _checkpoint_to_resume(arguments)
    splits, info = _benchmark(recipe)
    set_seed(arguments.seed)
    trainer = build_trainer(recipe, arguments, splits, record=training_record(recipe.to_dict(), info))
    trainer.model.config.update(
        {
            "training_protocol": info.protocol,
            "training_categories": info.seen,
            "validation_categories": info.validation,
        }
    )
    if arguments.should_save:
        _write_recipe(recipe, Path(arguments.output_dir))
    result = trainer.train(resume_from_checkpoint=checkpoint)
    metrics = dict(result.metrics)
    folder = Path(arguments.output_dir) / MODEL_FOLDER
    if trainer.is_unfinished:
        return TrainedModel(folder, metrics | {"steps_left": trainer.state.max_steps - trainer.state.global_step})
    if trainer.evaluator is not None:
        metrics.update(trainer.evaluate())
    else:
        trainer.finish_model()
    if arguments.should_save:
        trainer.save_state()
        model = trainer.accelerator.unwrap_model(trainer.model)
        save_for_retrieval(model, trainer.processor, folder, trainer.current_record())
    trainer.accelerator.wait_for_everyone()
    if arguments.push_to_hub:
        with hub_errors(trainer.hub_model_id or arguments.hub_model_id or "push_to_hub"):
            trainer.push_to_hub()
    return TrainedModel(folder, metrics)


def build_trainer(
    recipe: Recipe,
    arguments: CaanTrainingArguments,
    splits: datasets.DatasetDict | dict[str, datasets.Dataset],
    record: TrainingRecord | None = None,
) -> CaanTrainer:
    """Model, triplets, collator and validation, ready to `train()`; `record` is for the model card."""
    split = splits["train"]
    sentences = category_sentences(split, recipe.data.prompts)
    model, processor = build(recipe.model, recipe.data, sorted(set(chain.from_iterable(sentences.values()))))
    triplets = TripletDataset(
        split,
        processor,
        seed=arguments.seed,
        sentences=sentences,
        sample_negatives=model.config.negatives != "in_batch",
        augment_sketch=sketch_augmentation() if recipe.data.augment else None,
        augment_photo=photo_augmentation(recipe.data.photo_size or model.config.image_size)
        if recipe.data.augment
        else None,
    )
    evaluator = _evaluator(recipe, arguments, splits)
    model.to(arguments.device)
    collator = _collator(recipe, arguments, model, processor, triplets)
    try:
        with hub_errors(arguments.hub_model_id or Path(arguments.output_dir).name):
            return CaanTrainer(
                model=model,
                args=arguments,
                train_dataset=triplets,
                data_collator=collator,
                processing_class=processor,
                evaluator=evaluator,
                record=record,
            )
    except (ValueError, RuntimeError, ImportError) as error:  # such as a tracker that is not installed
        raise CaanError(f"section training: {' '.join(str(error).split())}") from error


def save_for_retrieval(
    model: CaanModel, processor: CaanProcessor, folder: Path, record: TrainingRecord | None = None
) -> None:
    """Writes the model without what only training needs, and how it was trained; whole or not at all."""
    temporary, previous = (folder.with_name(f".{folder.name}.{state}") for state in ("writing", "previous"))
    for left_over in (temporary, previous):  # by a kill
        shutil.rmtree(left_over, ignore_errors=True)
    for_retrieval(model).save_pretrained(temporary)
    share_weights(temporary)
    copy.copy(processor).drop_text().save_pretrained(temporary)
    if record is not None:
        write_record(record, temporary)
    if folder.exists():
        folder.rename(previous)
    temporary.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)


def _collator(
    recipe: Recipe,
    arguments: CaanTrainingArguments,
    model: CaanModel,
    processor: CaanProcessor,
    triplets: TripletDataset,
) -> TripletCollator:
    uses_text = model.text_model is not None
    states, targets = None, None
    if uses_text and model.config.freeze_text:
        states = encode_sentences(model, processor, triplets.sentences())
    if model.config.lambda_dis:
        targets = encode_photo_targets(
            model,
            processor,
            triplets,
            image_size=recipe.data.target_image_size,
            batch_size=arguments.per_device_eval_batch_size,
            dtype=arguments.autocast_dtype,
            progress=not arguments.disable_tqdm,
        )
    return TripletCollator(
        processor,
        sketch_size=recipe.data.sketch_size,
        photo_size=recipe.data.photo_size,
        use_text=uses_text,
        text_hidden_states=states,
        photo_targets=targets,
    )


def _evaluator(recipe: Recipe, arguments: CaanTrainingArguments, splits) -> ZeroShotEvaluator | None:
    if arguments.eval_strategy == "no":
        return None
    name = recipe.data.validation_split
    if name not in splits:
        raise CaanError(f"data.validation_split: no split {name!r}; the benchmark has {', '.join(splits)}")
    if name == "test":
        warnings.warn("selecting on the unseen test categories: the result is no longer zero-shot", stacklevel=2)
    if not len(splits[name]):
        raise CaanError(
            f"the {name} split of {recipe.data.path} is empty: prepare the benchmark with --validation-categories N, "
            "or train with training.eval_strategy=no training.load_best_model_at_end=false"
        )
    evaluator = ZeroShotEvaluator(splits[name], split=name)
    if len(set(evaluator.photo_categories.tolist())) < 2:
        raise CaanError(
            f"the {name} split of {recipe.data.path} has photos of one category, of which every ranking is perfect: "
            "prepare the benchmark with --validation-categories 2 or more"
        )
    return evaluator


def _benchmark(recipe: Recipe) -> tuple[datasets.DatasetDict, BenchmarkInfo]:
    if recipe.data.path is None:
        raise CaanError("data.path is missing: prepare a benchmark with `caan prepare` and give data.path=DIR")
    return load_benchmark(recipe.data.path)


def _checkpoint_to_resume(arguments: CaanTrainingArguments) -> str | None:
    """The checkpoint to go on from; None for a fresh run.

    Raises:
        CaanError: asked to resume from nothing, or to start afresh over an earlier run.
    """
    folder = Path(arguments.output_dir)
    checkpoints = _checkpoints(folder)
    wanted = arguments.resume_from_checkpoint
    if isinstance(wanted, str) and wanted.lower() not in ("true", "false"):
        if not Path(wanted).is_dir():
            raise CaanError(f"training.resume_from_checkpoint: {wanted} is no folder")
        return wanted
    if wanted and str(wanted).lower() == "true":
        whole = [checkpoint for checkpoint in checkpoints if _is_whole(checkpoint)]
        return str(whole[-1]) if whole else None  # a run that was killed before its first checkpoint starts again
    if checkpoints:
        raise CaanError(
            f"{folder} holds the run of an earlier training ({checkpoints[-1].name}): go on with it by "
            "training.resume_from_checkpoint=true, or choose another training.output_dir"
        )
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """The Trainer's checkpoints, the oldest first."""
    numbered = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(numbered, key=lambda path: int(path.name.rpartition("-")[2]))


def _is_whole(checkpoint: Path) -> bool:
    """Whether the Trainer finished writing it: its state is the last file, so a kill leaves none or a part of it."""
    try:
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaanError(f"training.output_dir: {folder} cannot be made ({error})") from error


def _write_recipe(recipe: Recipe, folder: Path) -> None:
    """Writes the recipe as it was run, but for its tokens: a run goes on with that of `hf auth login` or HF_TOKEN."""
    content = recipe.to_dict()
    content["training"] = {name: value for name, value in content["training"].items() if name not in TOKENS}
    write_whole_text(folder / RECIPE_FILE, yaml.safe_dump(content, sort_keys=False))
