"""One training run, from a recipe to a model for retrieval."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
from transformers import set_seed

from caan_hf.benchmarks import BenchmarkInfo, load_benchmark
from caan_hf.benchmarks.pairs import require_pairs
from caan_hf.benchmarks.prepared import checked_split, require_splits
from caan_hf.configuration_caan import CaanConfig
from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.publishing.training_record import TrainingRecord, training_record
from caan_hf.towers_caan import joined_protocols
from caan_hf.utils.files import check_out_dir, expand_home, make_folder, require_writable
from caan_hf.utils.hub import hub_errors

from .arguments import CaanTrainingArguments
from .augmentation import photo_augmentation, sketch_augmentation
from .backbones import build_model
from .balance import rows_of_origins
from .callbacks import StartCallback
from .category_sentences import category_sentences
from .checkpoints import MODEL_FOLDER, MODEL_MARKER, check_recorded_recipe, checkpoint_to_resume, write_recipe
from .collator import TripletCollator, at_size
from .hub_bank import fit_hub_bank
from .photo_targets import photo_targets
from .precompute import encode_sentences, sentence_table
from .recipe import DataSection, Recipe, refused_arguments
from .text_projection import fit_text_projection
from .trainer import CaanTrainer
from .triplets import Augmentation, TripletDataset
from .unpaired import UnpairedPerBatch, warn_of_unused


@dataclass(frozen=True)
class TrainedModel:
    """Result of a training run.

    Attributes:
        folder: Folder of the model for retrieval: config, safetensors and processor, without the text tower.
        metrics: The Trainer's metrics and `eval_*` of the last validation. A run that was stopped by `max_minutes` has
            `steps_left`.
    """

    folder: Path
    metrics: dict[str, float]

    @property
    def is_finished(self) -> bool:
        """False if `max_minutes` stopped the run before its last step; then there is a checkpoint and no model."""
        return "steps_left" not in self.metrics


def train_recipe(recipe: Recipe) -> TrainedModel:
    """Train a model.

    Afterwards `output_dir` holds the Trainer's checkpoints, `recipe.yaml` (the recipe of the run) and `model/` (the
    final or best model for retrieval, with `training.json`, the record of the run). With `push_to_hub` the model is
    also pushed to the Hub, with its card and the code that loads it without this package.

    Args:
        recipe: What to train.

    Raises:
        CaanError: The recipe or its data cannot be used, the run to resume has another recipe, or the Hub refuses the
            model; in the last case the model is in `output_dir`.
    """
    arguments = recipe.training_arguments()
    output_dir = Path(str(arguments.output_dir))
    folder = output_dir / MODEL_FOLDER
    require_writable(output_dir, "training.output_dir")
    make_folder(output_dir)
    check_out_dir(folder, MODEL_MARKER, overwrite=True)
    checkpoint = checkpoint_to_resume(arguments)
    notes = check_recorded_recipe(recipe, checkpoint, allow_changes=arguments.resume_with_changes) if checkpoint else []
    splits, info = load_benchmark(recipe.data.benchmark_folder())
    if recipe.data.instance_pairs:
        require_pairs(info.protocol)
    set_seed(arguments.seed)
    record = training_record(recipe.to_dict(), info)
    record = record.model_copy(update={"resumed": list(notes)}) if notes else record
    trainer = build_trainer(recipe, arguments, splits, info, record=record)
    if arguments.should_save:
        trainer.add_callback(StartCallback(lambda: write_recipe(recipe, output_dir, notes)))
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    metrics = dict(result.metrics)
    steps_left = trainer.state.max_steps - trainer.state.global_step
    if steps_left > 0:
        return TrainedModel(folder, metrics | {"steps_left": steps_left})
    if trainer.evaluator is not None:
        metrics.update(trainer.evaluate())
    else:
        trainer.finish_model()
    if arguments.should_save:
        trainer.save_state()
        text = _text_side(trainer.caan, trainer.processor, recipe.model.text)
        trainer.save_for_retrieval(folder, text)
    trainer.accelerator.wait_for_everyone()
    if arguments.push_to_hub:
        with hub_errors(trainer.hub_model_id or arguments.hub_model_id or "push_to_hub"):
            trainer.push_to_hub()
    return TrainedModel(folder, metrics)


def build_trainer(
    recipe: Recipe,
    arguments: CaanTrainingArguments,
    splits: Mapping[str, datasets.Dataset],
    info: BenchmarkInfo | None = None,
    *,
    record: TrainingRecord | None = None,
    trainer_class: type[CaanTrainer] = CaanTrainer,
) -> CaanTrainer:
    """Build the model and a trainer that is ready to `train()`.

    Args:
        recipe: What to train.
        arguments: The Trainer's arguments, see [`Recipe.training_arguments`].
        splits: The splits of the benchmark; `train` is required.
        info: The benchmark, as `load_benchmark` returns it. The model then names it as its training data; otherwise the
            model only records the categories that it saw.
        record: Training record for the model card, made of the recipe and `info` by default.
        trainer_class: The trainer, or a subclass with losses of its own.

    Raises:
        CaanError: The recipe or the data cannot be used.
    """
    require_splits(splits, "train")
    if info is not None and record is None:
        record = training_record(recipe.to_dict(), info)
    split = rows_of_origins(checked_split(splits["train"]), recipe.data.origins)
    sentences = category_sentences(split, recipe.data.prompts)
    model, processor = build_model(recipe.model, recipe.data, sorted(set(chain.from_iterable(sentences.values()))))
    if info is not None:
        _record_benchmark(model.config, info)
        record = _named(record, model.config.training_protocol)
    _check_batches(recipe, arguments, model.config)
    photo_size = recipe.data.photo_size or model.config.image_size
    triplets = TripletDataset(
        split,
        processor,
        seed=arguments.seed,
        sentences=sentences,
        sample_negatives=model.config.negatives != "in_batch",
        augment_sketch=_sketch_augmentation(recipe.data),
        augment_photo=photo_augmentation(photo_size) if recipe.data.augment else None,
        balance=recipe.data.balance,
        unpaired=_unpaired(recipe, model.config),
        instance_pairs=recipe.data.instance_pairs,
        images_per_category=recipe.data.images_per_category,
    )
    fit_hub_bank(model, len(triplets.paired))
    warn_of_unused(split, triplets.unpaired)
    evaluator = _evaluator(recipe, arguments, splits)
    with arguments.main_process_first(desc="cleaning sketches"):
        shown = not arguments.disable_tqdm and sys.stderr.isatty()
        triplets.clean_once(workers=arguments.dataloader_num_workers, progress=shown)
    model.to(arguments.device)  # type: ignore[arg-type]  # transformers loses the signature of Module.to
    collator = _collator(recipe, arguments, model, processor, triplets)
    try:
        with hub_errors(arguments.hub_model_id or Path(str(arguments.output_dir)).name):
            trainer = trainer_class(
                model=model,
                args=arguments,
                train_dataset=triplets,
                data_collator=collator,
                processing_class=processor,
                evaluator=evaluator,
                record=record,
            )
    except (ValueError, RuntimeError, ImportError) as error:  # for example, a tracker that is not installed
        raise CaanError(refused_arguments(error)) from error
    return trainer


def _record_benchmark(config: CaanConfig, info: BenchmarkInfo) -> None:
    """Name the benchmark as training data, beside that of a CAAN model whose towers are trained further."""
    config.training_protocol = joined_protocols(info.training_protocol, config.training_protocol)
    seen = {*info.seen, *(config.training_categories or ())}
    config.training_categories = sorted(seen)
    config.validation_categories = sorted({*info.validation, *(config.validation_categories or ())} - seen)


def _named(record: TrainingRecord | None, protocol: str | None) -> TrainingRecord | None:
    """The record with the name of all training data, also that of the model whose towers are trained further."""
    if record is None or record.data is None:
        return record
    return record.model_copy(update={"data": record.data.model_copy(update={"protocol": protocol})})


def _sketch_augmentation(data: DataSection) -> Augmentation | None:
    if not data.augment:
        if data.stroke_width is not None:
            raise CaanError("data.stroke_width: requires data.augment=true.")
        return None
    return sketch_augmentation(data.stroke_width)


def _unpaired(recipe: Recipe, config: CaanConfig) -> UnpairedPerBatch:
    data = recipe.data
    if (data.unpaired_sketches_per_batch or data.unpaired_photos_per_batch) and not config.trains_unpaired:
        raise CaanError(
            "data.unpaired_..._per_batch: no loss trains on unpaired images. Set model.lambda_mod, or model.lambda_txt "
            "with model.text_negatives=all."
        )
    return UnpairedPerBatch(
        data.unpaired_sketches_per_batch, data.unpaired_photos_per_batch, data.unpaired_per_category
    )


def _check_batches(recipe: Recipe, arguments: CaanTrainingArguments, config: CaanConfig) -> None:
    if config.lambda_ins and not recipe.data.instance_pairs:
        raise CaanError("model.lambda_ins: needs pairs of a sketch and its photo. Set data.instance_pairs=1.")
    size, count = arguments.per_device_train_batch_size, recipe.data.images_per_category
    if size * arguments.world_size < 2 and config.negatives != "sampled":
        raise CaanError(
            f"training.per_device_train_batch_size: model.negatives={config.negatives} compares the images of a batch, "
            f"so it must be at least 2, got {size}."
        )
    if size % count:
        raise CaanError(
            f"data.images_per_category: must divide training.per_device_train_batch_size, {size}, got {count}."
        )


def _text_side(model: CaanModel, processor: CaanProcessor, tower: str | dict[str, Any] | None) -> TextEncoder | None:
    """The part of a model that encodes sentences; None unless it was trained with `text_negatives=all`."""
    if model.text_contrast is None:
        return None
    is_named = isinstance(tower, str) and not expand_home(tower).is_dir()
    return TextEncoder.of_model(model, processor, str(tower) if is_named else None)


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
        if model.text_contrast is not None:
            table = sentence_table(states, triplets.sentences_of)
            model.text_contrast.set_sentences(*table)
    if model.config.lambda_dis:
        processor_of_targets = at_size(processor, recipe.data.target_image_size)
        targets = photo_targets(model, processor_of_targets, triplets.photos, **arguments.encoding)
        if model.text_projection is not None and model.config.text_init == "photos":
            fit_text_projection(model.text_projection, *table, targets, triplets.photo_categories)
    return TripletCollator(
        processor,
        sketch_size=recipe.data.sketch_size,
        photo_size=recipe.data.photo_size,
        use_text=uses_text,
        text_hidden_states=states,
        photo_targets=targets,
    )


def _evaluator(
    recipe: Recipe, arguments: CaanTrainingArguments, splits: Mapping[str, datasets.Dataset]
) -> ZeroShotEvaluator | None:
    if arguments.eval_strategy == "no":
        return None
    name = recipe.data.validation_split
    if name not in splits:
        raise CaanError(f"data.validation_split: no split {name!r}. The benchmark has {', '.join(splits)}.")
    if name == "test":
        warnings.warn(
            "data.validation_split: test has the unseen categories, so the run is not zero-shot", stacklevel=2
        )
    if not len(splits[name]):
        raise CaanError(
            f"{recipe.data.path}: the {name} split is empty. Prepare the benchmark with --validation-categories N, or "
            "train with training.eval_strategy=no training.load_best_model_at_end=false."
        )
    evaluator = ZeroShotEvaluator(splits[name], split=name)
    if len(set(evaluator.photo_categories.tolist())) < 2:
        raise CaanError(
            f"{recipe.data.path}: the {name} split has photos of one category, so every ranking is perfect. Prepare "
            "the benchmark with --validation-categories 2 or more."
        )
    return evaluator
