"""The text projection before training: the one that best predicts what photos of a category look like."""

import numpy as np
import torch
from torch import nn

RIDGE = 1.5
"""Regularisation, relative to the mean eigenvalue. Chosen by cross-validation over training categories."""


@torch.no_grad()
def fit_text_projection(
    projection: nn.Linear,
    sentences: torch.Tensor,
    is_sentence: torch.Tensor,
    photo_embeds: torch.Tensor,
    photo_categories: np.ndarray,
) -> None:
    """Set the text projection by ridge regression from descriptions to photos (ours).

    It maps the mean description of each category as near as possible to the mean photo feature of that category, before
    any training step. Descriptions of categories without photos then lie where their photos would be expected.

    Args:
        projection: The text projection, which is changed.
        sentences: Output (C, S, T) of the text tower; see `sentence_table`.
        is_sentence: Mask (C, S) of the sentences.
        photo_embeds: L2-normalised features (N, D) of photos by the pretrained photo tower.
        photo_categories: Their categories (N,).
    """
    categories = torch.from_numpy(photo_categories).long()
    photos = torch.zeros(len(sentences), photo_embeds.shape[1]).index_add_(0, categories, photo_embeds)
    counts = torch.bincount(categories, minlength=len(sentences))
    chosen = (counts > 0) & is_sentence.any(dim=1)
    photos = (photos[chosen] / counts[chosen, None]).double()
    mask = is_sentence[chosen, :, None].double()
    texts = (sentences[chosen].double() * mask).sum(dim=1) / mask.sum(dim=1)
    text_mean, photo_mean = texts.mean(dim=0), photos.mean(dim=0)
    texts, photos = texts - text_mean, photos - photo_mean
    covariance = texts.T @ texts
    width = len(covariance)
    covariance += RIDGE * covariance.trace() / width * torch.eye(width, dtype=torch.float64)
    weight = torch.linalg.solve(covariance, texts.T @ photos).T  # (D, T)
    projection.weight.copy_(weight)
    projection.bias.copy_(photo_mean - weight @ text_mean)
