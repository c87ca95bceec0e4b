import math
import os
import subprocess
import sys

import pytest
import torch
from batches import photos_plus, without_text
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from caan_hf.loss_caan import (
    contrastive_loss,
    distillation_loss,
    pairwise_distance,
    relation_loss,
    triplet_loss,
)


def unit_rows(rows: int, width: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(rows, width), dim=-1)


def test_violating_reduction_averages_over_the_pairs_with_a_positive_hinge():
    sketch = torch.tensor([[1.0, 0.0]])
    negatives, admitted = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]]), torch.tensor([[True, True, False]])
    # distances sqrt(2) and 2: with margin 1.5 the hinges are 1.5 - sqrt(2) and 0
    losses = {
        kind: triplet_loss(sketch, sketch, negatives, admitted, 1.5, kind).item() for kind in ("all", "violating")
    }
    assert losses["violating"] == pytest.approx(1.5 - math.sqrt(2), abs=2e-4)
    assert losses["all"] == pytest.approx((1.5 - math.sqrt(2)) / 2, abs=2e-4)


@given(batch=st.integers(1, 5), photos=st.integers(1, 6), margin=st.floats(0, 2), seed=st.integers(0, 1000))
def test_triplet_loss_equals_a_loop_over_the_negative_pairs(batch, photos, margin, seed):
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


@pytest.mark.parametrize(("is_negative", "reduction"), [(False, "all"), (True, "violating")])
def test_triplet_loss_without_pairs_is_zero_with_a_gradient(is_negative, reduction):
    sketch = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss = triplet_loss(sketch, sketch, torch.tensor([[-1.0, 0.0]]), torch.tensor([[is_negative]]), 0.5, reduction)
    loss.backward()
    assert loss == 0
    assert sketch.grad.eq(0).all()


@pytest.mark.parametrize("kind", ["mse", "bce"])
def test_relation_loss_weights_matches_and_mismatches_equally(kind):
    right, wrong = torch.tensor([[20.0, -20.0, -20.0, -20.0]]), torch.tensor([[-2.0, -20.0, -20.0, -20.0]])
    target = torch.tensor([[True, False, False, False]])
    probability = torch.sigmoid(torch.tensor(-2.0)).item()
    miss = (1 - probability) ** 2 if kind == "mse" else -math.log(probability)
    assert relation_loss(right, target, kind).item() == pytest.approx(0, abs=1e-6)
    assert relation_loss(wrong, target, kind).item() == pytest.approx(miss / 2, rel=1e-5)


def test_relation_loss_of_half_precision_logits_is_float32():
    logits = torch.zeros(1, 2, dtype=torch.bfloat16)
    assert relation_loss(logits, torch.tensor([[True, False]]), "mse").dtype == torch.float32


def test_contrastive_loss_equals_the_supcon_formula():
    sketch, photo = unit_rows(3), unit_rows(4)
    is_match = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)

    def one_way(queries, keys, matches):
        rows = []
        for row, match in zip(queries, matches, strict=True):
            if match.any():
                weights = torch.exp(keys @ row / 0.5)
                rows.append(-torch.log(weights[match] / weights.sum()).mean())
        return torch.stack(rows).mean()

    expected = (one_way(sketch, photo, is_match) + one_way(photo, sketch, is_match.T)) / 2
    torch.testing.assert_close(contrastive_loss(sketch, photo, is_match, 0.5), expected)


def test_distillation_is_zero_for_equal_directions_and_two_for_opposite_ones():
    features = torch.randn(4, 6)
    assert distillation_loss(features, 3 * features).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(features, -features).item() == pytest.approx(2, abs=1e-6)


def test_sampled_negatives_compare_each_sketch_with_its_own_photos(make_model, make_batch):
    model = make_model(lambda_tri=0.5, lambda_rn=2, triplet_margin=1.5)
    output = model(**make_batch(3))
    sketch, photo = output.sketch_features, output.photo_features
    positive, negative = photo.global_embeds[:3], photo.global_embeds[3:]
    towards, away = (sketch.global_embeds - positive).norm(dim=-1), (sketch.global_embeds - negative).norm(dim=-1)
    torch.testing.assert_close(output.loss_tri, (1.5 + towards - away).clamp_min(0).mean(), rtol=1e-3, atol=1e-3)
    matrix = model.get_local_scores(sketch.local_embeds, photo.local_embeds)
    expected = torch.stack([matrix.diagonal(), matrix[:, 3:].diagonal()], dim=1)
    torch.testing.assert_close(output.local_scores, expected)
    torch.testing.assert_close(output.loss_rn, relation_loss(expected, torch.tensor([[True, False]] * 3), "mse"))
    torch.testing.assert_close(output.loss, 0.5 * output.loss_tri + 2 * output.loss_rn)
    assert output.loss_con is None
    assert output.loss_dis is None


