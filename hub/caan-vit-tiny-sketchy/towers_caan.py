"""Visual and text towers: any encoder that `transformers` or timm offers, brought to one face."""

import inspect
import re
from contextlib import contextmanager
from math import isqrt
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

logger = logging.get_logger(__name__)

# More tokens than this in front of the patches (CLS, registers) are not known from any encoder.
MAX_PREFIX_TOKENS = 16
# Parameters behind or beside the tokens that CAAN reads: they would never have a gradient, which DDP does not forgive.
UNREAD = re.compile(r"(^|\.)mask_token$|(^|\.)pooler\.")
UNREAD_OF_TYPE = {
    "clip_vision_model": re.compile(r"^post_layernorm\."),
    "siglip_vision_model": re.compile(r"^head\."),
    "convnext": re.compile(r"^layernorm\."),
    "convnextv2": re.compile(r"^layernorm\."),
    "timm_wrapper": re.compile(r"^timm_model\.(head|fc_norm|attn_pool)\."),
}


def build_tower(config) -> nn.Module:
    """An untrained tower; what CAAN does not read of it is frozen.

    Raises:
        ValueError: If `AutoModel` cannot make it, or it hides patches at random, as a masked autoencoder does.
    """
    if hasattr(config, "mask_ratio"):
        raise ValueError(
            f"a {config.model_type} encoder hides patches at random: save its encoder as a plain ViT and use that"
        )
    tower = AutoModel.from_config(config, **_without_pooler(config))
    for name, parameter in tower.named_parameters():
        if _is_unread(tower, name):
            parameter.requires_grad_(False)
    return tower


def load_tower(name_or_path: str, part: str, image_size: int | None = None) -> nn.Module:
    """A pretrained tower, in float32, from a Hub id or a local folder.

    Args:
        name_or_path: Hub id or folder. Of a two-tower model such as CLIP, the named part is taken. Weights are read
            from safetensors only.
        part: `"vision"` or `"text"`.
        image_size: Input size in pixels, where it is to be another than the tower's own.
    """
    config = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
    sub_config = getattr(config, f"{part}_config", None)
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
    if sub_config is not None:
        tower = build_tower(sub_config)
        tower.load_state_dict(_part_state_dict(whole, part, tower))
    missing = sorted(name for name in report["missing_keys"] if not _is_unread(tower, name))
    if missing:
        logger.warning(f"{name_or_path}: {len(missing)} weights are missing and start at random, such as {missing[0]}")
    if Path(name_or_path).is_dir():
        tower.config._name_or_path = ""  # a path on this machine means nothing where the model goes
    if image_size is not None:
        tower = _fit_timm_model(tower, image_size)
    return tower.eval()


@contextmanager
def _no_load_report():
    """Keeps quiet about heads that the checkpoint has and CAAN does not want."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _is_unread(tower: nn.Module, name: str) -> bool:
    of_type = UNREAD_OF_TYPE.get(tower.config.model_type)
    return bool(UNREAD.search(name) or (of_type and of_type.search(name)))


def _fit_timm_model(tower: nn.Module, image_size: int) -> nn.Module:
    """A timm transformer, which takes images of one size only, for this size, as its configuration then says."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is None or native_image_size(tower) == image_size:
        return tower
    options = inspect.signature(type(timm_model).__init__).parameters
    if "strict_img_size" in options:  # Swin: windows fit any size
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


def native_image_size(tower: nn.Module) -> int:
    """Input size of a tower in pixels, 224 where it does not say."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is not None:
        size = getattr(getattr(timm_model, "patch_embed", None), "img_size", None)
        given = getattr(tower.config, "pretrained_cfg", None) or timm_model.pretrained_cfg
        size = size or given.get("input_size", 224)
    else:
        size = getattr(tower.config, "image_size", 224)
    return size if isinstance(size, int) else size[-1]


def _part_state_dict(whole: nn.Module, part: str, tower: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of one part of a two-tower model, under the names that the tower alone gives them."""
    state = getattr(whole, f"{part}_model").state_dict()
    if set(state) == set(tower.state_dict()):
        return state
    return {f"{part}_model.{name}": tensor for name, tensor in state.items()}


