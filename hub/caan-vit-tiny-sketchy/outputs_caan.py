"""What CAAN's methods return."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class CaanImageFeatures(ModelOutput):
    """Features of a batch of sketches or photos.

    Args:
        global_embeds (`torch.FloatTensor` of shape `(B, D)`):
            L2-normalised global features, in float32; the score of a sketch and a photo is their dot product.
        local_embeds (`torch.FloatTensor` of shape `(B, M, R)`):
            L2-normalised local tokens, row by row over their grid, for the relation network.
        last_hidden_state (`torch.FloatTensor` of shape `(B, 1 + h * w, D)`):
            Tokens of the tower, the global one first.
    """

    global_embeds: torch.FloatTensor | None = None
    local_embeds: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None


@dataclass
class CaanTextFeatures(ModelOutput):
    """Features of a batch of sentences.

    Args:
        text_embeds (`torch.FloatTensor` of shape `(B, D)`): L2-normalised mean of the projected tokens.
        last_hidden_state (`torch.FloatTensor` of shape `(B, L, D)`): Tokens projected to the visual width.
    """

    text_embeds: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None


@dataclass
class CaanOutput(ModelOutput):
    """What a training step gives; see [`CaanModel.forward`] for B and N.

    Args:
        loss (`torch.FloatTensor` of shape `()`): The weighted sum of the losses below.
        loss_tri (`torch.FloatTensor` of shape `()`): Global triplet loss, unweighted.
        loss_rn (`torch.FloatTensor` of shape `()`): Local relation loss, unweighted.
        loss_con (`torch.FloatTensor` of shape `()`): Category-contrastive loss, where `lambda_con` is not 0.
        loss_txt (`torch.FloatTensor` of shape `()`): Image-text contrast, where asked for and there is text.
        loss_dis (`torch.FloatTensor` of shape `()`): Distillation loss, where photo targets are given.
        relation_logits (`torch.FloatTensor` of shape `(B, 2)` or `(B, N)`):
            Of each sketch with its photo+ and photo- (`negatives="sampled"`), or with every photo of the batch.
        sketch_features (`CaanImageFeatures`): Features of the B sketches, after alignment where there is text.
        photo_features (`CaanImageFeatures`): Features of the N photos, likewise.
    """

    loss: torch.FloatTensor | None = None
    loss_tri: torch.FloatTensor | None = None
    loss_rn: torch.FloatTensor | None = None
    loss_con: torch.FloatTensor | None = None
    loss_txt: torch.FloatTensor | None = None
    loss_dis: torch.FloatTensor | None = None
    relation_logits: torch.FloatTensor | None = None
    sketch_features: CaanImageFeatures | None = None
    photo_features: CaanImageFeatures | None = None


__all__ = ["CaanImageFeatures", "CaanOutput", "CaanTextFeatures"]
