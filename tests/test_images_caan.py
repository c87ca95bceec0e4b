import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_drawings import drawing, grey
from photos import phone_jpeg
from PIL import Image

from caan_hf.images_caan import clean_photo, flatten, open_image
from caan_hf.sketches_caan import clean_sketch


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_every_mode_becomes_the_same_rgb(mode):
    picture = np.zeros((6, 8), dtype=np.uint8)
    picture[:3] = 255
    image = Image.fromarray(picture)
    if mode == "PA":
        converted = image.convert("P").convert("PA")
    elif mode == "I;16":
        converted = Image.fromarray(picture.astype(np.uint16) * 257)
    else:
        converted = image.convert("RGB").convert(mode) if mode not in ("I", "F", "1") else image.convert(mode)
    assert converted.mode == mode
    result = flatten(converted)
    assert result.mode == "RGB"
    np.testing.assert_allclose(grey(result), picture, atol=2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_turns_white(mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        image.info["transparency"] = 0
    else:
        image = Image.new("PA", (4, 4), (0, 0)) if mode == "PA" else image.convert(mode)
    assert np.asarray(flatten(image)).min() == 255


def test_half_transparent_colours_mix_with_white():
    assert flatten(Image.new("RGBA", (1, 1), (255, 0, 0, 128))).getpixel((0, 0)) == pytest.approx(
        (255, 127, 127), abs=1
    )


@pytest.mark.parametrize(
    ("array", "level"),
    [
        (np.full((4, 5), 200, np.uint8), 200),
        (np.full((4, 5), 200, np.int64), 200),
        (np.full((4, 5), 200 * 257, np.uint16), 200),
        (np.full((4, 5), 0.5, np.float32), 128),
        (np.full((4, 5), 1.01, np.float32), 255),
        (np.full((4, 5), 200.0, np.float64), 200),
        (np.full((4, 5), True), 255),
        (np.full((4, 5), False), 0),
        (np.full((4, 5, 1), 200, np.uint8), 200),
        (np.full((4, 5, 3), 0.5, np.float16), 128),
        (np.full((4, 5), np.nan), 0),
    ],
)
def test_arrays_of_any_number_type_keep_their_brightness(array, level):
    image = clean_photo(array)
    assert image.size == (5, 4)
    np.testing.assert_allclose(np.asarray(image), level, atol=1)


def test_array_with_alpha_is_flattened_on_white():
    assert np.asarray(clean_photo(np.zeros((3, 3, 4), np.uint8))).min() == 255


@pytest.mark.parametrize(
    "source", [np.zeros((3, 8, 8)), np.zeros(5), np.zeros((2, 4, 4, 3)), np.zeros((0, 4)), np.array([["a", "b"]]), None]
)
def test_arrays_that_are_not_pictures_are_refused(source):
    with pytest.raises(ValueError, match="an image array"):
        open_image(source)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0] = 255
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = Image.fromarray(upright)
    stored = image.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(clean_photo(tmp_path / "turned.png")), upright)


def test_unreadable_exif_is_ignored(tmp_path):
    image = Image.new("RGB", (8, 8), "red")
    image.save(tmp_path / "odd.jpg", exif=b"Exif\x00\x00garbage")
    assert clean_photo(tmp_path / "odd.jpg").size == (8, 8)


@pytest.mark.parametrize("wrap", [str, Path, lambda path: Path(path).read_bytes(), Image.open])
def test_picture_may_be_given_in_any_form(tmp_path, photo, wrap):
    photo.save(tmp_path / "photo.png")
    np.testing.assert_array_equal(np.asarray(clean_photo(wrap(str(tmp_path / "photo.png")))), np.asarray(photo))


@pytest.mark.parametrize("clean", [clean_photo, lambda source: clean_sketch(source, 0.1)], ids=["photo", "sketch"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif"])
@pytest.mark.parametrize("wrap", [str, Image.open], ids=["path", "opened"])
def test_truncated_file_is_refused_by_name(tmp_path, clean, suffix, wrap):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(np.random.randint(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"cut\..*: not a picture that can be read"):
        clean(wrap(str(path)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\x00\x08\x00\x00\x00"]
)
def test_a_file_that_is_not_a_picture_is_refused_by_name(tmp_path, content):
    (tmp_path / "notes.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.png: not a picture that can be read"):
        open_image(tmp_path / "notes.png")


def test_missing_file_and_folder_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: no such file"):
        open_image(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=f"{tmp_path.name}: not a picture"):
        open_image(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_png_is_opened_or_refused_by_name(data):
    buffer = io.BytesIO()
    drawing().save(buffer, "png")
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert open_image(content).size
    except ValueError as error:
        assert "bytes: not a picture" in str(error)


def test_a_photo_of_200_megapixels_is_decoded_at_half_its_size(tmp_path):
    (tmp_path / "phone.jpg").write_bytes(phone_jpeg())
    for source in (phone_jpeg(), tmp_path / "phone.jpg"):
        photo = clean_photo(source)
        assert photo.size == (8160, 6120)
        assert [photo.getpixel((4000, row)) for row in (3000, 3120)] == [(0, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_above_the_limit_are_refused(kind):
    buffer = io.BytesIO()
    Image.new("1" if kind == "PNG" else "L", (2**14, 2**4)).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    if kind == "PNG":  # a header of 2**28 pixels
        data[20:24] = (2**14).to_bytes(4, "big")
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    else:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 7] = (2**14 + 1).to_bytes(2, "big")
    with pytest.raises(ValueError, match="too many pixels"):
        open_image(bytes(data))


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(ValueError, match=r"(pipe\.png|zero): .*not a regular file"):
            open_image(path)
