"""Losses that compare the images of a batch with categories instead of with the other modality (ours).

They need no pairs and therefore also train on categories with only sketches or only photos. All of them use the global
features before alignment, which are the features of retrieval before centring.
"""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .configuration_caan import CaanConfig
from .features_caan import normalized
from .loss_caan import float32_product, join_processes, match_cross_entropy

MIN_TEMPERATURE = 0.01  # as in CLIP


class CategoryImages(NamedTuple):
    """The images of one modality in a batch, paired and unpaired, before alignment.

    Attributes:
        embeds: L2-normalised global features (N, D).
        category_ids: Their categories (N,).
    """

    embeds: torch.Tensor
    category_ids: torch.Tensor


def category_images(
    plain_sketch: torch.Tensor,
    plain_photo: torch.Tensor,
    category_ids: torch.Tensor,
    unpaired_category_ids: torch.Tensor | None,
    batch: int,
) -> tuple[CategoryImages, CategoryImages]:
    """Collect the sketches and the photos of a batch.

    Args:
        plain_sketch: Global tokens (B + U, D) of paired, then unpaired sketches before alignment.
        plain_photo: Global tokens (N + V, D) of paired, then unpaired photos before alignment.
        category_ids: Categories (N,) of the paired photos, the first B of which are those of the paired sketches.
        unpaired_category_ids: Categories (U + V,) of the unpaired sketches, then photos.
        batch: Number B of paired sketches.
    """
    unpaired = category_ids[:0] if unpaired_category_ids is None else unpaired_category_ids
    of_sketches, of_photos = unpaired.split([len(plain_sketch) - batch, len(plain_photo) - len(category_ids)])
    return (
        CategoryImages(normalized(plain_sketch), torch.cat([category_ids[:batch], of_sketches])),
        CategoryImages(normalized(plain_photo), torch.cat([category_ids, of_photos])),
    )


class CaanTextContrast(nn.Module):
    """Contrast of images with the descriptions of all training categories, L_txt with `text_negatives="all"` (ours).

    The sentences are encoded once by the frozen text tower ([`set_sentences`]). In each step, the text projection of
    the model turns them into category embeddings, in the space of the global features.
    """

    sentences: torch.Tensor | None
    is_sentence: torch.Tensor | None

    def __init__(self, config: CaanConfig):
        super().__init__()
        self.config = config
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.register_buffer("sentences", None, persistent=False)
        self.register_buffer("is_sentence", None, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Set the temperature to that of the configuration."""
        init.constant_(self.log_temperature, math.log(self.config.contrastive_temperature))

    def set_sentences(self, sentences: torch.Tensor, is_sentence: torch.Tensor) -> None:
        """Set the sentences of the training categories. They are not saved with the weights.

        Args:
            sentences: Mean output (C, S, T) of the text tower for up to S sentences of each category id.
            is_sentence: Mask (C, S), false where a category has fewer sentences. Categories without sentences, such as
                those of other splits, are not negatives.
        """
        device = self.log_temperature.device
        self.sentences, self.is_sentence = sentences.to(device), is_sentence.to(device)

    def category_embeds(self, projection: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute L2-normalised embeddings (C, D) of the categories, and the mask (C,) of those with a sentence.

        The embedding of a category is the mean of its sentence embeddings, as `get_text_features` returns them, or in
        training with `sample_sentences` the embedding of a random one.
        """
        if self.sentences is None or self.is_sentence is None:
            raise ValueError('text_negatives="all" requires the sentences. Call text_contrast.set_sentences.')
        chosen = self.is_sentence
        if self.config.sample_sentences and self.training:
            order = torch.rand(chosen.shape, device=chosen.device) * chosen
            chosen = chosen & (order == order.amax(dim=1, keepdim=True))
        embeds = F.normalize(projection(self.sentences.to(projection.weight.dtype)).float(), dim=-1)  # (C, S, D)
        return F.normalize((embeds * chosen[..., None]).sum(dim=1), dim=-1), self.is_sentence.any(dim=1)

    def forward(self, sketch: CategoryImages, photo: CategoryImages, projection: nn.Linear) -> torch.Tensor:
        """Compute the mean loss of both modalities. Images of other processes have no influence on it."""
        texts, has_text = self.category_embeds(projection)
        temperature = self.log_temperature.exp().clamp_min(MIN_TEMPERATURE)
        losses = [category_text_loss(*images, texts, has_text, temperature) for images in (sketch, photo)]
        return (losses[0] + losses[1]) / 2


def category_losses(
    config: CaanConfig,
    sketch: CategoryImages,
    photo: CategoryImages,
    contrast: CaanTextContrast | None,
    projection: nn.Linear | None,
    gather: bool = False,
) -> dict[str, torch.Tensor]:
    """Compute L_txt with `text_negatives="all"`, if the model has a text tower, and L_mod.

    Outside of training, L_txt is left out if the sentences are not set.

    Raises:
        ValueError: The sentences are not set in training.
    """
    losses: dict[str, torch.Tensor] = {}
    if contrast is not None and projection is not None and (contrast.training or contrast.sentences is not None):
        losses["loss_txt"] = contrast(sketch, photo, projection)
    if config.lambda_mod:
        losses["loss_mod"] = within_modality_loss(sketch, photo, config.contrastive_temperature, gather)
    return losses


def category_text_loss(
    embeds: torch.Tensor,
    category_ids: torch.Tensor,
    texts: torch.Tensor,
    has_text: torch.Tensor,
    temperature: torch.Tensor | float,
) -> torch.Tensor:
    """Mean of -log p(category of an image), with p the softmax over all categories of cosine / temperature.

    Args:
        embeds: L2-normalised features (N, D) of images.
        category_ids: Their categories (N,), all of which have a text.
        texts: L2-normalised embeddings (C, D) of the categories.
        has_text: Mask (C,) of the categories that have a text.
        temperature: Divisor of the cosines.
    """
    logits = float32_product(embeds, texts) / temperature
    return F.cross_entropy(logits.masked_fill(~has_text, -torch.inf), category_ids)


def within_modality_loss(
    sketch: CategoryImages, photo: CategoryImages, temperature: float, gather: bool = False
) -> torch.Tensor:
    """Category contrast among sketches and among photos, L_mod (ours): L_out of SupCon (Khosla et al. 2020, eq. 2).

    Args:
        sketch: Sketches of the batch.
        photo: Photos of the batch.
        temperature: Divisor of the cosines.
        gather: Compare the images of all processes.

    Returns:
        The mean of both modalities. Each averages -log p(match) over the other images of an image's category, then over
        the images that have a match.
    """
    losses = []
    for images in (sketch, photo):
        join = partial(join_processes, batch=len(images.embeds), gather=gather)
        embeds, categories = join(images.embeds), join(images.category_ids)
        itself = torch.eye(len(embeds), dtype=torch.bool, device=embeds.device)
        logits = float32_product(embeds, embeds) / temperature
        logits = logits.masked_fill(itself, torch.finfo(logits.dtype).min / 2)  # finite, since 0 times -inf is NaN
        losses.append(match_cross_entropy(logits, (categories[:, None] == categories[None, :]) & ~itself))
    return (losses[0] + losses[1]) / 2
