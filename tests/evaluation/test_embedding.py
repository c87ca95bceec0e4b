"""Each image is encoded once, in order; an image that cannot be used is named."""

import io

import datasets
import pytest
import torch
from PIL import Image

from caan_hf import CaanError
from caan_hf.evaluation.embedding import embed_images


def only(split, modality):
    wanted = split.features["modality"].str2int(modality)
    return split.select([row for row, value in enumerate(split["modality"]) if value == wanted])


@pytest.mark.parametrize("modality", ["sketch", "photo"])
def test_equals_the_model_called_by_hand(tiny_caan, split, modality):
    model, processor = tiny_caan
    images = only(split, modality)
    found = embed_images(model, processor, images, modality, batch_size=5, local=True)
    if modality == "sketch":
        output = model.get_sketch_features(**processor(sketches=list(images["image"])))
    else:
        output = model.get_photo_features(**processor(photos=list(images["image"])))
    torch.testing.assert_close(found.global_embeds, output.global_embeds)
    assert found.local_embeds.dtype == torch.float16
    torch.testing.assert_close(found.local_embeds, output.local_embeds.half())
    assert not found.global_embeds.requires_grad


def test_workers_and_mixed_precision_change_little(tiny_caan, split):
    images = only(split, "photo")
    plain = embed_images(*tiny_caan, images, "photo")
    workers = embed_images(*tiny_caan, images, "photo", num_workers=1, batch_size=3)
    mixed = embed_images(*tiny_caan, images, "photo", dtype=torch.bfloat16)
    assert plain.local_embeds is None
    torch.testing.assert_close(workers.global_embeds, plain.global_embeds)
    assert mixed.global_embeds.dtype == torch.float32
    torch.testing.assert_close(mixed.global_embeds, plain.global_embeds, atol=0.05, rtol=0)


def test_leaves_the_model_in_its_mode(tiny_caan, split):
    model, processor = tiny_caan
    model.train()
    try:
        embed_images(model, processor, only(split, "photo"), "photo")
        assert model.training
    finally:
        model.eval()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_names_a_blank_sketch(tiny_caan, split, split_rows, num_workers):
    rows = [row for row in split_rows if row["modality"] == 0]
    rows[4] = rows[4] | {"image": Image.new("L", (32, 32), 255)}
    images = datasets.Dataset.from_list(rows, features=split.features)
    with pytest.raises(CaanError) as error:
        embed_images(*tiny_caan, images, "sketch", num_workers=num_workers)
    assert str(error.value).startswith(f"{rows[4]['source']}: ")
    assert "\n" not in str(error.value)


def test_names_a_damaged_file(tiny_caan, split):
    rows = only(split, "photo").cast_column("image", datasets.Image(decode=False)).to_list()
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole, "JPEG")
    rows[2]["image"] = {"bytes": whole.getvalue()[:300], "path": None}
    rows[3]["image"] = {"bytes": b"not an image", "path": None}
    images = datasets.Dataset.from_list(rows, features=split.features)
    with pytest.raises(CaanError, match=f"^{rows[2]['source']}: the image cannot be read"):
        embed_images(*tiny_caan, images, "photo")
    with pytest.raises(CaanError, match=f"^{rows[3]['source']}: the image cannot be read"):
        embed_images(*tiny_caan, images.select([3]), "photo")


def test_refuses_a_model_that_diverged(tiny_caan, split):
    class Diverged(torch.nn.Linear):
        def get_photo_features(self, pixel_values):
            return tiny_caan[0].get_photo_features(pixel_values * torch.nan)

    with pytest.raises(CaanError, match="photo embeddings hold NaN"):
        embed_images(Diverged(1, 1), tiny_caan[1], only(split, "photo"), "photo")
