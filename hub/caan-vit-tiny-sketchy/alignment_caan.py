"""Cross-modal alignment: tokens of two modalities exchange information by cross-attention."""

from typing import Any

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_caan import CaanConfig


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax attention of queries (B, heads, N, head_dim) over keys and values (B, heads, L, head_dim).

    Returns:
        The output (B, N, heads, head_dim) and the attention weights (B, heads, N, L).
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class CaanCrossAttention(nn.Module):
    """Multi-head attention from the tokens of one modality to those of another."""

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        if hidden_size % config.alignment_num_heads:
            raise ValueError(
                f"alignment_num_heads must divide the token width {hidden_size}, got {config.alignment_num_heads}"
            )
        self.config = config
        self.head_dim = hidden_size // config.alignment_num_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor,
        context_mask: torch.Tensor | None = None,
        values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from `hidden_states` (B, N, D) to `context` (B, L, D) with additive `context_mask` (B, 1, 1, L).

        The values are computed from `values` (B, L, D), or from the context if they are not given.
        """
        heads = (hidden_states.shape[0], -1, self.config.alignment_num_heads, self.head_dim)
        query = self.q_proj(hidden_states).view(heads).transpose(1, 2)
        key = self.k_proj(context).view(heads).transpose(1, 2)
        value = self.v_proj(context if values is None else values).view(heads).transpose(1, 2)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, _ = attention(
            self, query, key, value, context_mask, scaling=self.scaling, dropout=0.0, is_causal=self.is_causal
        )
        return self.out_proj(output.reshape(hidden_states.shape))


class CaanFeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, config.alignment_intermediate_size)
        self.fc2 = nn.Linear(config.alignment_intermediate_size, hidden_size)
        self.activation = ACT2FN["gelu"]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Transform each of the tokens (B, N, D)."""
        return self.fc2(self.activation(self.fc1(hidden_states)))


class CaanCrossAttentionBlock(nn.Module):
    """Cross-attention and feed-forward network, each a residual branch with layer norm."""

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        self.norm_first = config.alignment_norm_first
        self.attention = CaanCrossAttention(config, hidden_size)
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.context_norm = nn.LayerNorm(hidden_size) if self.norm_first else nn.Identity()
        self.feed_forward = CaanFeedForward(config, hidden_size)
        self.feed_forward_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(config.alignment_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor,
        context_mask: torch.Tensor | None = None,
        mix_own: bool = False,
    ) -> torch.Tensor:
        """Update `hidden_states` (B, N, D) with `context` (B, L, D) under an additive `context_mask` (B, 1, 1, L).

        With `mix_own`, which requires L = N, only the keys come from the context; the values are the hidden states.
        """
        if self.norm_first:
            hidden, context = self.attention_norm(hidden_states), self.context_norm(context)
            attended = self.attention(hidden, context, context_mask, hidden if mix_own else None)
            hidden_states = hidden_states + self.dropout(attended)
            return hidden_states + self.dropout(self.feed_forward(self.feed_forward_norm(hidden_states)))
        attended = self.attention(hidden_states, context, context_mask, hidden_states if mix_own else None)
        hidden_states = self.attention_norm(hidden_states + self.dropout(attended))
        return self.feed_forward_norm(hidden_states + self.dropout(self.feed_forward(hidden_states)))


class CaanAlignmentLayer(GradientCheckpointingLayer):
    """Exchange in both directions: text attends to the image, then the image attends to the updated text.

    The order is our choice. It lets a single layer train both directions.
    """

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        self.text_from_visual = CaanCrossAttentionBlock(config, hidden_size)
        self.visual_from_text = CaanCrossAttentionBlock(config, hidden_size)

    def forward(
        self, visual: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Update visual tokens (B, N, D) and text tokens (B, L, D) with additive text mask (B, 1, 1, L)."""
        text = self.text_from_visual(text, visual)
        visual = self.visual_from_text(visual, text, text_mask)
        return visual, text


class CaanAlignment(nn.Module):
    """Alignment of one modality pair: sketch and text, or photo and text."""

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        self.layers = nn.ModuleList(CaanAlignmentLayer(config, hidden_size) for _ in range(config.num_alignment_layers))

    def forward(self, visual: torch.Tensor, text: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Align visual tokens (B, N, D) with text tokens (B, L, D); `attention_mask` (B, L) is 0 at padding."""
        text_mask = additive_mask(attention_mask, visual.dtype)
        for layer in self.layers:
            visual, text = layer(visual, text, text_mask)
        return visual


class CaanVisualAlignment(nn.Module):
    """Alignment of a sketch with a photo, without text, as in ZSE-SBIR.

    The cross-attention takes queries and values from one modality and keys from the other. Each modality has its own
    blocks. ZSE-SBIR uses ReLU instead of GELU.
    """

    def __init__(self, config: CaanConfig, hidden_size: int):
        super().__init__()
        layers = range(config.num_alignment_layers)
        self.sketch_layers = nn.ModuleList(CaanCrossAttentionBlock(config, hidden_size) for _ in layers)
        self.photo_layers = nn.ModuleList(CaanCrossAttentionBlock(config, hidden_size) for _ in layers)

    def forward(self, sketch: torch.Tensor, photo: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Align the sketch and photo tokens (B, N, D) of B pairs."""
        for sketch_layer, photo_layer in zip(self.sketch_layers, self.photo_layers, strict=True):
            sketch, photo = sketch_layer(sketch, photo, mix_own=True), photo_layer(photo, sketch, mix_own=True)
        return sketch, photo


def additive_mask(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Convert a mask (B, L) of ones and zeros to (B, 1, 1, L): 0 at tokens, the lowest finite value at padding."""
    mask = torch.zeros(attention_mask.shape, dtype=dtype, device=attention_mask.device)
    mask = mask.masked_fill(attention_mask == 0, torch.finfo(dtype).min)
    return mask[:, None, None, :]
