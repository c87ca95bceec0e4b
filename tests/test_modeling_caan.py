import math

import pytest
import torch
from batches import photos_plus, without_text
from tiny import TEXT, VISION
from torch import nn
from torch.nn import functional as F

from caan_hf import CaanModel
from caan_hf.local_matching_caan import inked_regions

TIMM = {
    "model_type": "timm_wrapper",
    "architecture": "vit_tiny_patch16_224",
    "model_args": {"img_size": 32, "patch_size": 4, "depth": 2, "embed_dim": 32, "num_heads": 2},
}
CONVNEXT = {"model_type": "convnext", "hidden_sizes": [8, 8, 16, 32], "depths": [1, 1, 1, 1]}
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_features_have_the_documented_shapes_and_are_normalised(make_model):
    features = make_model().get_sketch_features(torch.randn(2, 3, 32, 32))
    assert features.global_embeds.shape == (2, 32)
    assert features.local_embeds.shape == (2, 16, 8)
    assert features.last_hidden_state.shape == (2, 65, 32)
    torch.testing.assert_close(features.global_embeds.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(features.local_embeds.norm(dim=-1), torch.ones(2, 16))
    torch.testing.assert_close(features.global_embeds, F.normalize(features.last_hidden_state[:, 0], dim=-1))


def test_sketches_and_photos_have_separate_towers(make_model):
    model, pixels = make_model(), torch.randn(1, 3, 32, 32)
    sketch, photo = model.get_sketch_features(pixels), model.get_photo_features(pixels)
    assert not torch.allclose(sketch.global_embeds, photo.global_embeds)


def test_retrieval_features_do_not_depend_on_the_rest_of_the_batch(make_model):
    model, pixels = make_model(), torch.randn(3, 3, 32, 32)
    whole = model.get_photo_features(pixels)
    torch.testing.assert_close(model.get_photo_features(pixels[1:2]).local_embeds, whole.local_embeds[1:2])


def test_text_features_ignore_padding(make_model):
    model, ids = make_model(), torch.tensor([[5, 6, 7, 8]])
    mask = torch.tensor([[1, 1, 0, 0]])
    padded, short = model.get_text_features(ids, mask), model.get_text_features(ids[:, :2])
    torch.testing.assert_close(padded.text_embeds, short.text_embeds)
    torch.testing.assert_close(padded.text_embeds.norm(dim=-1), torch.ones(1))


def test_centered_model_subtracts_the_mean_only_in_retrieval(make_model, make_batch, tmp_path):
    model, batch = make_model(center_features=True), make_batch()
    before = model(**batch).loss
    plain = model.get_sketch_features(batch["sketch_pixel_values"]).global_embeds
    mean = plain.mean(dim=0)
    model.sketch_center.mean.copy_(mean)
    model.save_pretrained(tmp_path)
    loaded = CaanModel.from_pretrained(tmp_path)
    features = loaded.get_sketch_features(batch["sketch_pixel_values"]).global_embeds
    torch.testing.assert_close(features, F.normalize(plain - mean, dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loaded(**batch).loss, before)


def test_without_categories_there_is_no_loss(make_model, make_batch):
    batch = make_batch(2)
    del batch["category_ids"]
    output = make_model()(**batch)
    assert output.loss is None
    assert output.photo_features.global_embeds.shape == (4, 32)


def test_visual_alignment_compares_aligned_pairs(make_model, make_batch):
    model = make_model(text_config=None, alignment="visual", triplet_normalized=False, triplet_margin=1.0)
    batch = without_text(make_batch(3))
    output = model(**batch)
    sketch = model.get_sketch_features(batch["sketch_pixel_values"]).last_hidden_state
    photo = model.get_photo_features(batch["photo_pixel_values"]).last_hidden_state
    losses, logits = [], []
    for number in range(3):
        pairs = [model.visual_alignment(sketch[number : number + 1], photo[n : n + 1]) for n in (number, number + 3)]
        anchor, positive = (tokens[:, 0] for tokens in pairs[0])
        negative = pairs[1][1][:, 0]
        losses.append(nn.TripletMarginLoss(margin=1.0)(anchor, positive, negative))
        local = [[model.local_tokens(tokens[:, 1:], (8, 8)) for tokens in pair] for pair in pairs]
        logits.append([model.get_local_scores(*pair).item() for pair in local])
        features = output.sketch_features.last_hidden_state[number]
        torch.testing.assert_close(features, pairs[0][0][0], rtol=1e-4, atol=1e-5)  # aligned with the photo+
    assert [len(tensor) for tensor in output.sketch_features.to_tuple()] == [3, 3, 3]
    assert [len(tensor) for tensor in output.photo_features.to_tuple()] == [6, 6, 6]
    torch.testing.assert_close(output.loss_tri, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.local_scores, torch.tensor(logits), rtol=1e-4, atol=1e-5)


def test_visual_alignment_trains_with_late_interaction(make_model, make_batch):
    settings = {"text_config": None, "alignment": "visual", "local_matching": "late_interaction", "lambda_loc": 1}
    model, batch = make_model(**settings).train(), without_text(make_batch(3))
    output = model(**batch)
    output.loss.backward()
    inked = inked_regions(batch["sketch_pixel_values"], 4)
    assert torch.equal(output.sketch_features.local_embeds.any(dim=-1), inked)


def test_visual_alignment_is_dropped_for_retrieval(make_model, make_batch, tmp_path):
    model = make_model(text_config=None, alignment="visual")
    pixels = torch.randn(2, 3, 32, 32)
    expected = model.get_sketch_features(pixels).global_embeds
    model.drop_text().save_pretrained(tmp_path)
    loaded = CaanModel.from_pretrained(tmp_path)
    assert loaded.visual_alignment is None
    torch.testing.assert_close(loaded.get_sketch_features(pixels).global_embeds, expected)


def test_text_changes_the_training_features(make_model, make_batch):
    model, batch = make_model(), make_batch(2)
    aligned, plain = model(**batch), model(**without_text(batch))
    assert not torch.allclose(aligned.sketch_features.global_embeds, plain.sketch_features.global_embeds)
    retrieval = model.get_sketch_features(batch["sketch_pixel_values"])
    torch.testing.assert_close(plain.sketch_features.global_embeds, retrieval.global_embeds)


def test_a_sketch_is_aligned_with_the_sentence_of_its_photo(make_model, make_batch):
    model, batch = make_model(), make_batch(2)
    before = model(**batch)
    batch["input_ids"] = batch["input_ids"].clone()
    batch["input_ids"][1] = batch["input_ids"][1].flip(0)
    after = model(**batch)
    same = [torch.equal(a, b) for a, b in zip(before.sketch_features[2], after.sketch_features[2], strict=True)]
    assert same == [True, False]
    same = [torch.equal(a, b) for a, b in zip(before.photo_features[2], after.photo_features[2], strict=True)]
    assert same == [True, False, True, True]


def test_padding_of_sentences_has_no_influence_on_the_loss(make_model, make_batch):
    model, batch = make_model(), make_batch(3)
    noisy = dict(batch, input_ids=torch.where(batch["attention_mask"] == 1, batch["input_ids"], 3))
    torch.testing.assert_close(model(**noisy).loss, model(**batch).loss)


@pytest.mark.parametrize("padding", [True, False])
def test_precomputed_sentences_give_the_same_loss(make_model, make_batch, padding):
    model, batch = make_model(), make_batch(2)
    if not padding:
        batch["attention_mask"][:] = 1
    expected = model(**batch).loss
    states = model.encode_text(batch.pop("input_ids"), batch["attention_mask"])
    if not padding:
        del batch["attention_mask"]
    torch.testing.assert_close(model(**batch, text_hidden_states=states).loss, expected)


def test_text_dropout_of_0_aligns_in_training_as_in_evaluation(make_model, make_batch):
    model, batch = make_model(text_dropout=0), make_batch(3)
    evaluated = model(**batch)
    trained = model.train()(**batch)
    assert torch.equal(trained.photo_features.last_hidden_state, evaluated.photo_features.last_hidden_state)
    assert torch.equal(trained.loss, evaluated.loss)


def test_text_dropout_drops_whole_triplets(make_model, make_batch):
    model, batch = make_model(text_dropout=0.5), make_batch(16)
    aligned, plain = model(**batch), model(**without_text(batch))
    mixed = model.train()(**batch)

    def dropped(kind: str) -> torch.Tensor:
        tokens = mixed[kind].last_hidden_state
        is_aligned = torch.isclose(tokens, aligned[kind].last_hidden_state, atol=1e-5).flatten(1).all(dim=1)
        is_plain = torch.isclose(tokens, plain[kind].last_hidden_state, atol=1e-5).flatten(1).all(dim=1)
        assert (is_aligned ^ is_plain).all()
        return is_plain

    sketches, photos = dropped("sketch_features"), dropped("photo_features")
    assert 0 < sketches.sum() < 16
    assert torch.equal(photos, torch.cat([sketches, sketches]))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("freeze_text", [True, False])
@pytest.mark.parametrize("text_dropout", [0.0, 1.0])
@pytest.mark.parametrize("negatives", ["sampled", "in_batch", "both"])
def test_every_trainable_parameter_has_a_gradient(make_model, make_batch, negatives, text_dropout, freeze_text, tied):
    model = make_model(
        negatives=negatives, text_dropout=text_dropout, freeze_text=freeze_text, tie_visual_towers=tied
    ).train()
    batch = photos_plus(make_batch(3)) if negatives == "in_batch" else make_batch(3)
    model(**batch).loss.backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert all(not p.requires_grad for p in model.text_model.parameters()) == freeze_text


def test_frozen_text_tower_stays_in_evaluation_mode(make_model, make_batch):
    model = make_model().train()
    assert model.sketch_model.training
    assert not model.text_model.training
    assert make_model(freeze_text=False).train().text_model.training


@pytest.mark.parametrize("vision", [VISION, TIMM], ids=["vit", "timm"])
def test_gradient_checkpointing_recomputes_tower_blocks_and_gives_the_same_gradients(make_model, make_batch, vision):
    model = make_model(sketch_config=dict(vision), photo_config=dict(vision), num_alignment_layers=2).train()
    linear = next(m for name, m in model.sketch_model.named_modules() if isinstance(m, nn.Linear) and ".1." in name)
    calls, batch, results = [], make_batch(2), []
    linear.register_forward_pre_hook(lambda *_: calls.append(1))
    for enable, forwards in ((True, 2), (False, 1)):
        (model.activation_checkpointing_enable if enable else model.activation_checkpointing_disable)()
        assert model.is_activation_checkpointing == enable
        calls.clear()
        model.zero_grad()
        model(**batch).loss.backward()
        assert len(calls) == forwards
        results.append(gradients(model))
    torch.testing.assert_close(*results)


def test_timm_towers_alone_can_be_checkpointed(make_model, make_batch):
    model = make_model(sketch_config=dict(TIMM), photo_config=dict(TIMM), text_config=None).train()
    model.activation_checkpointing_enable()
    assert model.sketch_model.timm_model.grad_checkpointing
    assert model.photo_model.timm_model.grad_checkpointing
    model(**without_text(make_batch(2))).loss.backward()


@pytest.mark.parametrize("text", [None, TEXT], ids=["no text", "text"])
@pytest.mark.parametrize("tower", [CONVNEXT, RESNET], ids=["convnext", "resnet"])
def test_gradient_checkpointing_of_convolutional_towers_trains_with_a_warning(
    make_model, make_batch, tower, text, caplog
):
    """A model loads, trains and gives the same gradients even if its towers support no checkpointing."""
    towers = {"sketch_config": dict(tower), "photo_config": dict(tower), "text_config": text and dict(text)}
    with caplog.at_level("WARNING"):
        model = make_model(**towers, gradient_checkpointing=True).train()
    assert f"{tower['model_type']}: this tower does not support gradient checkpointing" in caplog.text
    batch = make_batch(2) if text else without_text(make_batch(2))
    model(**batch).loss.backward()
    expected = gradients(model)
    model.zero_grad()
    model.activation_checkpointing_disable()
    model(**batch).loss.backward()
    torch.testing.assert_close(gradients(model), expected)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_finite_and_float32_under_autocast(make_model, make_batch, dtype, implementation):
    model, batch = make_model(attn_implementation=implementation, lambda_con=1, lambda_dis=1).train(), make_batch(3)
    with torch.autocast("cpu", dtype=dtype):
        output = model(**batch, photo_targets=torch.randn(6, 32))
    for loss in (output.loss, output.loss_tri, output.loss_rn, output.loss_con, output.loss_dis):
        assert loss.dtype == torch.float32
        assert loss.isfinite()
    output.loss.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_model_loads_runs_and_stays_close(make_model, make_batch, tmp_path, dtype):
    model, batch = make_model(), make_batch(2)
    model.save_pretrained(tmp_path)
    half = CaanModel.from_pretrained(tmp_path, dtype=dtype)
    assert half.dtype == dtype
    features = half.get_sketch_features(batch["sketch_pixel_values"])
    assert features.local_embeds.dtype == dtype
    assert features.global_embeds.dtype == torch.float32  # rounding would tie scores
    torch.testing.assert_close(features.global_embeds.norm(dim=-1), torch.ones(len(features.global_embeds)))
    expected = model.get_sketch_features(batch["sketch_pixel_values"]).global_embeds
    assert F.cosine_similarity(features.global_embeds.float(), expected).min() > 0.99
    output = half(**batch)
    assert output.loss.dtype == torch.float32
    assert output.loss.isfinite()


def test_attention_implementation_applies_to_all_towers_and_gives_equal_losses(make_model, make_batch, tmp_path):
    make_model().save_pretrained(tmp_path)
    batch, losses = make_batch(2), []
    for implementation in ("eager", "sdpa"):
        model = CaanModel.from_pretrained(tmp_path, attn_implementation=implementation)
        configs = (model.config, model.sketch_model.config, model.photo_model.config, model.text_model.config)
        assert {config._attn_implementation for config in configs} == {implementation}
        losses.append(model(**batch).loss)
    torch.testing.assert_close(losses[0], losses[1])


def test_saved_model_reloads_with_equal_outputs(make_model, make_batch, tmp_path):
    model, batch = make_model(projection_dim=16), make_batch(2)
    model.save_pretrained(tmp_path)
    again = CaanModel.from_pretrained(tmp_path)
    assert not again.training
    expected, output = model(**batch), again(**batch)
    assert torch.equal(output.loss, expected.loss)
    assert torch.equal(output.photo_features.local_embeds, expected.photo_features.local_embeds)


def test_tied_towers_are_saved_once_and_stay_tied(make_model, tmp_path):
    tied, separate = make_model(tie_visual_towers=True), make_model()
    tied.save_pretrained(tmp_path / "tied")
    separate.save_pretrained(tmp_path / "separate")
    size = {name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("tied", "separate")}
    tower = sum(p.nbytes for p in tied.sketch_model.parameters())
    assert size["separate"] - size["tied"] >= tower
    again, pixels = CaanModel.from_pretrained(tmp_path / "tied"), torch.randn(1, 3, 32, 32)
    expected = tied.get_photo_features(pixels).global_embeds
    assert torch.equal(again.get_photo_features(pixels).global_embeds, expected)
    assert torch.equal(again.get_sketch_features(pixels).global_embeds, expected)


def test_towers_of_different_widths_require_a_projection(make_model, make_batch):
    wide = dict(VISION, hidden_size=64)
    with pytest.raises(ValueError, match=r"sketch tower is 32 wide and the photo tower 64.*projection_dim"):
        make_model(photo_config=wide)
    model = make_model(photo_config=wide, projection_dim=16)
    assert model.get_photo_features(torch.randn(1, 3, 32, 32)).global_embeds.shape == (1, 16)
    assert math.isfinite(model(**make_batch(2)).loss.item())


def test_model_without_text_has_the_same_retrieval_features(make_model, tmp_path):
    model, pixels = make_model(), torch.randn(2, 3, 32, 32)
    expected = model.get_photo_features(pixels)
    model.save_pretrained(tmp_path / "training")
    opened = CaanModel.from_pretrained(tmp_path / "training", text_config=None)
    model.drop_text().save_pretrained(tmp_path / "retrieval")
    dropped = CaanModel.from_pretrained(tmp_path / "retrieval")
    for light in (opened, dropped):
        assert light.text_model is light.photo_alignment is light.config.text_config is None
        assert torch.equal(light.get_photo_features(pixels).global_embeds, expected.global_embeds)
        assert torch.equal(light.get_photo_features(pixels).local_embeds, expected.local_embeds)
        names = [name for name, _ in light.named_parameters()]
        assert not [name for name in names if "text" in name or "alignment" in name]


@pytest.mark.parametrize("text", [TEXT, dict(TEXT, model_type="clip_text_model", eos_token_id=2, bos_token_id=1)])
def test_text_tower_may_be_any_encoder(make_model, make_batch, text):
    model = make_model(text_config=dict(text)).train()
    output = model(**make_batch(2))
    output.loss.backward()
    assert output.loss.isfinite()


def test_small_model_overfits_one_batch(make_model, make_batch):
    model = make_model(lambda_con=1).train()
    optimizer, batch = torch.optim.Adam(model.parameters(), lr=3e-3), make_batch(4)
    losses = []
    for _ in range(25):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_half_precision_model_scores_stored_float32_embeddings(make_model):
    model = make_model()
    size = model.config.num_local_tokens, model.config.local_dim
    sketches, photos = torch.randn(2, *size), torch.randn(3, *size)
    expected = model.get_local_scores(sketches, photos)
    half = model.half()
    assert torch.allclose(half.get_local_scores(sketches, photos).float(), expected, atol=0.02)
    paired = half.get_paired_local_scores(sketches, photos.expand(2, *photos.shape))
    assert torch.allclose(paired.float(), expected, atol=0.02)


def test_late_interaction_cannot_project_to_more_values_than_a_token_has(make_model):
    late = {"local_matching": "late_interaction", "text_config": None}
    assert make_model(**late, local_dim=32).local_shape[1] == 32
    with pytest.raises(ValueError, match=r"local_dim must be at most the width of the tokens, 32, got 33"):
        make_model(**late, local_dim=33)
