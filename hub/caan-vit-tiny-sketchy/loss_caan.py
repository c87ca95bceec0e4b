"""Losses of CAAN: pure functions of features, and their combination in a training step."""

from functools import partial
from typing import Any

import torch
from torch import distributed as dist
from torch.nn import functional as F

from .configuration_caan import LOSS_WEIGHTS, CaanConfig
from .local_matching_caan import CaanLateInteraction, CaanLocalMatching
from .outputs_caan import CaanImageFeatures


def pairwise_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (A, B) between features (A, D) and (B, D): |a - b|^2 = |a|^2 + |b|^2 - 2 a.b."""
    squared = (a**2).sum(-1)[:, None] + (b**2).sum(-1)[None, :] - 2 * float32_product(a, b)
    return _stable_sqrt(squared)


def triplet_loss(
    sketch: torch.Tensor,
    positive: torch.Tensor,
    negatives: torch.Tensor,
    is_negative: torch.Tensor,
    margin: float,
    reduction: str = "all",
) -> torch.Tensor:
    """Global loss of the paper, L_tri = mean max(0, m + |g_s - g_p+| - |g_s - g_p-|).

    Args:
        sketch: Sketch features (B, D), L2-normalised like the photo features (ours) or not (ZSE-SBIR).
        positive: Features (B, D) of the photo+ of each sketch.
        negatives: Features (N, D) of the candidate negative photos.
        is_negative: Mask (B, N), true for the pairs of a sketch and a negative photo.
        margin: Margin m.
        reduction: `"all"` averages over the pairs in `is_negative`, `"violating"` (ours) over those of them with a
            positive hinge.

    Returns:
        The mean over the pairs, or 0 if there are none.
    """
    positive_distance = _stable_sqrt(((sketch - positive) ** 2).sum(-1))[:, None]  # (B, 1)
    hinge = F.relu(margin + positive_distance - pairwise_distance(sketch, negatives))  # (B, N)
    return _masked_mean(hinge, is_negative & (hinge > 0) if reduction == "violating" else is_negative)


def relation_loss(logits: torch.Tensor, target: torch.Tensor, kind: str) -> torch.Tensor:
    """Local loss of the paper, L_rn: the relation scores of matching pairs go to 1, all others to 0.

    Args:
        logits: Relation logits (B, N).
        target: Mask (B, N), true for the matching pairs.
        kind: `"mse"` for the squared error of the sigmoid (ZSE-SBIR), `"bce"` for cross-entropy on the logits.

    Returns:
        The average of the mean over the matching pairs, which are rare in a batch, and the mean over the others.
    """
    logits = logits.float()
    if kind == "mse":
        each = (torch.sigmoid(logits) - target.float()) ** 2
    else:
        each = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    return (_masked_mean(each, target) + _masked_mean(each, ~target)) / 2


def contrastive_loss(a: torch.Tensor, b: torch.Tensor, is_match: torch.Tensor, temperature: float) -> torch.Tensor:
    """Category-contrastive loss (ours): L_out of SupCon (Khosla et al. 2020, eq. 2) in both directions.

    Args:
        a: L2-normalised features (B, D).
        b: L2-normalised features (N, D).
        is_match: Mask (B, N), true for the pairs of one category.
        temperature: Divisor of the cosine similarities.

    Returns:
        The mean of both directions. Each direction averages -log p(match) over the matches of a row, then over the rows
        that have a match.
    """
    return symmetric_match_loss(float32_product(a, b) / temperature, is_match)


def symmetric_match_loss(logits: torch.Tensor, is_match: torch.Tensor) -> torch.Tensor:
    """Category-contrastive loss of logits (B, N) in both directions, with the mask `is_match` (B, N).

    [`contrastive_loss`] applies it to cosines, the loss L_loc of late interaction (ours) to local scores.
    """
    return (match_cross_entropy(logits, is_match) + match_cross_entropy(logits.T, is_match.T)) / 2


def distillation_loss(photo: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - cosine similarity between photo features (N, D) and target features (N, D) (ours)."""
    return (1 - F.cosine_similarity(photo.float(), target.float(), dim=-1)).mean()


