"""Preprocessing with numpy and PIL, compared with that of the processor in grey levels."""

import json
import resource
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import transformers
from PIL import Image

from caan_hf import CaanProcessor
from caan_hf.encoding.preprocessing import Preprocessing
from caan_hf.errors import CaanError

MAX_DIFFERENCE = 1.001
"""In grey levels: torchvision and PIL resize alike but round differently."""
REMEDY = "Export again."
SKETCHY = Path(__file__).parents[3] / "shared" / "data" / "sketchy"
CROPPED = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
PROCESSORS = {
    "vit": lambda: transformers.ViTImageProcessor(size={"height": 32, "width": 32}),
    "clip": lambda: transformers.CLIPImageProcessor(**CROPPED),
    "siglip": lambda: transformers.SiglipImageProcessor(size={"height": 48, "width": 32}),
    "dinov2": lambda: transformers.BitImageProcessor(**CROPPED),
    "dinov3": lambda: transformers.DINOv3ViTImageProcessor(size={"height": 32, "width": 32}),
    "no_normalisation": lambda: transformers.ViTImageProcessor(size={"height": 32, "width": 32}, do_normalize=False),
    "lanczos": lambda: transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=1),
}
MODES = ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")


def picture(mode: str, size=(75, 50)) -> Image.Image:
    """A dark triangle on light paper with noise, in a mode of PIL."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    grey = np.where((rows > columns * 0.6) & (rows < 40) & (columns > 8), 30, 230).astype(np.int32)
    grey += np.random.default_rng(0).integers(-20, 20, grey.shape)
    if mode == "I;16":
        return Image.fromarray((grey * 257).astype(np.uint16))
    if mode in ("I", "F"):
        return Image.fromarray(grey.astype(np.int32 if mode == "I" else np.float32))
    rgb = Image.fromarray(np.stack([grey, grey, np.clip(grey + 20, 0, 255)], axis=-1).astype(np.uint8))
    if mode in ("LA", "RGBA"):
        image = rgb.convert(mode)
        image.putalpha(Image.fromarray((columns * 3).astype(np.uint8)))
        return image
    return rgb.convert(mode)


def grey_levels(found: np.ndarray, expected: np.ndarray, settings: Preprocessing) -> float:
    assert found.shape == expected.shape
    return float((np.abs(found - expected) * np.asarray(settings.std)[:, None, None] / settings.scale).max())


@pytest.mark.parametrize(("name", "mode"), [*product(PROCESSORS, ["RGB"]), *product(["vit"], MODES)])
def test_pixel_values_equal_those_of_the_processor(name, mode, tmp_path):
    processor = CaanProcessor(PROCESSORS[name](), sketch_margin=0.1)
    Preprocessing.of_processor(processor).write(tmp_path / "p.json")
    settings = Preprocessing.read(tmp_path / "p.json", REMEDY)
    image = picture(mode)
    for modality, prepare in (("photos", settings.photo), ("sketches", settings.sketch)):
        expected = processor(**{modality: [image]})["pixel_values"][0].numpy()
        assert grey_levels(prepare(image), expected, settings) <= MAX_DIFFERENCE


@pytest.mark.skipif(not SKETCHY.is_dir(), reason=f"the Sketchy subset is not at {SKETCHY}")
@pytest.mark.parametrize("size", [128, 224, 384])
def test_real_photos_and_sketches_differ_by_at_most_one_grey_level(size):
    processor = CaanProcessor(transformers.ViTImageProcessor(size={"height": size, "width": size}))
    settings = Preprocessing.of_processor(processor)
    for modality, pattern in (("photos", "**/*.jpg"), ("sketches", "**/*.png")):
        prepare = settings.photo if modality == "photos" else settings.sketch
        for file in sorted(SKETCHY.glob(pattern))[::400]:
            expected = processor(**{modality: [file]})["pixel_values"][0].numpy()
            assert grey_levels(prepare(file), expected, settings) <= MAX_DIFFERENCE, file


def test_arrays_paths_and_bytes_are_accepted(tmp_path):
    settings = Preprocessing.of_processor(CaanProcessor(PROCESSORS["vit"]()))
    image = picture("RGB")
    image.save(tmp_path / "a.png")
    expected = settings.photo(image)
    for source in (np.asarray(image), tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()):
        np.testing.assert_array_equal(settings.photo(source), expected)


def test_tall_and_wide_pictures_are_cropped_at_the_centre():
    processor = CaanProcessor(PROCESSORS["clip"]())
    settings = Preprocessing.of_processor(processor)
    for size in ((33, 121), (121, 33), (40, 40)):
        image = picture("RGB", size)
        expected = processor(photos=[image])["pixel_values"][0].numpy()
        assert grey_levels(settings.photo(image), expected, settings) <= MAX_DIFFERENCE


def test_normalisation_equals_the_formula():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    settings = Preprocessing(size=None, crop=None, resample=2, scale=1 / 255, mean=mean, std=std, sketch_margin=0.0)
    levels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    expected = ((levels / 255 - mean) / std).transpose(0, 3, 1, 2)
    found = settings.normalise(levels)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unsupported_steps_are_refused():
    padding = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, do_pad=True)
    with pytest.raises(ValueError, match="ViTImageProcessor sets do_pad"):
        Preprocessing.of_processor(CaanProcessor(padding))


def test_equal_settings_have_equal_hashes(tmp_path):
    settings = Preprocessing.of_processor(CaanProcessor(PROCESSORS["vit"]()))
    settings.write(tmp_path / "p.json")
    assert Preprocessing.read(tmp_path / "p.json", REMEDY).hash == settings.hash
    other = Preprocessing.of_processor(CaanProcessor(PROCESSORS["vit"](), sketch_margin=0.2))
    assert other.hash != settings.hash


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", [32]),
        ("size", [0, 32]),
        ("size", [32, 100_000]),
        ("size", "32"),
        ("crop", [32, 32.5]),
        ("resample", 9),
        ("scale", 0),
        ("mean", 0.5),
        ("mean", [0.5, 0.5]),
        ("std", [0.5, 0, 0.5]),
        ("std", [0.5, float("nan"), 0.5]),
        ("sketch_margin", -1),
        ("sketch_margin", None),
    ],
)
def test_a_damaged_setting_is_named(tmp_path, name, value):
    file = tmp_path / "p.json"
    Preprocessing.of_processor(CaanProcessor(PROCESSORS["vit"]())).write(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(CaanError, match=rf"p\.json: {name}.* Export again\."):
        Preprocessing.read(file, REMEDY)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
@pytest.mark.parametrize("name", ["clip", "vit"])
def test_a_photo_of_one_pixel_by_60_000_takes_little_memory(name, size):
    processor = CaanProcessor(PROCESSORS[name]())
    settings = Preprocessing.of_processor(processor)
    photo = Image.new("RGB", size, "red")
    photo.paste("blue", (0, 0, max(1, size[0] // 4), max(1, size[1] // 4)))  # the end of the strip, or all of it
    before = peak_memory()
    found, expected = settings.photo(photo), processor(photos=photo)["pixel_values"][0].numpy()
    assert peak_memory() - before < 100 * 2**20
    assert grey_levels(found, expected, settings) < MAX_DIFFERENCE


def test_cutting_the_ends_of_a_long_photo_changes_nothing_within_the_crop():
    settings = Preprocessing.of_processor(CaanProcessor(PROCESSORS["clip"]()))
    long = picture("RGB", (75 * 40, 75))
    expected = long.resize((40 * 40, 40), Image.Resampling(settings.resample)).crop((784, 4, 816, 36))
    found = np.asarray(settings.fit(long), np.float32)
    assert np.abs(found - np.asarray(expected, np.float32)).max() <= 1


def peak_memory() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
