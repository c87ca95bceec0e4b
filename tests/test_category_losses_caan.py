"""Losses that compare images with categories: L_txt with all categories, and L_mod."""

import math

import pytest
import torch
from batches import photos_plus
from torch.nn import functional as F

from caan_hf.category_losses_caan import CategoryImages, category_text_loss, within_modality_loss
from caan_hf.configuration_caan import CaanConfig


def unit_rows(rows: int, width: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(rows, width), dim=-1)


def everyone(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_text_loss_of_right_angles():
    texts, temperature = torch.eye(3), 0.5
    loss = category_text_loss(texts[:2], torch.tensor([0, 2]), texts, everyone(3), temperature)
    total = math.exp(2) + 2
    assert loss.item() == pytest.approx((-math.log(math.exp(2) / total) - math.log(1 / total)) / 2, rel=1e-5)


def test_categories_without_text_are_no_negatives():
    images, texts = unit_rows(4), unit_rows(6)
    has_text = torch.tensor([True, False, True, True, False, True])
    loss = category_text_loss(images, torch.tensor([0, 2, 3, 5]), texts, has_text, 0.2)
    torch.testing.assert_close(loss, category_text_loss(images, torch.arange(4), texts[has_text], everyone(4), 0.2))


def test_within_modality_loss_equals_a_loop_over_the_images():
    def one_modality(images: CategoryImages) -> torch.Tensor:
        rows = []
        for anchor, category in zip(range(len(images.embeds)), images.category_ids, strict=True):
            others = [other for other in range(len(images.embeds)) if other != anchor]
            weights = torch.exp(images.embeds[others] @ images.embeds[anchor] / 0.5)
            match = images.category_ids[others] == category
            if match.any():
                rows.append(-torch.log(weights[match] / weights.sum()).mean())
        return torch.stack(rows).mean()

    sketches = CategoryImages(unit_rows(6), torch.tensor([0, 1, 0, 2, 0, 2]))
    photos = CategoryImages(unit_rows(4), torch.tensor([3, 3, 1, 0]))
    expected = (one_modality(sketches) + one_modality(photos)) / 2
    torch.testing.assert_close(within_modality_loss(sketches, photos, 0.5), expected)


def test_within_modality_loss_without_matches_is_zero_with_a_gradient():
    features = unit_rows(3).requires_grad_()
    images = CategoryImages(features, torch.arange(3))
    loss = within_modality_loss(images, images, 0.1)
    loss.backward()
    assert loss == 0
    assert features.grad.eq(0).all()


@pytest.fixture
def make_bridge(make_model):
    """`make_bridge(**overrides)`: a model with the text loss over 7 categories, the last of which has no sentence."""

    def make(**overrides):
        model = make_model(lambda_txt=0.5, text_negatives="all", negatives="in_batch", **overrides)
        is_sentence = torch.tensor([[True, True], [True, False]]).repeat(4, 1)[:7]
        is_sentence[6] = False
        model.text_contrast.set_sentences(torch.randn(7, 2, 24), is_sentence)
        return model

    return make


@pytest.fixture
def unpaired() -> dict[str, torch.Tensor]:
    """Two sketches and three photos."""
    return {
        "unpaired_sketch_pixel_values": torch.randn(2, 3, 32, 32),
        "unpaired_photo_pixel_values": torch.randn(3, 3, 32, 32),
        "unpaired_category_ids": torch.tensor([3, 3, 4, 5, 4]),
    }


def test_unpaired_images_train_by_text_and_within_their_modality_only(make_bridge, make_batch, unpaired):
    model, batch = make_bridge(lambda_mod=2), photos_plus(make_batch(3))
    alone, output = model(**batch), model(**batch, **unpaired)
    for name in ("loss_tri", "loss_rn"):
        torch.testing.assert_close(output[name], alone[name])
    assert output.sketch_features.global_embeds.shape[0] == output.photo_features.global_embeds.shape[0] == 3
    sketch_values = torch.cat([batch["sketch_pixel_values"], unpaired["unpaired_sketch_pixel_values"]])
    photo_values = torch.cat([batch["photo_pixel_values"], unpaired["unpaired_photo_pixel_values"]])
    sketch = model.get_sketch_features(sketch_values).global_embeds
    photo = model.get_photo_features(photo_values).global_embeds
    sketch_categories = torch.tensor([0, 1, 2, 3, 3])
    photo_categories = torch.tensor([0, 1, 2, 4, 5, 4])
    texts, has_text = model.text_contrast.category_embeds(model.text_projection)
    assert has_text.tolist() == [True] * 6 + [False]
    images = CategoryImages(sketch, sketch_categories), CategoryImages(photo, photo_categories)
    by_text = [category_text_loss(*of_modality, texts, has_text, 0.07) for of_modality in images]
    torch.testing.assert_close(output.loss_txt, sum(by_text) / 2)
    torch.testing.assert_close(output.loss_mod, within_modality_loss(*images, 0.07))
    expected = output.loss_tri + output.loss_rn + 0.5 * output.loss_txt + 2 * output.loss_mod
    torch.testing.assert_close(output.loss, expected)


def test_distillation_covers_unpaired_photos(make_model, make_batch, unpaired):
    model, batch = make_model(negatives="in_batch", lambda_mod=1, lambda_dis=1), photos_plus(make_batch(3))
    photos = torch.cat([batch["photo_pixel_values"], unpaired["unpaired_photo_pixel_values"]])
    targets = model.get_photo_features(photos).global_embeds
    output = model(**batch, **unpaired, photo_targets=targets)
    assert output.loss_dis.item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="photo_targets must have one row per photo, 6, got 3"):
        model(**batch, **unpaired, photo_targets=targets[:3])


