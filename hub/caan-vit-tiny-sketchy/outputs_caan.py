"""Outputs of the CAAN model."""

from dataclasses import dataclass

import torch
from transformers.utils.generic import ModelOutput

# The features are always present: they have the default None only because `ModelOutput` requires it.


@dataclass
class CaanImageFeatures(ModelOutput):
    """Features of a batch of sketches or photos.

    Args:
        global_embeds (`torch.FloatTensor` of shape `(B, D)`):
            L2-normalised global features in float32. The score of a sketch and a photo is their dot product.
        local_embeds (`torch.FloatTensor` of shape `(B, M, R)`):
            L2-normalised local tokens in row-major order of their grid, the input of local matching. With late
            interaction, tokens of regions of a sketch without ink are zero vectors.
        last_hidden_state (`torch.FloatTensor` of shape `(B, 1 + h * w, D)`):
            Tokens of the tower: the global token, then the patches of the h x w grid in row-major order.
    """

    global_embeds: torch.Tensor = None  # type: ignore[assignment]
    local_embeds: torch.Tensor = None  # type: ignore[assignment]
    last_hidden_state: torch.Tensor = None  # type: ignore[assignment]


@dataclass
class CaanTextFeatures(ModelOutput):
    """Features of a batch of sentences.

    Args:
        text_embeds (`torch.FloatTensor` of shape `(B, D)`): L2-normalised mean of the projected tokens.
        last_hidden_state (`torch.FloatTensor` of shape `(B, L, D)`): Tokens projected to the visual width.
    """

    text_embeds: torch.Tensor = None  # type: ignore[assignment]
    last_hidden_state: torch.Tensor = None  # type: ignore[assignment]


@dataclass
class CaanOutput(ModelOutput):
    """Output of a training step with B sketches and N photos.

    In distributed training the losses cover the batches of all processes; the features are those of this process.

    Args:
        loss (`torch.FloatTensor` of shape `()`): Weighted sum of the losses below.
        loss_tri (`torch.FloatTensor` of shape `()`): Global triplet loss, unweighted.
        loss_rn (`torch.FloatTensor` of shape `()`): Local relation loss, unweighted, of a relation network.
        loss_loc (`torch.FloatTensor` of shape `()`):
            Category-contrastive loss of late interaction, unweighted, if `lambda_loc` > 0.
        loss_ins (`torch.FloatTensor` of shape `()`): Instance-contrastive loss, unweighted, if `lambda_ins` > 0.
        loss_con (`torch.FloatTensor` of shape `()`): Category-contrastive loss, unweighted, if `lambda_con` > 0.
        loss_txt (`torch.FloatTensor` of shape `()`): Image-text contrastive loss, unweighted, if `lambda_txt` > 0.
        loss_mod (`torch.FloatTensor` of shape `()`):
            Category-contrastive loss within each modality, unweighted, if `lambda_mod` > 0.
        loss_dis (`torch.FloatTensor` of shape `()`): Distillation loss, unweighted, if `lambda_dis` > 0.
        local_scores (`torch.FloatTensor` of shape `(B, 2)` or `(B, N)`, *optional*):
            Relation logits, or scores of late interaction if a loss trains it. A relation network with
            `negatives="sampled"` scores each sketch with its photo+ and photo-. Otherwise each sketch is scored with
            all photos of the batch, in distributed training those of all processes.
        sketch_features (`CaanImageFeatures`):
            Features of the B sketches, aligned with their sentence (or photo+, if `alignment="visual"`).
        photo_features (`CaanImageFeatures`):
            Features of the N photos, aligned with their sentence (or sketch, if `alignment="visual"`).
    """

    loss: torch.Tensor | None = None
    loss_tri: torch.Tensor | None = None
    loss_rn: torch.Tensor | None = None
    loss_loc: torch.Tensor | None = None
    loss_ins: torch.Tensor | None = None
    loss_con: torch.Tensor | None = None
    loss_txt: torch.Tensor | None = None
    loss_mod: torch.Tensor | None = None
    loss_dis: torch.Tensor | None = None
    local_scores: torch.Tensor | None = None
    sketch_features: CaanImageFeatures | None = None
    photo_features: CaanImageFeatures | None = None


__all__ = ["CaanImageFeatures", "CaanOutput", "CaanTextFeatures"]
