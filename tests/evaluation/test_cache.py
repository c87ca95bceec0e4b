"""What was encoded once is found again by content, and nothing else is."""

import shutil
import warnings

import datasets
import pytest
import torch
from PIL import Image

from caan_hf import CaanError
from caan_hf.evaluation import cache as cache_module
from caan_hf.evaluation.cache import EmbeddingCache
from caan_hf.evaluation.embedding import embed_images
from caan_hf.evaluation.image_hashes import image_hashes


@pytest.fixture
def photos(split):
    return split.select([row for row, modality in enumerate(split["modality"]) if modality == 1])


@pytest.fixture
def model(tiny_caan, monkeypatch):
    """The tiny model, and how many images each of its encoder calls was given."""
    model, processor = tiny_caan
    calls = []
    encode = model.get_photo_features

    def counted(pixel_values, **rest):
        calls.append(len(pixel_values))
        return encode(pixel_values, **rest)

    monkeypatch.setattr(model, "get_photo_features", counted)
    return model, processor, calls


def embed(cache, model, photos, **options):
    return cache.embed(*model[:2], photos, image_hashes(photos, progress=False), "photo", progress=False, **options)


def test_the_second_time_costs_no_forward_pass(tmp_path, model, photos):
    expected = embed_images(*model[:2], photos, "photo", local=True, progress=False)
    model[2].clear()
    first = embed(EmbeddingCache(tmp_path), model, photos, local=True)
    assert sum(model[2]) == len(photos)
    again = embed(EmbeddingCache(tmp_path), model, photos, local=True)
    assert sum(model[2]) == len(photos)
    for found in (first, again):
        assert torch.equal(found.global_embeds, expected.global_embeds)
        assert torch.equal(found.local_embeds[:], expected.local_embeds)


def test_local_embeddings_are_read_by_row(tmp_path, model, photos, monkeypatch):
    monkeypatch.setattr(cache_module, "IMAGES_A_SHARD", 4)  # so that rows lie in several files
    found = embed(EmbeddingCache(tmp_path), model, photos, local=True, batch_size=3).local_embeds
    expected = embed_images(*model[:2], photos, "photo", local=True, progress=False).local_embeds
    rows = torch.tensor([[7, 0, 19], [3, 3, 11]])
    torch.testing.assert_close(found[rows], expected[rows])
    assert found.shape == expected.shape
    torch.testing.assert_close(found[5:9], expected[5:9])


def test_only_new_images_are_encoded_in_any_order(tmp_path, model, photos):
    cache = EmbeddingCache(tmp_path)
    embed(cache, model, photos.select(range(12)))
    model[2].clear()
    order = torch.randperm(len(photos)).tolist()
    found = embed(cache, model, photos.select(order))
    assert sum(model[2]) == len(photos) - 12
    expected = embed_images(*model[:2], photos, "photo", progress=False).global_embeds
    torch.testing.assert_close(found.global_embeds, expected[order])


def test_one_content_is_encoded_once(tmp_path, model, photos):
    twice = datasets.concatenate_datasets([photos.select([4]), photos.select([4, 5])])
    found = embed(EmbeddingCache(tmp_path), model, twice)
    assert sum(model[2]) == 2
    assert torch.equal(found.global_embeds[0], found.global_embeds[1])


def test_another_model_is_another_encoder(tmp_path, model, photos, make_model):
    embed(EmbeddingCache(tmp_path), model, photos)
    other = make_model(text_config=None)
    expected = embed_images(other, model[1], photos, "photo", progress=False).global_embeds
    found = embed(EmbeddingCache(tmp_path), (other, model[1]), photos).global_embeds
    assert torch.equal(found, expected)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_processor_is_another_encoder(tmp_path, model, photos, processor):
    embed(EmbeddingCache(tmp_path), model, photos)
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    expected = embed_images(model[0], processor, photos, "photo", progress=False).global_embeds
    found = embed(EmbeddingCache(tmp_path), (model[0], processor), photos).global_embeds
    assert torch.equal(found, expected)


