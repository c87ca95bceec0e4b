"""The model card: metadata for the Hub, and what a reader wants to know, from a template that is a page to read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from caan_hf.configuration_caan import CaanConfig
from caan_hf.modeling_caan import CaanModel
from caan_hf.towers_caan import tower_width

from .provenance import default_licence, origin_of_descriptions, restriction
from .results import TASK, Results, eval_results, results_table

TEMPLATE = Path(__file__).with_name("model_card.md")
TAGS = ("caan", "sketch-based-image-retrieval", "zero-shot", "image-retrieval", "sketch", "custom_code")
HUB_ID = re.compile(r"[\w-]+/[\w.-]+")
TOWERS = ("vision", "sketch", "photo", "text")


@dataclass(frozen=True)
class OnnxGraphs:
    """What the card says of an ONNX export."""

    graphs: tuple[str, ...]
    dtype: str
    opset: int | None


def model_card(
    repo_id: str,
    model: CaanModel,
    *,
    record: Mapping[str, Any] | None = None,
    results: Results | None = None,
    figure: str | None = None,
    onnx: OnnxGraphs | None = None,
    licence: str | None = None,
) -> ModelCard:
    """Fill the template.

    Args:
        repo_id: where the model will stand, for the examples.
        model: as it is published.
        record: how it was trained, see [`training_record`].
        results: its evaluation on unseen categories.
        figure: path of the retrieval grid in the repository.
        onnx: the ONNX graphs in the repository.
        licence: id of a licence on the Hub; by default what the training data suggests.
    """
    record = record or {}
    name = repo_id.rpartition("/")[2]
    # What a model was trained on decides, never what it was measured on.
    protocol = (record.get("data") or {}).get("protocol") or model.config.training_protocol or ""
    return ModelCard.from_template(
        _metadata(name, record, results, {"license": licence} if licence else default_licence(protocol)),
        template_path=str(TEMPLATE),
        repo_id=repo_id,
        name=name,
        trained_with_text=bool(((record.get("recipe") or {}).get("model") or {}).get("text")),
        with_text=model.config.text_config is not None,
        needs_timm=any(tower.model_type == "timm_wrapper" for tower in _towers(model.config).values()),
        figure=figure,
        onnx=onnx,
        facts=_facts(model),
        training=_training_rows(record),
        pretrained=any(isinstance(base, str) for base in _bases(record)),
        averaged=bool(record.get("averaged_seeds")),
        descriptions=_descriptions(record),
        recipe=yaml.safe_dump(record.get("recipe", {}), sort_keys=False).strip(),
        results=results,
        table=results and results_table(results.conventions),
        reranked_table=results_table(results.reranked) if results and results.reranked else None,
        expanded_table=results_table(results.expanded) if results and results.expanded else None,
        validation=", ".join(f"{name} {value:.4f}" for name, value in _validation(record).items()),
        restricted=restriction(protocol),
    )


def _metadata(name: str, record: Mapping[str, Any], results: Results | None, licence: dict[str, str]) -> ModelCardData:
    hub_ids = list(dict.fromkeys(base for base in _bases(record) if isinstance(base, str) and HUB_ID.fullmatch(base)))
    entries = eval_results(results) if results and results.is_zero_shot else []
    return ModelCardData(
        library_name="transformers",
        pipeline_tag=TASK,
        tags=list(TAGS),
        base_model=hub_ids or None,
        model_name=name if entries else None,
        eval_results=entries or None,
        **licence,
    )


def _bases(record: Mapping[str, Any]) -> list[Any]:
    """What the image towers began as: names of pretrained ones, or configurations."""
    towers = (record.get("recipe") or {}).get("model") or {}
    return [towers.get(tower) for tower in TOWERS[:-1]]


def _towers(config: CaanConfig) -> dict[str, Any]:
    if config.tie_visual_towers:
        return {"sketch and photo tower": config.sketch_config}
    return {"sketch tower": config.sketch_config, "photo tower": config.photo_config}


def _facts(model: CaanModel) -> list[tuple[str, str]]:
    config = model.config
    width = config.projection_dim or tower_width(model.sketch_model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return [
        *((name.capitalize(), _tower(tower)) for name, tower in _towers(config).items()),
        ("Input", f"{config.image_size} x {config.image_size} pixels"),
        ("Global feature", f"{width} numbers, L2-normalised"),
        ("Local features", f"{config.num_local_tokens} tokens of {config.relation_dim} numbers"),
        ("Parameters", f"{parameters:,}, {dtype}"),
    ]


def _tower(config) -> str:
    if config.model_type == "timm_wrapper":
        return f"timm `{config.architecture}`"
    depth = getattr(config, "num_hidden_layers", None)
    return f"`{config.model_type}`" + (f", {depth} layers of width {config.hidden_size}" if depth else "")


def _training_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    recipe, data = record.get("recipe") or {}, record.get("data") or {}
    towers, training = recipe.get("model") or {}, recipe.get("training") or {}
    categories, counts = data.get("categories") or {}, (data.get("counts") or {}).get("train")
    rows = [("Benchmark", f"`{data['protocol']}`")] if "protocol" in data else []
    if "seen" in categories:
        held_out = f", {categories['validation']} more for validation" if categories.get("validation") else ""
        rows.append(("Seen categories", f"{categories['seen']} to train with{held_out}"))
    if counts:
        rows.append(("Training images", f"{counts['sketch']:,} sketches and {counts['photo']:,} photos"))
    for tower in TOWERS:
        if towers.get(tower):
            rows.append((f"{tower.capitalize()} encoder", _backbone(towers[tower])))
    if training.get("num_train_epochs") is not None:
        rows.append(("Passes over the sketches", f"{training['num_train_epochs']:g}"))
    if record.get("averaged_seeds"):
        seeds = ", ".join(str(seed) for seed in record["averaged_seeds"])
        count = len(record["averaged_seeds"])
        rows.append(("Towers", f"the average of {count} runs of this recipe (seeds {seeds})"))
        rows.append(("All other weights", "those of the first of these runs"))
    if record.get("commit"):
        rows.append(("Code", f"caan-hf at commit `{record['commit']}`"))
    if record.get("versions"):
        rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())))
    return rows


def _backbone(given: str | Mapping[str, Any]) -> str:
    return f"`{given}`, pretrained" if isinstance(given, str) else f"`{given.get('model_type')}`, from nothing"


def _descriptions(record: Mapping[str, Any]) -> str:
    """Where the texts that training read come from."""
    recipe = record.get("recipe") or {}
    if not (recipe.get("model") or {}).get("text"):
        return "No text took part in training."
    origin = ((record.get("data") or {}).get("descriptions") or {}).get("origin")
    prompts = (recipe.get("data") or {}).get("prompts")
    which = f"answers to the prompts {', '.join(prompts)}" if prompts else "all descriptions of each category"
    return (
        f"**Descriptions.** Training read {which}: {origin_of_descriptions(origin)}. Only texts of training categories "
        "are read, and retrieval reads none."
    )


def _validation(record: Mapping[str, Any]) -> dict[str, float]:
    wanted = ("mAP@all", "P@100", "chance")
    return {name: record["validation"][name] for name in wanted if name in (record.get("validation") or {})}
