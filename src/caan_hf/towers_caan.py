"""Visual and text towers: any encoder that `transformers` or timm offers, brought to one face."""

import inspect
from math import isqrt

import torch
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING

# More tokens than this in front of the patches (CLS, registers) are not known from any encoder.
MAX_PREFIX_TOKENS = 16


def build_tower(config) -> nn.Module:
    """An untrained tower."""
    return AutoModel.from_config(config, **_without_pooler(config))


def load_tower(name_or_path: str, part: str, **kwargs) -> nn.Module:
    """A pretrained tower from a Hub id or a local folder.

    Args:
        name_or_path: Hub id or folder. Of a two-tower model such as CLIP, the named part is taken.
        part: `"vision"` or `"text"`.
        **kwargs: Passed to `from_pretrained`. Weights are read from safetensors only.
    """
    config = AutoConfig.from_pretrained(name_or_path)
    sub_config = getattr(config, f"{part}_config", None)
    whole = AutoModel.from_pretrained(name_or_path, use_safetensors=True, **_without_pooler(config), **kwargs)
    if sub_config is None:
        return whole
    tower = build_tower(sub_config)
    tower.load_state_dict(_part_state_dict(whole, part, tower))
    return tower


def _part_state_dict(whole: nn.Module, part: str, tower: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of one part of a two-tower model, under the names that the tower alone gives them."""
    state = getattr(whole, f"{part}_model").state_dict()
    if set(state) == set(tower.state_dict()):
        return state
    return {f"{part}_model.{name}": tensor for name, tensor in state.items()}


def _without_pooler(config) -> dict[str, bool]:
    """Leaves out the pooling head of BERT- and ViT-like encoders: CAAN reads tokens, DDP wants no unused weights."""
    accepted = inspect.signature(MODEL_MAPPING[type(config)]).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def tower_width(tower: nn.Module) -> int:
    """Width D of a tower's tokens."""
    timm_model = getattr(tower, "timm_model", None)
    return timm_model.num_features if timm_model is not None else tower.config.hidden_size


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
    hidden = tower(pixel_values, **_position_arguments(tower, pixel_values)).last_hidden_state
    if hidden.ndim == 4:
        return _tokens_of_feature_map(hidden, tower_width(tower))
    grid = _patch_grid(tower, pixel_values, hidden.shape[1])
    prefix = hidden.shape[1] - grid[0] * grid[1]
    patches = hidden[:, prefix:]  # (B, h * w, D)
    first = hidden[:, :1] if prefix else patches.mean(dim=1, keepdim=True)
    return torch.cat([first, patches], dim=1), grid


def _position_arguments(tower: nn.Module, pixel_values: torch.Tensor) -> dict[str, bool]:
    """Position embeddings are interpolated when the image is not of the size that the tower was made for."""
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
