"""Unknown, missing and contradictory arguments are refused, and named in the message."""

import pytest
import torch
from batches import photos_plus, without_text

from caan_hf import CaanModel


@pytest.mark.parametrize(
    ("method", "inputs", "unknown", "valid"),
    [
        ("get_sketch_features", {"pixel_values": torch.zeros(1, 3, 32, 32)}, "sketches", "pixel_values"),
        ("get_photo_features", {"pixel_values": torch.zeros(1, 3, 32, 32)}, "input_ids", "pixel_values"),
        ("get_text_features", {"input_ids": torch.tensor([[1]])}, "mask", "attention_mask"),
        ("forward", {"pixel_values": torch.zeros(1, 3, 32, 32)}, "labels", "category_ids"),
    ],
)
def test_unknown_argument_of_the_model_is_refused_with_the_valid_ones(make_model, method, inputs, unknown, valid):
    with pytest.raises(TypeError, match=rf"{method}: unsupported argument {unknown}\..*{valid}"):
        getattr(make_model(), method)(**inputs, **{unknown: torch.ones(1)})


@pytest.mark.parametrize(("unknown", "valid"), [("photo", "photos"), ("text", "texts"), ("padding", "sketches")])
def test_unknown_argument_of_the_processor_is_refused_with_the_valid_ones(processor, sketch, unknown, valid):
    with pytest.raises(TypeError, match=rf"unsupported argument {unknown}\..*{valid}"):
        processor(sketches=sketch, **{unknown: "a"})


@pytest.mark.parametrize("name", ["output_attentions", "output_hidden_states", "return_dict"])
def test_common_transformers_arguments_are_accepted_with_the_supported_value_only(make_model, name):
    model, pixels, supported = make_model(), torch.zeros(1, 3, 32, 32), name == "return_dict"
    expected = model(pixel_values=pixels).global_embeds
    for value in (None, supported):
        assert torch.equal(model(pixel_values=pixels, **{name: value}).global_embeds, expected)
    with pytest.raises(TypeError, match=name):
        model(pixel_values=pixels, **{name: not supported})


def test_missing_images_are_refused(make_model, make_batch):
    for name in ("sketch_pixel_values", "photo_pixel_values"):
        batch = make_batch(2)
        del batch[name]
        with pytest.raises(ValueError, match=name):
            make_model()(**batch)


@pytest.mark.parametrize("other", ["category_ids", "sketch_pixel_values"])
def test_pixel_values_cannot_be_combined_with_other_inputs(make_model, make_batch, other):
    batch = make_batch(2)
    with pytest.raises(ValueError, match="cannot be combined"):
        make_model()(pixel_values=batch["photo_pixel_values"], **{other: batch[other]})


@pytest.mark.parametrize("name", ["category_ids", "input_ids", "attention_mask", "text_hidden_states", "photo_targets"])
def test_inputs_with_another_number_of_rows_than_photos_are_refused(make_model, make_batch, name):
    batch = make_batch(2) | {name: torch.ones(3, 6, dtype=torch.long)}
    with pytest.raises(ValueError, match=rf"{name} must have one row per photo, 4, got 3"):
        make_model()(**batch)


def test_ids_and_hidden_states_of_sentences_are_mutually_exclusive(make_model, make_batch):
    with pytest.raises(ValueError, match="mutually exclusive"):
        make_model()(**make_batch(2), text_hidden_states=torch.zeros(4, 6, 24))


@pytest.mark.parametrize("alignment", ["text", "visual"])
def test_sampled_negatives_require_two_photos_per_sketch(make_model, make_batch, alignment):
    model = make_model(text_config=None, alignment=alignment)
    with pytest.raises(ValueError, match="a photo- for each of 3 sketches, got 3"):
        model(**photos_plus(without_text(make_batch(3))))


def test_in_batch_negatives_require_one_or_two_photos_per_sketch(make_model, make_batch):
    batch = without_text(make_batch(4))
    batch["sketch_pixel_values"] = batch["sketch_pixel_values"][:3]
    with pytest.raises(ValueError, match=r"3 sketches require a photo.*got 8"):
        make_model(negatives="both")(**batch)


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({"lambda_txt": 1}, "input_ids"),
        ({"lambda_txt": 1, "text_config": None}, "input_ids"),
        ({"lambda_dis": 1}, "photo_targets"),
        ({"lambda_ins": 1, "instance_score": "global"}, "instance_ids"),
    ],
)
def test_losses_without_their_inputs_are_refused_in_training_and_skipped_in_evaluation(
    make_model, make_batch, config, missing
):
    model, batch = make_model(**config), without_text(make_batch(2))
    output = model(**batch)
    assert output.loss_txt is output.loss_dis is output.loss_ins is None
    with pytest.raises(ValueError, match=rf"lambda_\w+ > 0 requires {missing}"):
        model.train()(**batch)


def test_text_loss_without_a_text_backbone_is_refused():
    with pytest.raises(ValueError, match="lambda_txt requires a text tower"):
        CaanModel.from_backbones("unused", lambda_txt=0.5)


def test_model_trained_with_the_text_loss_opens_for_retrieval(make_model, tmp_path):
    make_model(lambda_txt=1).drop_text().save_pretrained(tmp_path)
    assert CaanModel.from_pretrained(tmp_path).config.lambda_txt == 1


def test_model_without_text_tower_refuses_sentences(make_model, make_batch):
    model, batch = make_model(text_config=None), make_batch(2)
    with pytest.raises(ValueError, match="no text tower"):
        model.get_text_features(torch.tensor([[1]]))
    with pytest.raises(ValueError, match="no text tower"):
        model(**batch)
    with pytest.raises(ValueError, match="no text tower"):
        model(**without_text(batch), text_hidden_states=torch.zeros(4, 6, 24))
