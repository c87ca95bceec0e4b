"""Visual and text towers: a common interface to the encoders of `transformers` and timm."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

logger = logging.get_logger(__name__)

# Maximum number of tokens (CLS, registers) in front of the patch tokens.
MAX_PREFIX_TOKENS = 16
# Modality -> parts of a model of several towers that can encode it.
PARTS = {"sketch": ("sketch", "vision"), "photo": ("photo", "vision"), "text": ("text",)}
# Parameters that do not contribute to the tokens. They would never receive a gradient, which makes DDP fail.
UNUSED = re.compile(r"(^|\.)mask_token$|(^|\.)pooler\.")
UNUSED_OF_TYPE = {
    "clip_vision_model": re.compile(r"^post_layernorm\."),
    "siglip_vision_model": re.compile(r"^head\."),
    "convnext": re.compile(r"^layernorm\."),
    "convnextv2": re.compile(r"^layernorm\."),
    "timm_wrapper": re.compile(r"^timm_model\.(head|fc_norm|attn_pool)\."),
}


def build_tower(config: PreTrainedConfig | dict | None) -> PreTrainedModel:
    """Build an untrained tower with its unused parameters frozen.

    Raises:
        ValueError: If `AutoModel` does not support the configuration, or the encoder masks patches at random.
    """
    if not isinstance(config, PreTrainedConfig):
        raise ValueError(f"The configuration of a tower must be a PreTrainedConfig, got {config}.")
    if hasattr(config, "mask_ratio"):
        raise ValueError(
            f"{config.model_type} encoders mask patches at random. Save the encoder as a plain ViT and use that."
        )
    tower = AutoModel.from_config(config, **_without_pooler(config))
    freeze_unused(tower)
    return tower


def freeze_unused(tower: PreTrainedModel) -> None:
    """Freeze the parameters of a tower that do not contribute to its tokens."""
    for name, parameter in tower.named_parameters():
        if _is_unused(tower, name):
            parameter.requires_grad_(False)


def freeze_first_layers(tower: PreTrainedModel, count: int) -> None:
    """Freeze the first layers of a tower and the parameters before them, such as the patch embedding.

    In a hierarchical encoder, the layers of the longest stage are counted.

    Raises:
        ValueError: If the tower has fewer layers.
    """
    if not count:
        return
    lists = {name: part for name, part in tower.named_modules() if isinstance(part, nn.ModuleList | nn.Sequential)}
    name = max(lists, key=lambda name: len(lists[name]), default=None)
    if name is None or len(lists[name]) < count:
        raise ValueError(f"{count} layers cannot be frozen: the tower has {len(lists[name]) if name else 0}.")
    frozen = tuple(f"{name}.{layer}." for layer in range(count))
    for parameter_name, parameter in tower.named_parameters():  # in the order of the forward pass
        if parameter_name.startswith(f"{name}.") and not parameter_name.startswith(frozen):
            break
        parameter.requires_grad_(False)


def checkpoint_tower(tower: PreTrainedModel, enable: bool) -> None:
    """Switch gradient checkpointing of a timm tower. Warn if it is enabled for a tower that does not support it.

    The blocks of other towers are switched together with those of the whole model.
    """
    if hasattr(tower, "timm_model"):
        supported = tower.supports_gradient_checkpointing
        if supported:
            tower._set_gradient_checkpointing(enable)
    else:
        supported = any(hasattr(module, "gradient_checkpointing") for module in tower.modules())
    if enable and not supported:
        logger.warning(f"{tower.config.model_type}: this tower does not support gradient checkpointing.")


def load_tower(
    name_or_path: str, modality: Literal["sketch", "photo", "text"], image_size: int | None = None
) -> PreTrainedModel:
    """Load a pretrained tower in float32. Weights are read from safetensors only.

    Args:
        name_or_path: Hub id or folder of the encoder, or of a model that contains it, such as CLIP or CAAN.
        modality: What the tower encodes. Models such as CLIP have one tower for sketches and photos.
        image_size: Input size in pixels. The default is the tower's own.

    Raises:
        ValueError: If a CAAN model has no such tower, or lacks weights.
    """
    config = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
    part = next((part for part in PARTS[modality] if getattr(config, f"{part}_config", None) is not None), None)
    if part is None and config.model_type == "caan":
        raise ValueError(f"{name_or_path}: this CAAN model has no {modality} tower")
    with _no_load_report():
        whole, report = AutoModel.from_pretrained(
            name_or_path,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **_without_pooler(config),
        )
    tower = whole
    if part is not None:
        tower = build_tower(getattr(config, f"{part}_config")).float()
        tower.config.dtype = torch.float32  # the part may be stored in half precision
        tower.load_state_dict(_part_state_dict(whole, part, tower))
    missing = sorted(name for name in report["missing_keys"] if not _is_unused(tower, name))
    if missing and config.model_type == "caan":
        raise ValueError(
            f"{name_or_path}: lacks {len(missing)} weights, such as {missing[0]}. Copy the whole folder again."
        )
    if missing:
        logger.warning(
            f"{name_or_path}: {len(missing)} weights are missing and are randomly initialised, such as {missing[0]}."
        )
    if Path(name_or_path).is_dir():
        tower.config._name_or_path = ""  # a local path is meaningless on other machines
    if image_size is not None:
        tower = _fit_timm_model(tower, image_size)
    return tower.eval()


def inherited_settings(*names_or_paths: str) -> dict[str, Any]:
    """Fields of [`CaanConfig`] that follow from training CAAN models further: image size and training data.

    Args:
        *names_or_paths: Hub ids or folders of towers, as [`load_tower`] takes them.
    """
    found = [AutoConfig.from_pretrained(name, trust_remote_code=False) for name in dict.fromkeys(names_or_paths)]
    models = [config for config in found if config.model_type == "caan"]
    if not models:
        return {}
    seen, chosen = (
        {name for config in models for name in getattr(config, f"{kind}_categories") or ()}
        for kind in ("training", "validation")
    )
    return {
        "image_size": models[-1].image_size,
        "training_protocol": joined_protocols(*(config.training_protocol for config in models)),
        "training_categories": sorted(seen) or None,
        "validation_categories": sorted(chosen - seen) or None,
    }


def joined_protocols(*protocols: str | None) -> str | None:
    """The name of several training protocols, such as "mine@1" and "sketchy-25@1+pool", with each data set once."""
    data_sets = "+".join(filter(None, protocols)).split("+")
    return "+".join(dict.fromkeys(data_sets)) or None


def encode_image(tower: PreTrainedModel, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
    """Encode images with a visual tower.

    Args:
        tower: The encoder.
        pixel_values: Images (B, 3, H, W).

    Returns:
        Tokens (B, 1 + h * w, D), the global token followed by the patches in row-major order, and the grid (h, w). The
        global token is the tower's CLS token, or the mean of the patches if it has none (our choice).
    """
    hidden = tower(pixel_values, **_forward_arguments(tower, pixel_values)).last_hidden_state
    if hidden.ndim == 4:
        if hidden.shape[1] != tower_width(tower):  # channels last, as in timm's Swin
            hidden = hidden.permute(0, 3, 1, 2)
        grid = (hidden.shape[2], hidden.shape[3])
        hidden = hidden.flatten(2).transpose(1, 2)
    else:
        grid = _patch_grid(tower, pixel_values, hidden.shape[1])
    prefix = hidden.shape[1] - grid[0] * grid[1]
    patches = hidden[:, prefix:]  # (B, h * w, D)
    first = hidden[:, :1] if prefix else patches.mean(dim=1, keepdim=True)
    return torch.cat([first, patches], dim=1), grid


def tower_width(tower: PreTrainedModel) -> int:
    """Width D of a tower's tokens.

    Raises:
        ValueError: If the configuration of the tower does not contain its width.
    """
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is not None:
        return timm_model.num_features
    for name in ("hidden_size", "neck_hidden_sizes", "hidden_sizes", "hidden_dim"):
        width = getattr(tower.config, name, None)
        if width is not None:
            return width if isinstance(width, int) else width[-1]
    raise ValueError(f"The configuration of {tower.config.model_type} has no feature width. Use another encoder.")


def native_image_size(tower: PreTrainedModel) -> int:
    """Input size of a tower in pixels, or 224 if its configuration does not contain it."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is not None:
        pretrained = getattr(tower.config, "pretrained_cfg", None) or timm_model.pretrained_cfg
        native = getattr(getattr(timm_model, "patch_embed", None), "img_size", None)
        size: int | tuple[int, ...] = native or pretrained.get("input_size", 224)
    else:
        size = getattr(tower.config, "image_size", 224)
    return size if isinstance(size, int) else size[-1]