def test_global_embeddings_do_not_stand_in_for_local_ones(tmp_path, model, photos):
    cache = EmbeddingCache(tmp_path)
    embed(cache, model, photos)
    assert embed(cache, model, photos, local=True).local_embeds.shape[0] == len(photos)
    model[2].clear()
    embed(cache, model, photos)
    assert not model[2]
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 1  # what holds no more than another file is gone


def test_it_may_be_deleted_at_any_time(tmp_path, model, photos, monkeypatch):
    encode = model[0].get_photo_features

    def deleting(pixel_values, **rest):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return encode(pixel_values, **rest)

    monkeypatch.setattr(model[0], "get_photo_features", deleting)
    found = embed(EmbeddingCache(tmp_path / "cache"), model, photos)
    assert torch.equal(found.global_embeds, embed_images(*model[:2], photos, "photo", progress=False).global_embeds)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "not safetensors"])
def test_a_broken_or_foreign_shard_is_made_again(tmp_path, model, photos, damage, make_model):
    cache = EmbeddingCache(tmp_path)
    expected = embed(cache, model, photos).global_embeds
    (shard,) = tmp_path.glob("*/*.safetensors")
    content = bytearray(shard.read_bytes())
    if damage == "cut":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[-1] ^= 1
        shard.write_bytes(content)
    elif damage == "foreign":
        embed(EmbeddingCache(tmp_path / "other"), (make_model(text_config=None), model[1]), photos)
        (foreign,) = (tmp_path / "other").glob("*/*.safetensors")
        shard.unlink()
        shard = foreign.rename(shard.parent / foreign.name)
    else:
        shard.write_bytes(b"nonsense")
    model[2].clear()
    with pytest.warns(UserWarning, match="broken or foreign embeddings, made again"):
        found = embed(cache, model, photos).global_embeds
    assert torch.equal(found, expected)
    assert sum(model[2]) == len(photos)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(cache, model, photos)


def test_what_is_done_outlives_a_stop(tmp_path, model, photos, monkeypatch):
    monkeypatch.setattr(cache_module, "IMAGES_A_SHARD", 4)
    encode = model[0].get_photo_features

    def stopped(pixel_values, **rest):
        if sum(model[2]) >= 8:
            raise KeyboardInterrupt
        return encode(pixel_values, **rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(model[0], "get_photo_features", stopped)
        embed(EmbeddingCache(tmp_path), model, photos, batch_size=4)
    model[2].clear()
    embed(EmbeddingCache(tmp_path), model, photos, batch_size=4)
    assert sum(model[2]) == len(photos) - 8


def test_a_row_without_an_image_is_named(photos):
    rows = photos.to_list()
    rows[3]["image"] = None
    broken = datasets.Dataset.from_list(rows, features=photos.features)
    with pytest.raises(CaanError, match="a row without an image"):
        image_hashes(broken, progress=False)


def test_a_place_that_cannot_be_written_is_named(tmp_path, model, photos):
    (tmp_path / "file").touch()
    with pytest.raises(CaanError, match=r"cannot be cached there .* --no-cache"):
        embed(EmbeddingCache(tmp_path / "file"), model, photos)


def test_hashes_are_of_the_content(photos, tmp_path):
    hashes = image_hashes(photos, progress=False)
    assert hashes.shape == (len(photos), 32)
    assert len({digest.numpy().tobytes() for digest in hashes}) == len(photos)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    files = {"image": [str(tmp_path / "a.png"), str(tmp_path / "b.png")]}
    referenced = datasets.Dataset.from_dict(files).cast_column("image", datasets.Image())
    found = image_hashes(referenced, progress=False)
    assert torch.equal(found[0], found[1])
    (tmp_path / "b.png").unlink()
    with pytest.raises(CaanError, match=r"b\.png: the benchmark refers to this image, which cannot be read"):
        image_hashes(referenced, progress=False)