@pytest.mark.parametrize(("negatives", "reduction"), [("in_batch", "all"), ("both", "violating")])
def test_in_batch_negatives_are_all_photos_of_other_categories(make_model, make_batch, negatives, reduction):
    batch = make_batch(4) if negatives == "both" else photos_plus(make_batch(4))
    batch["category_ids"][1] = batch["category_ids"][0]  # triplets of one category are no negatives of each other
    model = make_model(negatives=negatives, relation_loss="bce", triplet_margin=0.0, triplet_reduction=reduction)
    output = model(**batch)
    sketch, photo, categories = output.sketch_features, output.photo_features, batch["category_ids"]
    is_match = categories[:4, None] == categories[None]
    embeds = sketch.global_embeds, photo.global_embeds[:4], photo.global_embeds
    by_reduction = {kind: triplet_loss(*embeds, ~is_match, 0.0, kind) for kind in ("all", "violating")}
    torch.testing.assert_close(output.loss_tri, by_reduction[reduction])
    assert by_reduction["all"] < by_reduction["violating"]
    logits = model.get_local_scores(sketch.local_embeds, photo.local_embeds)
    torch.testing.assert_close(output.local_scores, logits)
    torch.testing.assert_close(output.loss_rn, relation_loss(logits, is_match, "bce"))


def test_contrastive_and_distillation_losses_are_added_with_their_weights(make_model, make_batch):
    model, batch = make_model(lambda_con=3, lambda_dis=2, contrastive_temperature=1), make_batch(3)
    targets = torch.randn(6, 32)
    output = model(**batch, photo_targets=targets)
    sketch, photo = output.sketch_features.global_embeds, output.photo_features.global_embeds
    is_match = batch["category_ids"][:3, None] == batch["category_ids"][None]
    plain = model.get_photo_features(batch["photo_pixel_values"]).global_embeds
    torch.testing.assert_close(output.loss_con, contrastive_loss(sketch, photo, is_match, 1))
    torch.testing.assert_close(output.loss_dis, distillation_loss(plain, targets))
    expected = output.loss_tri + output.loss_rn + 3 * output.loss_con + 2 * output.loss_dis
    torch.testing.assert_close(output.loss, expected)


def test_text_loss_contrasts_images_before_alignment_with_sentences(make_model, make_batch):
    model, batch = make_model(lambda_txt=0.5, negatives="sampled"), make_batch()
    output = model(**batch)
    sketch = model.get_sketch_features(batch["sketch_pixel_values"]).global_embeds
    photo = model.get_photo_features(batch["photo_pixel_values"]).global_embeds
    text = model.get_text_features(batch["input_ids"], batch["attention_mask"]).text_embeds
    categories = batch["category_ids"]
    same = categories[:, None] == categories[None, :]
    expected = contrastive_loss(sketch, text, same[: len(sketch)], 0.07) + contrastive_loss(photo, text, same, 0.07)
    torch.testing.assert_close(output.loss_txt, expected / 2)
    torch.testing.assert_close(output.loss, output.loss_tri + output.loss_rn + 0.5 * output.loss_txt)


LATE = {"local_matching": "late_interaction", "lambda_rn": 0, "negatives": "in_batch"}


def loop_over_instances(logits, sketch_ids, photo_ids):
    """-log p(own photo) of each sketch and -log p(own sketch) of each photo, averaged over those that have one."""
    ways = []
    for rows, queries, keys in ((logits, sketch_ids, photo_ids), (logits.T, photo_ids, sketch_ids)):
        terms = []
        for row, query in zip(rows, queries, strict=True):
            own = [place for place, key in enumerate(keys) if key == query]
            terms += [torch.stack([row.logsumexp(0) - row[place] for place in own]).mean()] if own else []
        ways.append(torch.stack(terms).mean())
    return sum(ways) / 2


@pytest.mark.parametrize("score", ["local", "global", "both"])
@pytest.mark.parametrize("negatives", ["in_batch", "both"])
def test_instance_loss_equals_a_loop_over_the_pairs(make_model, make_batch, score, negatives):
    batch = make_batch(4) if negatives == "both" else photos_plus(make_batch(4))
    batch["category_ids"][:] = 0  # the other photos of the category are negatives too
    # The first two sketches are drawn from one photo, which is in the batch twice; the photo of the last is unknown.
    sketch_ids, photo_ids = [5, 5, 7, -1], [5, 5, 7, 9, 2, 3, 7, 4][: len(batch["category_ids"])]
    model = make_model(
        **LATE | {"negatives": negatives}, lambda_ins=2, instance_score=score, contrastive_temperature=0.5
    )
    output = model(**batch, instance_ids=torch.tensor(sketch_ids + photo_ids))
    sketch, photo = output.sketch_features, output.photo_features
    logits = {
        "local": model.get_local_scores(sketch.local_embeds, photo.local_embeds) / 0.5,
        "global": sketch.global_embeds @ photo.global_embeds.T / 0.5,
    }
    chosen = logits.values() if score == "both" else [logits[score]]
    expected = sum(loop_over_instances(one, sketch_ids, photo_ids) for one in chosen) / len(chosen)
    torch.testing.assert_close(output.loss_ins, expected)
    torch.testing.assert_close(output.loss, output.loss_tri + 2 * output.loss_ins)
    assert output.loss_loc is None
    assert (output.local_scores is None) == (score == "global")


