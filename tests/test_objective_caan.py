"""The losses of a training step: which pairs each compares, and how they are weighed."""

import pytest
import torch
from batches import photos_plus, without_text

from caan_hf.loss_caan import contrastive_loss, distillation_loss, relation_loss, triplet_loss


def test_sampled_negatives_give_the_triplet_and_the_relation_of_each_own_pair(make_model, make_batch):
    model = make_model(lambda_tri=0.5, lambda_rn=2, triplet_margin=1.5)
    output = model(**make_batch(3))
    sketch, photo = output.sketch_features, output.photo_features
    positive, negative = photo.global_embeds[:3], photo.global_embeds[3:]
    towards, away = (sketch.global_embeds - positive).norm(dim=-1), (sketch.global_embeds - negative).norm(dim=-1)
    torch.testing.assert_close(output.loss_tri, (1.5 + towards - away).clamp_min(0).mean(), rtol=1e-3, atol=1e-3)
    matrix = model.get_relation_logits(sketch.local_embeds, photo.local_embeds)
    expected = torch.stack([matrix.diagonal(), matrix[:, 3:].diagonal()], dim=1)
    torch.testing.assert_close(output.relation_logits, expected)
    torch.testing.assert_close(output.loss_rn, relation_loss(expected, torch.tensor([[True, False]] * 3), "mse"))
    torch.testing.assert_close(output.loss, 0.5 * output.loss_tri + 2 * output.loss_rn)
    assert output.loss_con is None
    assert output.loss_dis is None


@pytest.mark.parametrize("negatives", ["in_batch", "both"])
def test_every_photo_of_another_category_repels(make_model, make_batch, negatives):
    batch = make_batch(4) if negatives == "both" else photos_plus(make_batch(4))
    batch["category_ids"][1] = batch["category_ids"][0]  # two triplets of one category do not repel each other
    model = make_model(negatives=negatives, relation_loss="bce")
    output = model(**batch)
    sketch, photo, categories = output.sketch_features, output.photo_features, batch["category_ids"]
    is_match = categories[:4, None] == categories[None]
    tri = triplet_loss(sketch.global_embeds, photo.global_embeds[:4], photo.global_embeds, ~is_match, 0.3)
    torch.testing.assert_close(output.loss_tri, tri)
    logits = model.get_relation_logits(sketch.local_embeds, photo.local_embeds)
    torch.testing.assert_close(output.relation_logits, logits)
    torch.testing.assert_close(output.loss_rn, relation_loss(logits, is_match, "bce"))


def test_contrastive_and_distillation_terms_join_when_they_are_weighed(make_model, make_batch):
    model, batch = make_model(lambda_con=3, lambda_dis=2, contrastive_temperature=1), make_batch(3)
    targets = torch.randn(6, 32)
    output = model(**batch, photo_targets=targets)
    sketch, photo = output.sketch_features.global_embeds, output.photo_features.global_embeds
    is_match = batch["category_ids"][:3, None] == batch["category_ids"][None]
    untouched = model.get_photo_features(batch["photo_pixel_values"]).global_embeds
    torch.testing.assert_close(output.loss_con, contrastive_loss(sketch, photo, is_match, 1))
    torch.testing.assert_close(output.loss_dis, distillation_loss(untouched, targets))
    expected = output.loss_tri + output.loss_rn + 3 * output.loss_con + 2 * output.loss_dis
    torch.testing.assert_close(output.loss, expected)


def test_distillation_to_its_own_features_is_zero(make_model, make_batch):
    model, batch = make_model(lambda_dis=1), make_batch(2)
    targets = model.get_photo_features(batch["photo_pixel_values"]).global_embeds
    assert model(**batch, photo_targets=targets).loss_dis.item() == pytest.approx(0, abs=1e-6)
    assert model(**batch).loss_dis is None


def test_the_text_term_contrasts_images_before_alignment_with_sentences(make_model, make_batch):
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
    assert model(**without_text(batch)).loss_txt is None


def test_sampled_negatives_want_two_photos_a_sketch(make_model, make_batch):
    with pytest.raises(ValueError, match="a photo\\+ and a photo- for each of 3 sketches, got 3"):
        make_model()(**photos_plus(make_batch(3)))
