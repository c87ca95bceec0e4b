"""The preprocessing without torch against the processor's, in grey levels."""

import json
from pathlib import Path

import numpy as np
import pytest
import transformers
from caan_export.borrowed import CaanError
from caan_export.preprocessing import Preprocessing
from caan_export.settings import MAX_GREY_LEVELS, TOLERANCE, preprocessing_of
from PIL import Image

from caan_hf import CaanProcessor

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
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")


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


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("mode", MODES)
def test_pictures_come_out_as_the_processor_has_them(name, mode, tmp_path):
    processor = CaanProcessor(PROCESSORS[name](), sketch_margin=0.1)
    preprocessing_of(processor).save(tmp_path / "p.json")
    settings = Preprocessing.load(tmp_path / "p.json")
    image = picture(mode)
    for modality, prepare in (("photos", settings.photo), ("sketches", settings.sketch)):
        expected = processor(**{modality: [image]})["pixel_values"][0].numpy()
        assert grey_levels(prepare(image), expected, settings) <= MAX_GREY_LEVELS + TOLERANCE


@pytest.mark.skipif(not SKETCHY.is_dir(), reason=f"the Sketchy subset is not at {SKETCHY}")
@pytest.mark.parametrize("size", [128, 224, 384])
def test_real_photos_and_sketches_differ_by_one_grey_level_at_most(size):
    processor = CaanProcessor(transformers.ViTImageProcessor(size={"height": size, "width": size}))
    settings = preprocessing_of(processor)
    for modality, pattern in (("photos", "**/*.jpg"), ("sketches", "**/*.png")):
        prepare = settings.photo if modality == "photos" else settings.sketch
        for file in sorted(SKETCHY.glob(pattern))[::400]:
            expected = processor(**{modality: [file]})["pixel_values"][0].numpy()
            assert grey_levels(prepare(file), expected, settings) <= MAX_GREY_LEVELS + TOLERANCE, file


def test_arrays_paths_and_bytes_are_taken_too(tmp_path):
    settings = preprocessing_of(CaanProcessor(PROCESSORS["vit"]()))
    image = picture("RGB")
    image.save(tmp_path / "a.png")
    expected = settings.photo(image)
    for source in (np.asarray(image), tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()):
        np.testing.assert_array_equal(settings.photo(source), expected)


def test_a_tall_and_a_wide_picture_are_cropped_in_the_middle():
    processor = CaanProcessor(PROCESSORS["clip"]())
    settings = preprocessing_of(processor)
    for size in ((33, 121), (121, 33), (40, 40)):
        image = picture("RGB", size)
        expected = processor(photos=[image])["pixel_values"][0].numpy()
        assert grey_levels(settings.photo(image), expected, settings) <= MAX_GREY_LEVELS + TOLERANCE


def test_normalisation_is_the_textbook_formula():
    settings = Preprocessing(None, None, 2, 1 / 255, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 0.0)
    levels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    expected = ((levels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).transpose(0, 3, 1, 2)
    found = settings.normalise(levels)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_image_processor_without_counterpart_is_refused():
    convnext = transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.5)
    with pytest.raises(CaanError, match="ConvNextImageProcessor prepares pictures otherwise"):
        preprocessing_of(CaanProcessor(convnext))


def test_padding_is_refused():
    padding = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, do_pad=True)
    with pytest.raises(CaanError, match="ViTImageProcessor sets do_pad"):
        preprocessing_of(CaanProcessor(padding))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "p.json").write_text('{"size": 3}')
    with pytest.raises(CaanError, match=r"p\.json: not the preprocessing of an exported CAAN"):
        Preprocessing.load(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", [32]),
        ("size", [0, 32]),
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
    preprocessing_of(CaanProcessor(PROCESSORS["vit"]())).save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(CaanError, match=rf"p\.json: not the preprocessing of an exported CAAN \({name} is "):
        Preprocessing.load(file)


@pytest.mark.parametrize(
    "setting",
    [
        {"image_std": [0.5, 0.0, 0.5]},
        {"image_std": [0.5, 0.5]},
        {"image_mean": [0.5] * 4},
        {"image_mean": None},
        {"rescale_factor": 0.0},
        {"rescale_factor": "x"},
        {"size": {"height": -3, "width": 32}},
        {"resample": 77},
    ],
)
def test_a_damaged_processor_is_one_line(setting):
    processor = CaanProcessor(transformers.ViTImageProcessor(size={"height": 32, "width": 32}))
    for name, value in setting.items():
        setattr(processor.image_processor, name, value)
    with pytest.raises(CaanError, match=r"^the checkpoint's ViTImageProcessor is damaged") as error:
        preprocessing_of(processor)
    assert "\n" not in str(error.value)
