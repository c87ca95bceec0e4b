"""A folder of two hundred files, many of them unusual or damaged: each is indexed or reported."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from photos import draw_photo, encoded, phone_jpeg
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.gallery.photo import decode_photo
from caan_hf.gallery.schema import from_vectors
from caan_hf.images_caan import REDUCED_MARGIN, register_heif


def animated_gif() -> bytes:
    frames = [draw_photo(number).convert("P") for number in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


def huge_png(side: int = 20_000) -> bytes:
    """A white picture of 400 million pixels in half a megabyte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * side
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def sixteen_bits() -> bytes:
    return encoded(Image.fromarray(np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)))


def readable(folder: Path) -> set[Path]:
    """Write photos of every kind; returns their paths."""
    photo = draw_photo(500)
    contents = {
        "plain.jpg": encoded(photo, "JPEG"),
        "PLAIN.JPEG": encoded(draw_photo(501), "JPEG"),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "grey.png": encoded(photo.convert("L")),
        "one bit.png": encoded(photo.convert("1")),
        "palette.png": encoded(photo.convert("P")),
        "alpha.png": encoded(photo.convert("RGBA")),
        "grey alpha.png": encoded(photo.convert("LA")),
        "sixteen.png": sixteen_bits(),
        "sixteen.tiff": encoded(Image.open(io.BytesIO(sixteen_bits())), "TIFF"),
        "float.tiff": encoded(Image.fromarray(np.random.rand(20, 20).astype(np.float32)), "TIFF"),
        "animated.gif": animated_gif(),
        "photo.webp": encoded(photo, "WEBP"),
        "photo.bmp": encoded(photo, "BMP"),
        "one pixel.png": encoded(Image.new("RGB", (1, 1), "red")),
        "thin.png": encoded(Image.new("RGB", (3000, 1), "red")),
        "name with  spaces.png": encoded(draw_photo(502)),
        "naïve 🦒 写真.png": encoded(draw_photo(503)),
        'quote\'s "double".png': encoded(draw_photo(504)),
        "new\nline.png": encoded(draw_photo(505)),
        "-rf.png": encoded(draw_photo(506)),
        "not really a.png": encoded(draw_photo(507), "JPEG"),
        "x" * 240 + ".png": encoded(draw_photo(508)),
        "a/b/c/d/e/f/deep.png": encoded(draw_photo(509)),
    }
    contents |= {f"many/{number:03}.png": encoded(draw_photo(number, (40, 40))) for number in range(115)}
    for name, data in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (folder / "link.png").symlink_to(folder / "plain.jpg")  # the same photo under another name
    return {folder / name for name in contents}


