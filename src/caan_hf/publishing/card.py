"""The model card: metadata for the Hub, and a page that is filled from a template."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from caan_hf.benchmarks.prepared import ORIGIN_COLUMNS, origin_rows
from caan_hf.evaluation.record import EvaluationRecord
from caan_hf.modeling_caan import CaanModel
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.towers_caan import tower_width

from .local_matching import describe_local_matching, describe_reranking
from .provenance import default_license, describe_origin, restriction
from .results import TASK, eval_results, results_view
from .training_record import TOWERS, DataFacts, PublicRecipe, TrainingRecord

TEMPLATE = Path(__file__).with_name("model_card.md")
TAGS = ("caan", "sketch-based-image-retrieval", "zero-shot", "image-retrieval", "sketch", "custom_code")
VALIDATION = ("mAP@all", "P@100", "chance")
HUB_ID = re.compile(r"[\w-]+/[\w.-]+")


@dataclass(frozen=True)
class OnnxGraphs:
    """The ONNX export that a card describes: file names of its graphs, their data type and opset."""

    graphs: tuple[str, ...]
    dtype: str
    opset: int | None


def model_card(
    repo_id: str,
    model: CaanModel,
    *,
    record: TrainingRecord | None = None,
    results: EvaluationRecord | None = None,
    figure: str | None = None,
    onnx: OnnxGraphs | None = None,
    license: str | None = None,
) -> ModelCard:
    """Fill the template of the card.

    Args:
        repo_id: Repository that the examples name.
        model: The model as it is published.
        record: How it was trained.
        results: Its evaluation on unseen categories.
        figure: Path of the retrieval grid in the repository.
        onnx: The ONNX graphs in the repository.
        license: License id on the Hub; by default it depends on the training data.
    """
    record = record or TrainingRecord(recipe=PublicRecipe())
    data = record.data or DataFacts()
    name = repo_id.rpartition("/")[2]
    # Restrictions follow from the training data, never from the data of the evaluation.
    protocol = data.protocol or model.config.training_protocol or ""
    towers = record.recipe.model
    bases = [base for base in (towers.vision, towers.sketch, towers.photo) if isinstance(base, str)]
    entries = eval_results(results) if results else []
    validation = record.validation or {}
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag=TASK,
        tags=list(TAGS),
        base_model=list(dict.fromkeys(base for base in bases if HUB_ID.fullmatch(base))) or None,
        model_name=name if entries else None,
        eval_results=entries or None,
        **({"license": license} if license else default_license(protocol)),
    )
    return ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        repo_id=repo_id,
        name=name,
        trained_with_text=bool(towers.text),
        searches_by_words=model.config.text_negatives == "all",
        with_text=model.config.text_config is not None,
        needs_timm=any(tower.model_type == "timm_wrapper" for tower in _tower_configs(model.config).values()),
        figure=figure,
        onnx=onnx,
        facts=_facts(model),
        config=model.config,
        num_candidates=NUM_CANDIDATES,
        training=_training_rows(record, data),
        origin_columns=ORIGIN_COLUMNS,
        origins=origin_rows(data.origins or ()),
        pretrained=bool(bases),
        averaged=bool(record.averaged_seeds),
        descriptions=_descriptions(record, data),
        recipe=yaml.safe_dump(record.recipe.model_dump(exclude_unset=True), sort_keys=False).strip(),
        results=results,
        view=results_view(results) if results else None,
        validation=", ".join(f"{name} {validation[name]:.4f}" for name in VALIDATION if name in validation),
        restricted=restriction(protocol),
    )


def _tower_configs(config: Any) -> dict[str, Any]:  # a CaanConfig
    if config.tie_visual_towers:
        return {"sketch and photo tower": config.sketch_config}
    return {"sketch tower": config.sketch_config, "photo tower": config.photo_config}


def _facts(model: CaanModel) -> list[tuple[str, str]]:
    config = model.config
    width = config.projection_dim or tower_width(model.sketch_model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return [
        *((name.capitalize(), _describe_tower(tower)) for name, tower in _tower_configs(config).items()),
        ("Input", f"{config.image_size} x {config.image_size} pixels"),
        ("Global feature", f"{width} numbers, L2-normalised"),
        ("Local features", "{} tokens of {} numbers".format(*model.local_shape)),
        ("Local matching", describe_local_matching(config)),
        ("Re-ranking", describe_reranking(config)),
        ("Parameters", f"{parameters:,}, {dtype}"),
    ]


def _describe_tower(config: Any) -> str:
    if config.model_type == "timm_wrapper":
        return f"timm `{config.architecture}`"
    depth = getattr(config, "num_hidden_layers", None)
    return f"`{config.model_type}`" + (f", {depth} layers of width {config.hidden_size}" if depth else "")


def _training_rows(record: TrainingRecord, data: DataFacts) -> list[tuple[str, str]]:
    rows = [("Benchmark", f"`{data.protocol}`")] if data.protocol else []
    if data.categories:
        held_out = data.categories.get("validation")
        more = f", {held_out} more for validation" if held_out else ""
        unpaired = [
            f"{data.categories[key]} with {key.replace('_', ' ')}"
            for key in ("only_sketches", "only_photos")
            if key in data.categories
        ]
        some = f" ({', '.join(unpaired)})" if unpaired else ""
        rows.append(("Seen categories", f"{data.categories.get('seen')} for training{some}{more}"))
    if data.counts:
        counts = data.counts.train
        rows.append(("Training images", f"{counts.sketch:,} sketches and {counts.photo:,} photos"))
    for tower in TOWERS:
        if backbone := getattr(record.recipe.model, tower):
            is_name = isinstance(backbone, str)
            how = f"`{backbone}`, pretrained" if is_name else f"`{backbone.get('model_type')}`, randomly initialised"
            rows.append((f"{tower.capitalize()} encoder", how))
    rows += _duration(record)
    if record.averaged_seeds:
        has_text = (record.recipe.model.model_extra or {}).get("text_negatives") == "all"
        averaged = "Towers and text projection" if has_text else "Towers"
        rows.append((averaged, f"the average of {len(record.averaged_seeds)} runs ({_runs(record)})"))
        rows.append(("Other trained weights", "those of the first of these runs"))
    if record.resumed:
        rows.append(("Resumed", "; ".join(record.resumed)))
    if record.commit:
        rows.append(("Code", f"caan-hf at commit `{record.commit}`"))
    if record.versions:
        rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())))
    return rows


def _runs(record: TrainingRecord) -> str:
    """Seeds of averaged runs and, where they differ, their numbers of steps."""
    seeds, steps_of = record.averaged_seeds or [], record.averaged_steps or []
    if len(steps_of) != len(seeds):  # a record of an earlier version, or changed by hand
        steps_of = [None] * len(seeds)
    by_steps: dict[int | None, list[int | None]] = {}
    for seed, steps in zip(seeds, steps_of, strict=True):
        by_steps.setdefault(steps, []).append(seed)
    if len(by_steps) == 1:
        return _seeds(seeds)
    return "; ".join(f"{_steps(steps)}: {_seeds(those)}" for steps, those in by_steps.items())


def _steps(number: int | None) -> str:
    return "unknown number of steps" if number is None else f"{number:,} step{'s' * (number != 1)}"


def _seeds(seeds: Sequence[int | None]) -> str:
    names = ", ".join("unknown" if seed is None else str(seed) for seed in seeds)
    return f"seed{'s' * (len(seeds) > 1)} {names}"


def _duration(record: TrainingRecord) -> list[tuple[str, str]]:
    """How long the model was trained: what ran, or what the recipe says if that was not recorded."""
    planned = record.recipe.training
    if len(set(record.averaged_steps or ())) > 1:
        return []  # the row of the averaged runs has their steps
    if record.epochs is not None and record.steps is not None:
        return [("Epochs", f"{round(record.epochs, 2):g} ({record.steps:,} steps)")]
    if (planned.max_steps or 0) > 0:
        return [("Steps", f"{planned.max_steps:,}")]
    return [("Epochs", f"{planned.num_train_epochs:g}")] if planned.num_train_epochs is not None else []


def _descriptions(record: TrainingRecord, data: DataFacts) -> str:
    """Which texts were used for training, and their origin."""
    if not record.recipe.model.text:
        return "No text was used for training."
    prompts = record.recipe.data.prompts
    which = f"answers to the prompts {', '.join(prompts)}" if prompts else "all descriptions of each category"
    origin = describe_origin(data.descriptions.origin if data.descriptions else None)
    return (
        f"**Descriptions.** Training used {which}. Their origin: {origin}. Only texts of training categories are used, "
        "and searches by sketch need no text."
    )
