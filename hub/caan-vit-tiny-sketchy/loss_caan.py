"""The losses of CAAN, each a pure function of features."""

import torch
from torch.nn import functional as F


def euclidean_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Distances (...) of features (..., D), kept off 0 for its gradient."""
    return ((a - b) ** 2).sum(-1).clamp_min(1e-8).sqrt()


def pairwise_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Distances (A, B) between features (A, D) and (B, D): |a - b|^2 = |a|^2 + |b|^2 - 2 a.b."""
    squared = (a**2).sum(-1)[:, None] + (b**2).sum(-1)[None, :] - 2 * a @ b.T
    return squared.clamp_min(1e-8).sqrt()


def triplet_loss(
    sketch: torch.Tensor, positive: torch.Tensor, negatives: torch.Tensor, is_negative: torch.Tensor, margin: float
) -> torch.Tensor:
    """L_tri = mean max(0, m + |g_s - g_p+| - |g_s - g_p-|), the paper's global loss.

    Args:
        sketch: Sketch features (B, D); L2-normalised like all others (ours), or not (ZSE-SBIR).
        positive: Photo+ features (B, D), row by row with `sketch`.
        negatives: Photos (N, D) that may serve as photo-.
        is_negative: (B, N), true where a photo is of another category than the sketch, and asked for.
        margin: m.

    Returns:
        The mean over all (sketch, photo-) pairs that `is_negative` admits; 0 if there are none.
    """
    towards = euclidean_distance(sketch, positive)[:, None]  # (B, 1)
    away = pairwise_distance(sketch, negatives)  # (B, N)
    hinge = F.relu(margin + towards - away)
    return _masked_mean(hinge, is_negative)


def relation_loss(logits: torch.Tensor, target: torch.Tensor, kind: str) -> torch.Tensor:
    """L_rn: relation scores of matching pairs go to 1, those of all others to 0.

    Args:
        logits: (B, N) relation logits.
        target: (B, N) bool, true where the pair matches.
        kind: `"mse"` on the sigmoid (ZSE-SBIR's form) or `"bce"` on the logits.

    Returns:
        Half the mean over the matching pairs plus half the mean over the others: in a batch, matches are rare.
    """
    logits = logits.float()
    if kind == "mse":
        each = (torch.sigmoid(logits) - target.float()) ** 2
    else:
        each = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    return (_masked_mean(each, target) + _masked_mean(each, ~target)) / 2


def contrastive_loss(
    sketch: torch.Tensor, photo: torch.Tensor, is_match: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Category-contrastive loss over the batch, both ways (ours; the "out" form of SupCon, Khosla et al. 2020, eq. 2).

    Args:
        sketch: (B, D), L2-normalised.
        photo: (N, D), L2-normalised.
        is_match: (B, N) bool, true where both are of one category.
        temperature: Divides the cosines.

    Returns:
        -log p(match) averaged over each row's matches, then over rows that have one; the mean of both directions.
    """
    logits = sketch @ photo.T / temperature  # (B, N)
    return (_softmax_matches(logits, is_match) + _softmax_matches(logits.T, is_match.T)) / 2


def distillation_loss(photo: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - cosine between photo features and their targets, both (N, D) (ours): keeps what pretraining knows."""
    return (1 - F.cosine_similarity(photo, target, dim=-1)).mean()


def _softmax_matches(logits: torch.Tensor, is_match: torch.Tensor) -> torch.Tensor:
    log_probability = logits.log_softmax(dim=1)
    matches = is_match.sum(dim=1)
    per_row = -(log_probability * is_match).sum(dim=1) / matches.clamp_min(1)
    return _masked_mean(per_row, matches > 0)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the values where the mask is true; 0, with a gradient, where it is nowhere true."""
    return (values * mask).sum() / mask.sum().clamp_min(1)
