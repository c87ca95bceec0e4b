"""What CAAN learns by: the losses of a training step, each on its own, and their weights."""

import torch

from .configuration_caan import CaanConfig
from .loss_caan import contrastive_loss, distillation_loss, relation_loss, triplet_loss

WEIGHTS = {
    "loss_tri": "lambda_tri",
    "loss_rn": "lambda_rn",
    "loss_con": "lambda_con",
    "loss_txt": "lambda_txt",
    "loss_dis": "lambda_dis",
}


def weighted_sum(config: CaanConfig, terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """loss = lambda_tri L_tri + lambda_rn L_rn (paper) + our terms, where they are asked for."""
    return sum(getattr(config, WEIGHTS[name]) * term for name, term in terms.items())


def matching_terms(config: CaanConfig, relation, sketch, photo, category_ids) -> tuple[dict, torch.Tensor]:
    """L_tri, L_rn and, if weighed, L_con.

    Args:
        config: of the model.
        relation: its relation network.
        sketch: `CaanImageFeatures` of B sketches; of 2 B where each has read its photo+ and then its photo-.
        photo: of N photos: the B photos+, then, unless `negatives="in_batch"`, the B photos-.
        category_ids: (N,) categories of the photos.

    Returns:
        The terms by name, and the relation logits: (B, 2) of photo+ and photo-, or (B, N).

    Raises:
        ValueError: If `negatives="sampled"` is without a photo- for each sketch.
    """
    batch, photos = sketch.global_embeds.shape[0], photo.global_embeds.shape[0]
    if config.alignment == "visual":
        batch //= 2
    if config.negatives == "sampled" and photos != 2 * batch:
        raise ValueError(f'negatives="sampled" wants a photo+ and a photo- for each of {batch} sketches, got {photos}')
    is_match = category_ids[:batch, None] == category_ids[None, :]  # (B, N)
    if config.negatives == "sampled":
        own = torch.eye(batch, dtype=torch.bool, device=is_match.device)
        is_negative = torch.cat([torch.zeros_like(own), own], dim=1) & ~is_match
        logits = _own_relation_logits(relation, sketch.local_embeds, photo.local_embeds)
        target = torch.tensor([[True, False]], device=is_match.device).expand(batch, 2)
    else:
        is_negative = ~is_match
        logits = relation(sketch.local_embeds, photo.local_embeds)
        target = is_match
    # Half precision would tie distances and lose small probabilities: the losses are always computed in float32.
    with torch.autocast(category_ids.device.type, enabled=False):
        anchor, others = _compared(config, sketch)[:batch], _compared(config, photo)
        terms = {
            "loss_tri": triplet_loss(anchor, others[:batch], others, is_negative, config.triplet_margin),
            "loss_rn": relation_loss(logits, target, config.relation_loss),
        }
        if config.lambda_con:
            terms["loss_con"] = contrastive_loss(
                sketch.global_embeds[:batch].float(),
                photo.global_embeds.float(),
                is_match,
                config.contrastive_temperature,
            )
    return terms, logits


def text_term(config: CaanConfig, sketch, photo, sentences, category_ids) -> dict[str, torch.Tensor]:
    """L_txt (ours): sketches (B, D) and photos (N, D) that no text has touched against sentences (N, D), normalised."""
    is_match = category_ids[:, None] == category_ids[None, :]  # (N, N)
    temperature = config.contrastive_temperature
    with torch.autocast(category_ids.device.type, enabled=False):
        of_sketches = contrastive_loss(sketch, sentences.float(), is_match[: sketch.shape[0]], temperature)
        of_photos = contrastive_loss(photo, sentences.float(), is_match, temperature)
    return {"loss_txt": (of_sketches + of_photos) / 2}


def distillation_term(photo, targets) -> dict[str, torch.Tensor]:
    """L_dis (ours), of photos (N, D) before alignment."""
    with torch.autocast(photo.device.type, enabled=False):
        return {"loss_dis": distillation_loss(photo.float(), targets)}


def _own_relation_logits(relation, sketch_local, photo_local):
    """Relation logits (B, 2) of each sketch with its photo+ and photo-."""
    pairs = photo_local.shape[0]
    if sketch_local.shape[0] != pairs:
        sketch_local = sketch_local.repeat(2, 1, 1)
    logits = relation.score_candidates(sketch_local, photo_local[:, None])  # (2 B, 1)
    return logits.view(2, pairs // 2).T


def _compared(config: CaanConfig, features) -> torch.Tensor:
    """What the triplet loss compares: (rows, D)."""
    if config.triplet_normalized:
        return features.global_embeds.float()
    return features.last_hidden_state[:, 0].float()
