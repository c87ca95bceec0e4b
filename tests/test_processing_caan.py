import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny import IMAGE_SIZE
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoImageProcessor, AutoProcessor, PreTrainedTokenizerFast, ViTImageProcessor

from caan_hf import CaanProcessor

WORDS = ["[PAD]", "[UNK]", "a", "long", "animal", "with", "big", "ears", "and", "tail"]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture
def text_processor(processor, tokenizer) -> CaanProcessor:
    return CaanProcessor(processor.image_processor, tokenizer, sketch_margin=0.2, max_text_length=5)


def test_one_modality_gives_pixel_values(processor, sketch, photo):
    for inputs in (processor(sketches=sketch), processor(photos=photo), processor(images=[photo])):
        assert list(inputs) == ["pixel_values"]
        assert inputs["pixel_values"].shape == (1, 3, IMAGE_SIZE, IMAGE_SIZE)


def test_both_modalities_give_one_tensor_each(processor, sketch, photo):
    inputs = processor(sketches=[sketch] * 2, photos=[photo] * 3)
    assert {name: len(value) for name, value in inputs.items()} == {"sketch_pixel_values": 2, "photo_pixel_values": 3}
    assert torch.equal(inputs["sketch_pixel_values"], processor(sketches=[sketch] * 2)["pixel_values"])
    assert torch.equal(inputs["photo_pixel_values"], processor(photos=[photo] * 3)["pixel_values"])


def test_pixels_are_the_cleaned_image_resized_and_normalised(processor, sketch):
    clean = processor.clean_sketch(sketch).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(clean)).permute(2, 0, 1) / 127.5 - 1
    given = processor(sketches=sketch)["pixel_values"][0]
    assert (given - expected).abs().mean() < 0.05