def test_instance_loss_without_pairs_is_zero_with_a_gradient(make_model, make_batch):
    model = make_model(**LATE, lambda_ins=1).train()
    output = model(**photos_plus(make_batch(2)), instance_ids=torch.tensor([-1, -1, 0, 1]))
    assert output.loss_ins == 0
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_instance_loss_trains_late_interaction(make_model, make_batch):
    model = make_model(**LATE, lambda_ins=1).train()
    model(**photos_plus(make_batch(3)), instance_ids=torch.tensor([0, 1, 2, 0, 1, 2])).loss.backward()
    assert not any(parameter.requires_grad for parameter in model.local_tokens.parameters())  # measured, not trained
    assert model.late_interaction.log_temperature.grad != 0


def test_a_relation_network_can_have_an_instance_loss_on_the_cosine(make_model, make_batch):
    model = make_model(lambda_ins=1, instance_score="global")
    batch = make_batch(3)
    output = model(**batch, instance_ids=torch.tensor([0, 1, 2, 0, 1, 2, 3, 4, 5]))
    assert output.loss_ins > 0
    torch.testing.assert_close(output.loss, output.loss_tri + output.loss_rn + output.loss_ins)


def test_instances_are_required_for_all_images(make_model, make_batch):
    with pytest.raises(ValueError, match="instance_ids must have one row per sketch and photo, 6, got 3"):
        make_model(**LATE, lambda_ins=1)(**photos_plus(make_batch(3)), instance_ids=torch.arange(3))


ONE_PROCESS = """
import os
import sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from caan_hf import CaanModel

folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
results = []
for number in range(len([path for path in os.listdir(folder) if path.startswith("batch-")])):
    model = CaanModel.from_pretrained(f"{folder}/model-{number}").train()
    batch = torch.load(f"{folder}/batch-{number}.pt")
    if model.text_contrast is not None:
        model.text_contrast.set_sentences(batch.pop("sentences"), batch.pop("is_sentence"))
    share = len(batch["sketch_pixel_values"]) // 2
    batch = {
        name: value.unflatten(0, (-1, 2, share))[:, rank].flatten(0, 1)  # this process's photos+, then its photos-
        for name, value in batch.items()
    }
    parallel = DistributedDataParallel(model)
    loss = parallel(**batch).loss
    loss.backward()
    results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
torch.save(results, f"{folder}/results-{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one_process_on_the_joined_batch(make_model, make_batch, tmp_path):
    configs = [
        {"negatives": "in_batch", "lambda_con": 1, "lambda_txt": 1},
        {"negatives": "both", "lambda_txt": 1, "lambda_dis": 1, "triplet_reduction": "violating"},
        {"negatives": "sampled", "lambda_con": 1, "triplet_normalized": False, "triplet_reduction": "violating"},
        {"negatives": "sampled", "alignment": "visual", "text_config": None, "lambda_con": 1},
        {"negatives": "in_batch", "lambda_txt": 1, "text_negatives": "all", "lambda_mod": 1},
        {**LATE, "negatives": "both", "lambda_loc": 1, "lambda_ins": 1, "instance_score": "both"},
    ]
    expected = []
    for number, config in enumerate(configs):
        model, batch = make_model(**config).train(), make_batch(4)
        batch["category_ids"] = torch.tensor([0, 1, 2, 1, 1, 2, 0, 3])  # two triplets of different processes match
        if config["negatives"] == "in_batch":
            batch = photos_plus(batch)
        if "lambda_dis" in config:
            batch["photo_targets"] = torch.randn(8, 32)
        if "lambda_ins" in config:
            batch["instance_ids"] = torch.tensor([4, 1, -1, 1, 4, 1, 2, 1, 7, 1, 0, 4])
        if config.get("alignment") == "visual":
            batch = without_text(batch)
        kept = {}
        if model.text_contrast is not None:
            batch |= {f"unpaired_{name}_pixel_values": torch.randn(4, 3, 32, 32) for name in ("sketch", "photo")}
            batch["unpaired_category_ids"] = torch.tensor([4, 5, 4, 0, 6, 7, 1, 6])
            kept = {"sentences": torch.randn(8, 2, 24), "is_sentence": torch.ones(8, 2, dtype=torch.bool)}
            model.text_contrast.set_sentences(*kept.values())
        model.save_pretrained(tmp_path / f"model-{number}")
        torch.save(batch | kept, tmp_path / f"batch-{number}.pt")
        loss = model(**batch).loss
        loss.backward()
        expected.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_PROCESS, str(tmp_path), str(rank)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
    results = [torch.load(tmp_path / f"results-{rank}.pt") for rank in range(2)]
    for (loss, gradients), (loss_0, gradients_0), (loss_1, gradients_1) in zip(expected, *results, strict=True):
        torch.testing.assert_close((loss_0 + loss_1) / 2, loss)
        assert gradients_0.keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradients_0[name], gradients_1[name], rtol=0, atol=0, msg=name)
            torch.testing.assert_close(gradients_0[name], gradient, rtol=1e-3, atol=1e-6, msg=name)