def matching_losses(
    config: CaanConfig,
    matching: CaanLocalMatching,
    sketch: CaanImageFeatures,
    photo: CaanImageFeatures,
    category_ids: torch.Tensor,
    instance_ids: torch.Tensor | None = None,
    *,
    gather: bool = False,
) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """Compute L_tri, L_rn or L_loc and, if their weights are above 0, L_ins and L_con.

    Args:
        config: Configuration of the model.
        matching: Relation network or late interaction of the model.
        sketch: Features of B sketches, or with `alignment="visual"` of 2 B: aligned with their photo+, then photo-.
        photo: Features of N photos: the B photos+, then, if N = 2 B, the B photos-.
        category_ids: Categories (N,) of the photos.
        instance_ids: Instances (B + N,) of the sketches, -1 if unknown, then of the photos. L_ins requires them.
        gather: Compute the losses on the joined batches of all processes, except L_rn with `negatives="sampled"`, which
            compares no triplets with each other. The average of the processes' gradients, as `DistributedDataParallel`
            computes it, is then the gradient of the joined batch.

    Returns:
        The losses by name, and the local scores: (B, 2) with photo+ and photo- for a relation network with
        `negatives="sampled"`, otherwise (B, N) with all photos, with `gather` those of all processes. They are None for
        late interaction that is not trained.
    """
    is_sampled = config.negatives == "sampled"
    batch = sketch.global_embeds.shape[0] // (2 if config.alignment == "visual" else 1)
    join = partial(join_processes, batch=batch, gather=gather)
    categories, rows = join(category_ids), join(category_ids[:batch]).shape[0]
    is_match = categories[:rows, None] == categories[None, :]  # (B, N)
    if is_sampled:
        # The columns are B photos+, then B photos-: the photo- of sketch i is column B + i.
        own = torch.eye(rows, dtype=torch.bool, device=is_match.device)
        is_negative = torch.cat([torch.zeros_like(own), own], dim=1) & ~is_match
    else:
        is_negative = ~is_match
    losses: dict[str, torch.Tensor] = {}
    scores = local_logits = None
    if isinstance(matching, CaanLateInteraction):
        if config.trains_late_interaction:
            scores = matching(sketch.local_embeds[:batch], join(photo.local_embeds))
            local_logits = join(scores.float()) / matching.log_temperature.exp()
            if config.lambda_loc:
                losses["loss_loc"] = symmetric_match_loss(local_logits, is_match)
    elif is_sampled:
        scores = _triplet_relation_logits(matching, sketch.local_embeds, photo.local_embeds)
        target = torch.tensor([[True, False]], device=is_match.device).expand(batch, 2)
        losses["loss_rn"] = relation_loss(scores, target, config.relation_loss)
    else:
        scores = matching(sketch.local_embeds, join(photo.local_embeds))
        losses["loss_rn"] = relation_loss(join(scores), is_match, config.relation_loss)
    anchors, others = join(_triplet_features(config, sketch)[:batch]), join(_triplet_features(config, photo))
    losses["loss_tri"] = triplet_loss(
        anchors, others[:rows], others, is_negative, config.triplet_margin, config.triplet_reduction
    )
    instances = join(instance_ids) if config.lambda_ins and instance_ids is not None else None
    if config.lambda_con or instances is not None:
        embeds = join(sketch.global_embeds[:batch]), join(photo.global_embeds)
        global_logits = float32_product(*embeds) / config.contrastive_temperature
        if config.lambda_con:
            losses["loss_con"] = symmetric_match_loss(global_logits, is_match)
        if instances is not None:
            is_own = instances[:rows, None] == instances[None, rows:]  # (B, N)
            losses["loss_ins"] = instance_loss(config, global_logits, local_logits, is_own)
    return losses, scores


def instance_loss(
    config: CaanConfig, global_logits: torch.Tensor, local_logits: torch.Tensor | None, is_own: torch.Tensor
) -> torch.Tensor:
    """Instance-contrastive loss L_ins (ours), in which only the photo that a sketch was drawn from matches.

    Args:
        config: Configuration, whose `instance_score` selects the logits.
        global_logits: Cosines (B, N) of the global features, divided by the temperature.
        local_logits: Scores (B, N) of late interaction, divided by the temperature; None without late interaction.
        is_own: Mask (B, N), true for the pairs of a sketch and the photo that it was drawn from. All other pairs are
            negatives, also those of one category.

    Returns:
        The mean over both directions and, for `instance_score="both"`, both scores. Sketches whose photo is not in the
        batch, and photos whose sketch is not, are only negatives.
    """
    losses = [
        symmetric_match_loss(logits, is_own)
        for name, logits in (("global", global_logits), ("local", local_logits))
        if logits is not None and config.instance_score in (name, "both")
    ]
    return torch.stack(losses).mean()