def test_photos_of_any_size_and_kind_share_a_batch(processor, photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    array = np.asarray(photo)
    batch = processor(photos=[photo, str(tmp_path / "photo.png"), tmp_path / "photo.png", array, array / 255.0])
    assert batch["pixel_values"].shape[0] == 5
    for pixels in batch["pixel_values"][1:]:
        torch.testing.assert_close(pixels, batch["pixel_values"][0], rtol=0, atol=0.02)
    mixed = processor(photos=[photo, photo.convert("L"), photo.convert("RGBA"), photo.resize((3, 400))])
    assert mixed["pixel_values"].shape == (4, 3, IMAGE_SIZE, IMAGE_SIZE)


def test_position_of_a_sketch_on_the_page_does_not_matter(processor, sketch):
    page = Image.new("RGB", (300, 300), "white")
    page.paste(sketch, (150, 20))
    moved, first = processor(sketches=[page, sketch])["pixel_values"]
    torch.testing.assert_close(moved, first)


def test_unreadable_image_in_a_batch_is_named(processor, sketch, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.png"):
        processor(sketches=[sketch, tmp_path / "bad.png"])


@pytest.mark.parametrize("inputs", [{}, {"sketches": []}, {"photos": []}, {"texts": []}])
def test_missing_or_empty_input_is_refused(text_processor, inputs):
    with pytest.raises(ValueError, match="Give at least one"):
        text_processor(**inputs)


def test_texts_are_padded_to_the_longest_and_truncated(text_processor):
    inputs = text_processor(texts=["a tail", "a long animal"])
    assert inputs["input_ids"].tolist() == [[2, 9, 0], [2, 3, 4]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert text_processor(texts=" ".join(["a"] * 20))["input_ids"].shape == (1, 5)


def test_only_pytorch_tensors_are_returned(processor, sketch, photo):
    for supported in ("pt", None):
        assert isinstance(processor(sketches=sketch, return_tensors=supported)["pixel_values"], torch.Tensor)
    with pytest.raises(ValueError, match=r"return_tensors=.np. is not supported"):
        processor(sketches=sketch, return_tensors="np")


def test_images_and_photos_cannot_be_combined(processor, photo):
    with pytest.raises(ValueError, match="photos and images are aliases"):
        processor(photos=photo, images=photo)


def test_processor_without_tokenizer_refuses_texts(processor):
    with pytest.raises(ValueError, match="no tokenizer"):
        processor(texts="a tail")


def test_saved_processor_reloads_equal(text_processor, sketch, photo, tmp_path):
    text_processor.save_pretrained(tmp_path)
    again = CaanProcessor.from_pretrained(tmp_path)
    assert (again.sketch_margin, again.max_text_length) == (0.2, 5)
    given = {"sketches": sketch, "photos": photo, "texts": "a long animal with big ears"}
    for name, value in text_processor(**given).items():
        assert torch.equal(again(**given)[name], value)


def test_processor_without_tokenizer_saves_no_tokenizer_files_and_reloads(text_processor, sketch, tmp_path):
    text_processor.drop_text().save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "token" in path.name] == []
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is CaanProcessor
    assert again.tokenizer is None
    assert (again.sketch_margin, again.max_text_length) == (0.2, 5)
    assert torch.equal(again(sketches=sketch)["pixel_values"], text_processor(sketches=sketch)["pixel_values"])
    again.save_pretrained(tmp_path / "again")
    assert AutoProcessor.from_pretrained(tmp_path / "again").sketch_margin == 0.2


def test_image_processor_loads_with_its_own_auto_class(processor, photo, tmp_path):
    processor.save_pretrained(tmp_path)
    alone = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(alone) is type(processor.image_processor)
    pixels = alone(photo, return_tensors="pt")["pixel_values"]
    assert torch.equal(pixels, processor(photos=photo)["pixel_values"])


def test_size_can_be_changed_and_is_saved(processor, photo, tmp_path):
    assert processor.at_size(48)(photos=photo)["pixel_values"].shape == (1, 3, 48, 48)
    processor.save_pretrained(tmp_path)
    assert CaanProcessor.from_pretrained(tmp_path)(photos=photo)["pixel_values"].shape == (1, 3, 48, 48)


def test_cropping_image_processor_gives_the_requested_size(photo, tmp_path):
    transformers.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size=40).save_pretrained(tmp_path)
    processor = CaanProcessor.from_backbones(str(tmp_path), image_size=24, sketch_margin=0.3)
    assert processor(photos=photo)["pixel_values"].shape == (1, 3, 24, 24)
    assert processor.sketch_margin == 0.3
    native = CaanProcessor.from_backbones(str(tmp_path))
    assert native(photos=photo)["pixel_values"].shape == (1, 3, 40, 40)


def test_processor_has_the_tokenizer_of_the_text_backbone(tokenizer, tmp_path):
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    processor = CaanProcessor.from_backbones(str(tmp_path), str(tmp_path))
    assert processor(texts="a tail")["input_ids"].tolist() == [[2, 9]]


def test_timm_backbone_gets_an_image_processor_that_can_be_saved(photo, tmp_path):
    config = {
        "architecture": "test_vit",
        "num_classes": 10,
        "model_type": "timm_wrapper",
        "pretrained_cfg": {
            "input_size": [3, 40, 40],
            "interpolation": "bicubic",
            "mean": [0.1, 0.2, 0.3],
            "std": [0.5, 0.6, 0.7],
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    processor = CaanProcessor.from_backbones(str(tmp_path), image_size=IMAGE_SIZE)
    flat = processor(photos=np.full((9, 9, 3), 255, np.uint8))["pixel_values"]
    expected = (1 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.6, 0.7])
    torch.testing.assert_close(flat, expected.view(1, 3, 1, 1).expand(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    processor.save_pretrained(tmp_path / "saved")
    again = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert torch.equal(again(photos=photo)["pixel_values"], processor(photos=photo)["pixel_values"])
    native = CaanProcessor.from_backbones(str(tmp_path))
    assert native(photos=photo)["pixel_values"].shape == (1, 3, 40, 40)


def test_outputs_are_the_inputs_of_the_model(processor, make_model, sketch, photo):
    model = make_model(text_config=None)
    queries = model.get_sketch_features(**processor(sketches=[sketch]))
    gallery = model.get_photo_features(**processor(photos=[photo, photo]))
    assert (queries.global_embeds @ gallery.global_embeds.T).shape == (1, 2)
    assert model.get_local_scores(queries.local_embeds, gallery.local_embeds).shape == (1, 2)
