"""Embeddings that were encoded once are found again by encoder and content, and nothing else is."""

import logging
import shutil

import numpy as np
import pytest

from caan_hf.encoding import cache as cache_module
from caan_hf.encoding.cache import EmbeddingCache
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.errors import CaanError


@pytest.fixture
def photos(split):
    return split.select([row for row, modality in enumerate(split["modality"]) if modality == 1])


@pytest.fixture
def encoder(tiny_caan, monkeypatch):
    """The tiny model as an encoder that counts the images per call in `encoder.calls`."""
    encoder = CheckpointEncoder(*tiny_caan)
    encode, encoder.calls = encoder.encode_prepared, []

    def counted(pixel_values, modality):
        encoder.calls.append(len(pixel_values))
        return encode(pixel_values, modality)

    monkeypatch.setattr(encoder, "encode_prepared", counted)
    return encoder


def encode(folder, encoder, rows, **options):
    pictures = DatasetPictures(rows)
    return EmbeddingCache(folder).encode(encoder, pictures, pictures.hashes(progress=False), "photo", **options)


def without_cache(encoder, rows, **options):
    return encoder.encode(list(DatasetPictures(rows)), "photo", **options)


def test_second_time_encodes_nothing(tmp_path, encoder, photos):
    expected = without_cache(encoder, photos)
    encoder.calls.clear()
    for _ in range(2):
        found = encode(tmp_path, encoder, photos, local=True)
        assert sum(encoder.calls) == len(photos)
        np.testing.assert_array_equal(found.global_embeds, expected.global_embeds)
        np.testing.assert_array_equal(found.local_embeds[:], expected.local_embeds.astype(np.float16))


def test_local_embeddings_are_read_by_row_from_several_files(tmp_path, encoder, photos, monkeypatch):
    monkeypatch.setattr(cache_module, "IMAGES_PER_SHARD", 4)
    found = encode(tmp_path, encoder, photos, local=True, batch_size=3).local_embeds
    expected = without_cache(encoder, photos, batch_size=3).local_embeds.astype(np.float16)
    assert len(list(tmp_path.glob("*/*.safetensors"))) > 3
    assert found.shape == expected.shape
    for rows in (np.array([[7, 0, 19], [3, 3, 11]]), slice(5, 9)):
        np.testing.assert_array_equal(found[rows], expected[rows])


def test_only_new_images_are_encoded_whatever_their_order(tmp_path, encoder, photos):
    encode(tmp_path, encoder, photos.select(range(12)))
    encoder.calls.clear()
    order = np.random.default_rng(0).permutation(len(photos))
    found = encode(tmp_path, encoder, photos.select(order))
    assert sum(encoder.calls) == len(photos) - 12
    np.testing.assert_allclose(found.global_embeds, without_cache(encoder, photos).global_embeds[order], atol=1e-6)


def test_equal_content_is_encoded_once(tmp_path, encoder, photos):
    found = encode(tmp_path, encoder, photos.select([4, 4, 5]))
    assert sum(encoder.calls) == 2
    np.testing.assert_array_equal(found.global_embeds[0], found.global_embeds[1])


@pytest.mark.parametrize("change", ["weights", "processor", "precision"])
def test_another_encoder_has_its_own_embeddings(tmp_path, encoder, photos, make_model, processor, change):
    encode(tmp_path, encoder, photos)
    model, given = encoder.model, encoder.processor
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    others = {
        "weights": CheckpointEncoder(make_model(text_config=None), given),
        "processor": CheckpointEncoder(model, processor),
        "precision": CheckpointEncoder(model, given, dtype="bfloat16"),
    }
    found = encode(tmp_path, others[change], photos).global_embeds
    np.testing.assert_array_equal(found, without_cache(others[change], photos).global_embeds)
    assert len(list(tmp_path.iterdir())) == 2


def test_global_embeddings_are_superseded_by_local_ones(tmp_path, encoder, photos):
    encode(tmp_path, encoder, photos)
    assert encode(tmp_path, encoder, photos, local=True).local_embeds.shape[0] == len(photos)
    encoder.calls.clear()
    encode(tmp_path, encoder, photos)
    assert not encoder.calls
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 1


def test_folder_may_be_deleted_at_any_time(tmp_path, encoder, photos, monkeypatch):
    encode_prepared = encoder.encode_prepared

    def deleting(pixel_values, modality):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return encode_prepared(pixel_values, modality)

    monkeypatch.setattr(encoder, "encode_prepared", deleting)
    found = encode(tmp_path / "cache", encoder, photos)
    np.testing.assert_array_equal(found.global_embeds, without_cache(encoder, photos).global_embeds)


def test_a_temporary_file_that_vanishes_is_ignored(tmp_path, encoder, photos):
    encode(tmp_path, encoder, photos.select(range(2)))
    (folder,) = tmp_path.iterdir()
    (folder / ".writing-of-another-process").symlink_to("gone")
    encode(tmp_path, encoder, photos)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "not safetensors"])
def test_damaged_shard_is_computed_again(tmp_path, encoder, photos, damage, make_model, caplog):
    expected = encode(tmp_path, encoder, photos).global_embeds
    (shard,) = tmp_path.glob("*/*.safetensors")
    content = bytearray(shard.read_bytes())
    if damage == "truncated":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[-1] ^= 1
        shard.write_bytes(content)
    elif damage == "foreign":
        encode(tmp_path / "other", CheckpointEncoder(make_model(text_config=None), encoder.processor), photos)
        (foreign,) = (tmp_path / "other").glob("*/*.safetensors")
        shard.unlink()
        foreign.rename(shard.parent / foreign.name)
    else:
        shard.write_bytes(b"nonsense")
    encoder.calls.clear()
    with caplog.at_level(logging.WARNING):
        found = encode(tmp_path, encoder, photos).global_embeds
    assert "damaged embeddings are computed again" in caplog.text
    np.testing.assert_array_equal(found, expected)
    assert sum(encoder.calls) == len(photos)
    caplog.clear()
    encode(tmp_path, encoder, photos)
    assert not caplog.text


def test_encoded_images_outlive_an_interruption(tmp_path, encoder, photos, monkeypatch):
    monkeypatch.setattr(cache_module, "IMAGES_PER_SHARD", 4)
    encode_prepared = encoder.encode_prepared

    def interrupted(pixel_values, modality):
        if sum(encoder.calls) >= 8:
            raise KeyboardInterrupt
        return encode_prepared(pixel_values, modality)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(encoder, "encode_prepared", interrupted)
        encode(tmp_path, encoder, photos, batch_size=4)
    encoder.calls.clear()
    encode(tmp_path, encoder, photos, batch_size=4)
    assert sum(encoder.calls) == len(photos) - 8


def test_unwritable_folder_is_named(tmp_path, encoder, photos):
    (tmp_path / "file").touch()
    with pytest.raises(CaanError, match=r"cannot be cached there .*--no-cache"):
        encode(tmp_path / "file", encoder, photos)