def text_loss(
    config: CaanConfig,
    sketch: torch.Tensor,
    photo: torch.Tensor,
    sentences: torch.Tensor,
    category_ids: torch.Tensor,
    gather: bool = False,
) -> torch.Tensor:
    """Contrastive loss between images before alignment and the sentences of the batch: L_txt with "batch" (ours).

    Args:
        config: Configuration of the model.
        sketch: L2-normalised features (B, D) of the sketches.
        photo: L2-normalised features (N, D) of the photos.
        sentences: L2-normalised features (N, D) of one sentence per photo.
        category_ids: Categories (N,) of the photos.
        gather: Compare the images and sentences of all processes.
    """
    join = partial(join_processes, batch=sketch.shape[0], gather=gather)
    sketch, photo, sentences, categories = join(sketch), join(photo), join(sentences), join(category_ids)
    is_match = categories[:, None] == categories[None, :]  # (N, N)
    sketch_loss = contrastive_loss(sketch, sentences, is_match[: sketch.shape[0]], config.contrastive_temperature)
    photo_loss = contrastive_loss(photo, sentences, is_match, config.contrastive_temperature)
    return (sketch_loss + photo_loss) / 2


def weighted_sum(config: CaanConfig, losses: dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute lambda_tri L_tri + lambda_rn L_rn (paper) plus our losses, each with its weight."""
    return sum((getattr(config, LOSS_WEIGHTS[name]) * loss for name, loss in losses.items()), start=torch.zeros(()))


def is_distributed() -> bool:
    """Whether `torch.distributed` runs more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def join_processes(features: torch.Tensor, batch: int, gather: bool) -> torch.Tensor:
    """Join the features of all processes, in the order of one large batch.

    Args:
        features: Features (K * batch, ...) of this process: the K parts of a batch, such as photos+ and photos-. All
            processes must have the same shape.
        batch: Number of sketches of this process.
        gather: Return `features` unchanged if false.

    Returns:
        Features (K * W * batch, ...) of the W processes. Gradients flow back to the process that computed a feature.
    """
    if not gather:
        return features
    joined: torch.Tensor = _GatherWithGradient.apply(features)  # (W, K * batch, ...)
    return joined.unflatten(1, (-1, batch)).transpose(0, 1).flatten(0, 2)


class _GatherWithGradient(torch.autograd.Function):
    """All-gather that sums the gradients of all processes in the backward pass."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        features = features.contiguous()
        gathered = [torch.empty_like(features) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, features)
        return torch.stack(gathered)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[dist.get_rank()]


def _triplet_relation_logits(
    matching: CaanLocalMatching, sketch_local: torch.Tensor, photo_local: torch.Tensor
) -> torch.Tensor:
    """Relation logits (B, 2) of each sketch with its photo+ and photo-."""
    pairs = photo_local.shape[0]
    if sketch_local.shape[0] != pairs:  # not repeated by visual alignment
        sketch_local = sketch_local.repeat(2, 1, 1)
    logits = matching.score_candidates(sketch_local, photo_local[:, None])  # (2 B, 1)
    return logits.view(2, pairs // 2).T


def _triplet_features(config: CaanConfig, features: CaanImageFeatures) -> torch.Tensor:
    """Features (rows, D) that the triplet loss compares."""
    if config.triplet_normalized:
        return features.global_embeds.float()
    return features.last_hidden_state[:, 0].float()


def match_cross_entropy(logits: torch.Tensor, is_match: torch.Tensor) -> torch.Tensor:
    """Mean of -log p(match) over the matches of a row, then over the rows that have a match."""
    log_probability = logits.log_softmax(dim=1)
    matches = is_match.sum(dim=1)
    per_row = -(log_probability * is_match).sum(dim=1) / matches.clamp_min(1)
    return _masked_mean(per_row, matches > 0)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the values where the mask is true. If it is true nowhere, 0 with a gradient."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


def float32_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Dot products (A, B) in float32, because half precision makes distances equal and small probabilities 0."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().T


def _stable_sqrt(squared: torch.Tensor) -> torch.Tensor:
    """Square root with a finite gradient at 0."""
    return squared.clamp_min(1e-8).sqrt()