def default_local_grid(tower: PreTrainedModel, image_size: int) -> int:
    """Side of the grid of local tokens: half the patch grid, which the 2x2 convolution of stride 2 maps to it.

    For convolutional and hierarchical encoders, whose grid is coarse, it is the patch grid itself, but at most 7.
    """
    with torch.no_grad():
        grid = encode_image(tower, torch.zeros(1, 3, image_size, image_size))[1]
    size = patch_size(tower)
    if size is not None and grid == (image_size // size[0], image_size // size[1]):
        return max(1, min(grid) // 2)
    return min(7, *grid)


def patch_size(tower: PreTrainedModel) -> tuple[int, int] | None:
    """Height and width of a patch in pixels, or None for a tower without patches, such as a convolutional network."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is not None:
        size = getattr(getattr(timm_model, "patch_embed", None), "patch_size", None)
    else:
        size = getattr(tower.config, "patch_size", None)
    if size is None:
        return None
    return (size, size) if isinstance(size, int) else (size[0], size[1])


@contextmanager
def _no_load_report() -> Iterator[None]:
    """Suppress warnings about unused heads of a checkpoint."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _is_unused(tower: PreTrainedModel, name: str) -> bool:
    of_type = UNUSED_OF_TYPE.get(tower.config.model_type)
    return bool(UNUSED.search(name) or (of_type and of_type.search(name)))


def _without_pooler(config: PreTrainedConfig) -> dict[str, Any]:
    """Arguments that omit the unused pooling head of BERT- and ViT-like encoders."""
    if type(config) not in MODEL_MAPPING:
        raise ValueError(f"AutoModel does not support {config.model_type!r}. Use another encoder.")
    found = MODEL_MAPPING[type(config)]
    model_class = found[0] if isinstance(found, tuple) else found
    accepted = inspect.signature(model_class).parameters if model_class is not None else {}
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def _part_state_dict(whole: nn.Module, part: str, tower: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of one part of a model of several towers, with the names that they have in the separate tower."""
    if part == "photo" and whole.photo_model is None:  # tied towers
        part = "sketch"
    state = getattr(whole, f"{part}_model").state_dict()
    if set(state) == set(tower.state_dict()):
        return state
    return {f"{part}_model.{name}": tensor for name, tensor in state.items()}


def _fit_timm_model(tower: PreTrainedModel, image_size: int) -> PreTrainedModel:
    """Adapt a timm transformer, which accepts one image size only, and its configuration to `image_size`."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is None or native_image_size(tower) == image_size:
        return tower
    options = inspect.signature(type(timm_model).__init__).parameters
    change: dict[str, Any]
    if "strict_img_size" in options:  # the windows of Swin fit any size
        change = {"strict_img_size": False}
    elif "img_size" in options and hasattr(timm_model, "set_input_size"):
        timm_model.set_input_size(img_size=image_size)  # interpolates the position embeddings
        change = {"img_size": image_size}
    else:
        return tower
    tower.config.model_args = {**(tower.config.model_args or {}), **change}
    fitted = build_tower(tower.config)
    fitted.load_state_dict(tower.state_dict())
    return fitted


def _forward_arguments(tower: PreTrainedModel, pixel_values: torch.Tensor) -> dict[str, bool]:
    """Arguments that interpolate the position embeddings if the image size is not the tower's own."""
    if hasattr(tower, "timm_model"):
        return {"do_pooling": False}
    native = getattr(tower.config, "image_size", None)
    native = (native, native) if isinstance(native, int) else native
    if native is None or tuple(native) == tuple(pixel_values.shape[-2:]):
        return {}
    accepted = inspect.signature(tower.forward).parameters
    return {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in accepted else {}


def _patch_grid(tower: PreTrainedModel, pixel_values: torch.Tensor, num_tokens: int) -> tuple[int, int]:
    """Grid (h, w) of the patches among `num_tokens` tokens. That of hierarchical encoders is assumed to be square."""
    size = patch_size(tower)
    if size is not None:
        height, width = pixel_values.shape[-2] // size[0], pixel_values.shape[-1] // size[1]
        if 0 <= num_tokens - height * width <= MAX_PREFIX_TOKENS:
            return height, width
    side = isqrt(num_tokens)
    return side, side
