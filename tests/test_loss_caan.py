import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from caan_hf.loss_caan import contrastive_loss, distillation_loss, pairwise_distance, relation_loss, triplet_loss


def unit_rows(rows: int, width: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(rows, width), dim=-1)


def test_triplet_loss_of_a_right_angle_is_margin_minus_root_two():
    sketch, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    negative, admitted = torch.tensor([[0.0, 1.0]]), torch.tensor([[True]])
    loss = triplet_loss(sketch, positive, negative, admitted, margin=2.0)
    assert loss.item() == pytest.approx(2 - math.sqrt(2), abs=2e-4)


def test_triplet_loss_is_zero_once_the_margin_is_kept():
    sketch, negative = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    assert triplet_loss(sketch, sketch, negative, torch.tensor([[True]]), margin=1.0) == 0


def test_triplet_loss_of_equal_features_is_the_margin():
    same = torch.tensor([[0.6, 0.8]])
    assert triplet_loss(same, same, same, torch.tensor([[True]]), margin=0.3).item() == pytest.approx(0.3)


@given(batch=st.integers(1, 5), photos=st.integers(1, 6), margin=st.floats(0, 2), seed=st.integers(0, 1000))
def test_triplet_loss_equals_a_loop_over_admitted_pairs(batch, photos, margin, seed):
    torch.manual_seed(seed)
    rows = unit_rows if seed % 2 else lambda count: torch.randn(count, 5)
    sketch, positive, negatives = rows(batch), rows(batch), rows(photos)
    admitted = torch.rand(batch, photos) < 0.5
    terms = [
        max(0.0, margin + (sketch[i] - positive[i]).norm().item() - (sketch[i] - negatives[j]).norm().item())
        for i in range(batch)
        for j in range(photos)
        if admitted[i, j]
    ]
    expected = sum(terms) / len(terms) if terms else 0
    assert triplet_loss(sketch, positive, negatives, admitted, margin).item() == pytest.approx(expected, abs=1e-3)


def test_distance_of_equal_features_has_a_finite_gradient():
    features = F.normalize(torch.ones(2, 3), dim=-1).requires_grad_()
    pairwise_distance(features, features).sum().backward()
    assert features.grad.isfinite().all()


def test_no_admitted_negative_gives_zero_with_a_gradient():
    sketch = unit_rows(2).requires_grad_()
    loss = triplet_loss(sketch, unit_rows(2), unit_rows(3), torch.zeros(2, 3, dtype=torch.bool), margin=0.3)
    loss.backward()
    assert loss == 0
    assert sketch.grad.eq(0).all()


@pytest.mark.parametrize(("kind", "expected"), [("mse", 0.25), ("bce", math.log(2))])
def test_relation_loss_of_undecided_logits(kind, expected):
    target = torch.tensor([[True, False, False]])
    assert relation_loss(torch.zeros(1, 3), target, kind).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["mse", "bce"])
def test_relation_loss_weighs_matches_and_the_others_alike(kind):
    right, wrong = torch.tensor([[20.0, -20.0, -20.0, -20.0]]), torch.tensor([[-2.0, -20.0, -20.0, -20.0]])
    target = torch.tensor([[True, False, False, False]])
    probability = torch.sigmoid(torch.tensor(-2.0)).item()
    miss = (1 - probability) ** 2 if kind == "mse" else -math.log(probability)
    assert relation_loss(right, target, kind).item() == pytest.approx(0, abs=1e-6)
    assert relation_loss(wrong, target, kind).item() == pytest.approx(miss / 2, rel=1e-5)


def test_relation_loss_of_half_precision_logits_is_float32():
    assert relation_loss(torch.zeros(1, 2, dtype=torch.bfloat16), torch.tensor([[True, False]]), "mse").dtype == (
        torch.float32
    )


@given(batch=st.integers(1, 5), photos=st.integers(1, 7))
def test_contrastive_loss_of_uniform_features_is_the_log_of_the_candidates(batch, photos):
    sketch, photo = torch.ones(batch, 4) / 2, torch.ones(photos, 4) / 2
    loss = contrastive_loss(sketch, photo, torch.ones(batch, photos, dtype=torch.bool), temperature=0.1)
    assert loss.item() == pytest.approx((math.log(photos) + math.log(batch)) / 2, abs=1e-5)


def test_contrastive_loss_equals_the_supcon_formula():
    sketch, photo = unit_rows(3), unit_rows(4)
    is_match = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)

    def one_way(asking, answering, matches):
        rows = []
        for row, match in zip(asking, matches, strict=True):
            if match.any():
                weights = torch.exp(answering @ row / 0.5)
                rows.append(-torch.log(weights[match] / weights.sum()).mean())
        return torch.stack(rows).mean()

    expected = (one_way(sketch, photo, is_match) + one_way(photo, sketch, is_match.T)) / 2
    torch.testing.assert_close(contrastive_loss(sketch, photo, is_match, 0.5), expected)


def test_contrastive_loss_is_nearly_zero_for_separated_categories():
    features = torch.eye(3)
    assert contrastive_loss(features, features, torch.eye(3, dtype=torch.bool), 0.01) < 1e-6


def test_distillation_is_zero_for_equal_directions_and_two_for_opposite_ones():
    features = torch.randn(4, 6)
    assert distillation_loss(features, 3 * features).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(features, -features).item() == pytest.approx(2, abs=1e-6)