def _without_pooler(config) -> dict[str, bool]:
    """Leaves out the pooling head of BERT- and ViT-like encoders: CAAN reads tokens, DDP wants no unused weights."""
    if type(config) not in MODEL_MAPPING:
        raise ValueError(f"AutoModel has no encoder for {config.model_type!r}: use another")
    accepted = inspect.signature(MODEL_MAPPING[type(config)]).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def tower_width(tower: nn.Module) -> int:
    """Width D of a tower's tokens."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is not None:
        return timm_model.num_features
    for name in ("hidden_size", "neck_hidden_sizes", "hidden_sizes", "hidden_dim"):
        width = getattr(tower.config, name, None)
        if width is not None:
            return width if isinstance(width, int) else width[-1]
    raise ValueError(f"a {tower.config.model_type} encoder does not say how wide its features are: use another")


def patch_size(tower: nn.Module) -> tuple[int, int] | None:
    """(height, width) of a patch in pixels, or None if the tower has no patches (a convolutional network)."""
    timm_model = getattr(tower, "timm_model", None)
    if timm_model is not None:
        size = getattr(getattr(timm_model, "patch_embed", None), "patch_size", None)
    else:
        size = getattr(tower.config, "patch_size", None)
    if isinstance(size, int):
        return size, size
    return tuple(size) if size is not None else None


def encode_image(tower: nn.Module, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
    """Runs a visual tower.

    Args:
        tower: The encoder.
        pixel_values: (B, 3, H, W).

    Returns:
        Tokens (B, 1 + h * w, D), the global token first, then the patches row by row; and their grid (h, w). The
        global token is the tower's CLS token, or the mean of the patches if it has none (our choice).
    """
    hidden = tower(pixel_values, **_forward_arguments(tower, pixel_values)).last_hidden_state
    if hidden.ndim == 4:
        return _tokens_of_feature_map(hidden, tower_width(tower))
    grid = _patch_grid(tower, pixel_values, hidden.shape[1])
    prefix = hidden.shape[1] - grid[0] * grid[1]
    patches = hidden[:, prefix:]  # (B, h * w, D)
    first = hidden[:, :1] if prefix else patches.mean(dim=1, keepdim=True)
    return torch.cat([first, patches], dim=1), grid


def _forward_arguments(tower: nn.Module, pixel_values: torch.Tensor) -> dict[str, bool]:
    """Position embeddings are interpolated when the image is not of the size that the tower was made for."""
    if hasattr(tower, "timm_model"):
        return {"do_pooling": False}
    native = getattr(tower.config, "image_size", None)
    native = (native, native) if isinstance(native, int) else native
    if native is None or tuple(native) == tuple(pixel_values.shape[-2:]):
        return {}
    accepted = inspect.signature(tower.forward).parameters
    return {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in accepted else {}


def _tokens_of_feature_map(feature_map: torch.Tensor, width: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """Tokens of a convolutional network's map, channels first or (timm's Swin) channels last."""
    if feature_map.shape[1] != width:
        feature_map = feature_map.permute(0, 3, 1, 2)
    grid = (feature_map.shape[2], feature_map.shape[3])
    patches = feature_map.flatten(2).transpose(1, 2)  # (B, h * w, D)
    return torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1), grid


def _patch_grid(tower: nn.Module, pixel_values: torch.Tensor, num_tokens: int) -> tuple[int, int]:
    """Grid (h, w) of the patches among `num_tokens` tokens; hierarchical encoders have a smaller, square one."""
    size = patch_size(tower)
    if size is not None:
        height, width = pixel_values.shape[-2] // size[0], pixel_values.shape[-1] // size[1]
        if 0 <= num_tokens - height * width <= MAX_PREFIX_TOKENS:
            return height, width
    side = isqrt(num_tokens)
    return side, side