def test_a_category_is_the_mean_of_its_sentences(make_model, make_batch):
    model, batch = make_model(lambda_txt=1, text_negatives="all"), make_batch(2)
    features = model.get_text_features(batch["input_ids"], batch["attention_mask"]).text_embeds  # of 4 sentences
    states = model.encode_text(batch["input_ids"], batch["attention_mask"])
    mask = batch["attention_mask"].unsqueeze(-1)
    means = (states * mask).sum(dim=1) / mask.sum(dim=1)
    model.text_contrast.set_sentences(means.view(2, 2, -1), torch.tensor([[True, True], [False, True]]))
    embeds, _ = model.text_contrast.category_embeds(model.text_projection)
    torch.testing.assert_close(embeds[0], F.normalize(features[:2].mean(dim=0), dim=-1))
    torch.testing.assert_close(embeds[1], features[3])


def test_a_random_sentence_represents_a_category_in_training_only(make_bridge):
    model = make_bridge(sample_sentences=True)
    contrast, projection = model.text_contrast, model.text_projection
    single = F.normalize(projection(contrast.sentences), dim=-1)
    mean = contrast.category_embeds(projection)[0]
    torch.testing.assert_close(mean[0], F.normalize(single[0].sum(dim=0), dim=-1))
    model.train()
    drawn = torch.stack([contrast.category_embeds(projection)[0] for _ in range(20)])  # (20, 7, D)
    first = [torch.allclose(embeds[0], single[0, 0]) for embeds in drawn]
    second = [torch.allclose(embeds[0], single[0, 1]) for embeds in drawn]
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert any(first)
    assert any(second)
    torch.testing.assert_close(drawn[:, 1], single[1, 0].expand(20, -1))  # it has one sentence


def test_temperature_and_text_projection_are_trained(make_bridge, make_batch, unpaired):
    model = make_bridge(lambda_tri=0, lambda_rn=0).train()
    model(**photos_plus(make_batch(3)), **unpaired).loss.backward()
    assert model.text_contrast.log_temperature.grad.abs() > 0
    assert model.text_projection.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.text_model.parameters())


def test_a_training_checkpoint_keeps_the_temperature_and_retrieval_drops_it(make_bridge, tmp_path):
    from caan_hf import CaanModel

    model = make_bridge()
    model.text_contrast.log_temperature.data.fill_(-3)
    model.save_pretrained(tmp_path)
    loaded = CaanModel.from_pretrained(tmp_path)
    assert loaded.text_contrast.log_temperature == -3
    assert loaded.text_contrast.sentences is None
    assert CaanModel.from_pretrained(tmp_path, text_config=None).text_contrast is None
    assert not [name for name in loaded.drop_text().state_dict() if "text" in name]


def test_missing_or_wrong_inputs_are_refused(make_model, make_batch, unpaired):
    batch = photos_plus(make_batch(3))
    model = make_model(lambda_txt=1, text_negatives="all", negatives="in_batch")
    assert model(**batch).loss_txt is None  # evaluation mode
    with pytest.raises(ValueError, match="set_sentences"):
        model.train()(**batch)
    unpaired["unpaired_category_ids"] = unpaired["unpaired_category_ids"][:4]
    with pytest.raises(ValueError, match="unpaired_category_ids must have one row per unpaired image, 5, got 4"):
        model(**batch, **unpaired)
    with pytest.raises(ValueError, match="photos alone"):
        model(pixel_values=batch["photo_pixel_values"], **unpaired)


def test_text_of_all_categories_requires_a_frozen_text_tower():
    with pytest.raises(Exception, match="validate") as error:
        CaanConfig(text_negatives="all", freeze_text=False)
    assert "requires freeze_text" in str(error.value.__cause__)
