"""What every encoder offers: one call, lists, streams with errors, and sketches that are opened and cleaned once."""

import itertools
import json
import struct

import numpy as np
import pytest
from PIL import Image

from caan_hf.encoding.encoder import Encoder, Picture
from caan_hf.encoding.features import Features
from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.errors import CaanError
from caan_hf.images_caan import clean_photo
from caan_hf.sketches_caan import clean_sketch


class MeanColour(Encoder):
    """Encodes a picture as the direction of its mean colour."""

    name = "mean-colour"
    identity = EncoderIdentity("w", "c", "p", "float32", 4, 3, (1, 3))

    def __init__(self, poison=False):
        self.poison = poison
        self.batches = []
        self.cleaned = 0

    def clean_sketch(self, sketch, name=None):
        self.cleaned += 1
        return clean_sketch(sketch, 0.1, name)

    def prepare(self, image, modality, name=None):
        image = image if modality == "sketch" else clean_photo(image, name)
        return np.moveaxis(np.asarray(image.resize((4, 4)), np.float32), -1, 0)

    def encode_prepared(self, pixel_values, modality):
        self.batches.append(len(pixel_values))
        means = pixel_values.mean((2, 3))
        vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
        return Features(vectors * np.float32(np.nan if self.poison else 1), vectors[:, None])


def photo(colour):
    return Image.new("RGB", (8, 6), colour)


@pytest.fixture
def sketch():
    image = Image.new("L", (40, 40), 255)
    image.paste(0, (10, 10, 30, 14))
    return image


def test_one_picture_and_a_list_give_arrays_of_unit_vectors():
    encoder = MeanColour()
    np.testing.assert_allclose(encoder.encode_photos(photo("red")), [[1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(encoder.encode_photos([photo("red"), photo("blue")]), [[1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_batch_size_does_not_change_the_result():
    pictures = [photo((n * 7 % 256, n * 13 % 256, 90)) for n in range(23)]
    encoder = MeanColour()
    whole = encoder.encode(pictures, "photo", batch_size=100)
    parts = encoder.encode(pictures, "photo", batch_size=5, workers=3)
    np.testing.assert_array_equal(whole.global_embeds, parts.global_embeds)
    np.testing.assert_array_equal(whole.local_embeds, parts.local_embeds)
    assert encoder.batches == [23, 5, 5, 5, 5, 3]
    assert encoder.encode(pictures[0], "photo", local=False).local_embeds is None


def test_unreadable_picture_is_named(tmp_path):
    (tmp_path / "damaged.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"damaged\.jpg"):
        MeanColour().encode_photos([photo("red"), tmp_path / "damaged.jpg"])
    with pytest.raises(ValueError, match=r"folder/x\.jpg"):
        MeanColour().encode_photos(Picture(b"no picture", "folder/x.jpg"))
    with pytest.raises(ValueError, match="no photos"):
        MeanColour().encode_photos([])


def test_stream_skips_and_lists_what_cannot_be_read():
    pictures = [photo("red"), b"no picture", photo("blue"), b"", photo("red")]
    batches = list(MeanColour().stream(pictures, "photo", batch_size=2, on_error="skip"))
    assert [len(batch.sources) for batch in batches] == [1, 1, 1]
    skipped = [(source, reason) for batch in batches for source, reason in batch.skipped]
    assert [source for source, _ in skipped] == [b"no picture", b""]
    assert all(reason for _, reason in skipped)
    assert sum(len(batch.features.global_embeds) for batch in batches) == 3
    (batch,) = MeanColour().stream([b"x", b"y"], "photo", on_error="skip")
    assert batch.features.global_embeds.shape == (0, 3)


class Damaged:
    """A picture whose decoder raises an exception of any class."""

    def __init__(self, error):
        self.error = error

    def __array__(self, *arguments, **options):
        raise self.error


@pytest.mark.parametrize("modality", ["sketch", "photo"])
@pytest.mark.parametrize("error", [SyntaxError, struct.error, KeyError, MemoryError, AssertionError])
def test_whatever_a_decoder_raises_skips_one_picture(sketch, modality, error):
    good = sketch if modality == "sketch" else photo("red")
    (batch,) = MeanColour().stream([good, Damaged(error("odd")), good], modality, on_error="skip")
    assert len(batch.sources) == 2
    ((_, reason),) = batch.skipped
    assert "not a picture that can be read" in reason


def test_stream_reads_an_endless_source_in_bounded_memory():
    taken = itertools.count()
    source = (photo("red") for _ in iter(lambda: next(taken), None))
    next(MeanColour().stream(source, "photo", batch_size=4))
    assert next(taken) <= 4 * 3


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"batch_size": 0}])
def test_unknown_options_are_errors(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        next(MeanColour().stream([photo("red")], "photo", **options))


def test_nan_is_refused():
    with pytest.raises(CaanError, match="photo embeddings hold NaN"):
        MeanColour(poison=True).encode_photos(photo("red"))


def test_sketch_is_cleaned_once_and_encoded_as_in_a_list(sketch):
    encoder = MeanColour()
    encoded = encoder.encode_sketch(sketch)
    assert encoder.cleaned == 1
    assert encoder.encode_sketch(encoded) is encoded
    assert encoder.cleaned == 1
    np.testing.assert_array_equal(encoded.global_embeds, encoder.encode_sketches(sketch)[0])
    assert encoded.image.width == encoded.image.height


def test_a_blank_sketch_is_a_one_line_error_with_its_name(tmp_path):
    Image.new("L", (20, 20), 255).save(tmp_path / "blank.png")
    with pytest.raises(CaanError, match=r"blank\.png: .*blank"):
        MeanColour().encode_sketch(tmp_path / "blank.png")


def test_stroke_file_is_a_sketch(tmp_path):
    strokes = tmp_path / "strokes.json"
    strokes.write_text(json.dumps({"drawing": [[[0, 200], [0, 200]], [[0, 200], [200, 0]]]}))
    encoder = MeanColour()
    np.testing.assert_array_equal(encoder.encode_sketch(strokes).global_embeds, encoder.encode_sketches([strokes])[0])