def damaged(folder: Path) -> dict[Path, str]:
    """Write files that look like photos and are not; returns words that must be in the report of each."""
    whole = encoded(draw_photo(600, (200, 200)), "JPEG")
    png = encoded(draw_photo(601, (200, 200)))
    contents = {
        "zero.jpg": (b"", "empty"),
        "zero.png": (b"", "empty"),
        "truncated.jpg": (whole[: len(whole) // 2], "truncated"),
        "truncated.png": (png[: len(png) // 2], ""),
        "header alone.jpg": (whole[:20], ""),
        "text.jpg": (b"this is no picture", "not an image"),
        "page.png": (b"<html></html>", "not an image"),
        "noise.gif": (bytes(range(256)) * 20, "not an image"),
        "huge.png": (huge_png(), "too many pixels"),
        "photo.heic": (b"\0\0\0\x18ftypheic" + b"\0" * 100, ""),
    }
    contents |= {f"cut {number:02}.jpg": (whole[: 3 + 7 * number], "") for number in range(40)}
    for name, (data, _) in contents.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.png").symlink_to(folder / "nothing.png")
    (folder / "itself.png").symlink_to(folder / "itself.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()  # a folder is not reported
    extra = {"dangling.png": "no such file", "itself.png": "symbolic links", "pipe.png": "not a regular file"}
    return {folder / name: why for name, (_, why) in contents.items()} | {folder / n: why for n, why in extra.items()}


def other_files(folder: Path) -> int:
    """Write files with names that are not those of photos; returns how many of them are not hidden."""
    hidden = [".hidden.png", ".thumbnails/a.png", "._plain.jpg"]
    visible = ["notes.txt", "film.mp4", "index.html", "page.pdf", "archive.zip", "noextension", "Thumbs.db", "raw.cr2"]
    for name in hidden + visible:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    return len(visible)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "photos"
    folder.mkdir()
    found = readable(folder), damaged(folder), other_files(folder)
    (folder / "a" / "b" / "up").symlink_to(folder)  # a cycle
    (folder / "many" / "again").symlink_to(folder / "many")
    (folder / os.fsdecode(b"latin-\xe9.png")).write_bytes(encoded(draw_photo(700)))
    return folder, *found


def test_every_odd_file_is_indexed_or_reported(odd, encoder, tmp_path):
    folder, good, bad, num_others = odd
    assert len(good) + len(bad) + num_others >= 200
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    report = gallery.add(folder)
    found = gallery.table.columns(["path", "global_embeds"])
    assert len(found) == len(set(found["path"].to_pylist()))
    assert {Path(path) for path in found["path"].to_pylist()} == good
    assert np.isfinite(from_vectors(found["global_embeds"])).all()
    reported = {problem.path: problem.reason for problem in report.problems.found}
    name = reported.pop(f"{folder}/latin-\\xe9.png")
    assert "not UTF-8" in name
    assert {Path(path) for path in reported} == set(bad)
    for file, words in bad.items():
        assert words in reported[str(file)], (file.name, reported[str(file)])
        assert "\n" not in reported[str(file)]
        assert "object at 0x" not in reported[str(file)]
    assert report.num_other_files == num_others
    again = gallery.add(folder)
    assert (again.num_added, again.num_unchanged) == (0, len(good))


def test_a_photo_of_200_megapixels_is_decoded_at_a_reduced_size():
    photo = decode_photo(phone_jpeg(), 64)
    assert (photo.width, photo.height) == (16320, 12240)
    assert REDUCED_MARGIN * 64 <= min(photo.image.size) < 2 * REDUCED_MARGIN * 64


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation):
    stored = draw_photo(1, (300, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = decode_photo(encoded(stored, "JPEG", exif=exif, quality=95), 64)
    turned = orientation >= 5
    assert (photo.width, photo.height) == ((200, 300) if turned else (300, 200))
    assert (photo.image.width < photo.image.height) == turned


def test_a_photo_of_12_megapixels_is_decoded_at_an_eighth_of_its_size_for_a_model_of_192_pixels():
    photo = decode_photo(encoded(Image.new("RGB", (4000, 3000), "red"), "JPEG"), 192)
    assert photo.image.size == (500, 375)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_large_photo_is_decoded_at_a_reduced_size(encoder, form):
    if not register_heif() and form == "HEIF":
        pytest.skip("pillow-heif is not installed")
    small = draw_photo(3, (60, 40)).resize((1500, 1000), Image.Resampling.BICUBIC)
    photo = decode_photo(encoded(small, form), 64)
    assert (photo.width, photo.height) == (1500, 1000)
    assert REDUCED_MARGIN * 64 <= min(photo.image.size) < 300
    full = encoder.encode_photos([small])[0]
    reduced = encoder.encode_photos([photo.image])[0]
    assert full @ reduced > 0.999


def test_photos_in_a_folder_that_cannot_be_read_are_not_pruned(photos, encoder, tmp_path, monkeypatch):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    closed = str(photos / "winter")
    scandir = os.scandir

    def refuse(path):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    report = gallery.add(photos, prune=True)
    assert (report.num_pruned, report.num_photos) == (0, 12)
    assert [problem.path for problem in report.problems.found] == [closed]
