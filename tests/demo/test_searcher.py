"""What a drawing goes through on the server, without a browser."""

import io

import numpy as np
import pytest
from caan_demo.photo_gallery import draw_samples, is_gallery, own_place
from caan_demo.searcher import MAX_FILE_BYTES, MAX_RESULTS, Searcher, read_drawing
from PIL import Image, ImageDraw

from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.rows import RowSettings


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_it_finds_what_the_gallery_finds(searcher, gallery, drawing):
    found = searcher.find(drawing.read_bytes(), 7)
    assert [result.path for result in found.results] == [result.path for result in gallery.search(drawing, k=7)]
    assert found.num_photos == 30
    assert set(found.seconds) == {"read", "encode", "search", "pictures"}


def test_it_looks_again_with_the_first_photos(searcher, gallery, drawing):
    again = [result.path for result in searcher.find(drawing.read_bytes(), 7, expand=True).results]
    assert again == [result.path for result in gallery.search(drawing, k=7, expand=5)]


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-3, 1), (5, 5), (10**9, 30)])
def test_the_number_of_photos_has_bounds(searcher, drawing, asked, given):
    assert len(searcher.find(drawing.read_bytes(), asked).results) == min(given, MAX_RESULTS)


def test_the_pictures_are_those_of_the_results(searcher, gallery, drawing):
    found = searcher.find(drawing.read_bytes(), 3)
    for picture, result in zip(found.pictures, found.results, strict=True):
        photo = np.asarray(gallery.photo(result), float).mean(axis=(0, 1))
        assert np.abs(np.asarray(picture, float).mean(axis=(0, 1)) - photo).max() < 4


def test_a_gallery_without_thumbnails_shows_the_photos(checkpoint, photos, drawing, tmp_path):
    copies = tmp_path / "photos"
    copies.mkdir()
    for file in sorted(photos.iterdir())[:3]:
        (copies / file.name).write_bytes(file.read_bytes())
    gallery = Gallery.create(tmp_path / "gallery", model=str(checkpoint), device="cpu")
    gallery.add(copies, settings=RowSettings(thumbnail=0))
    searcher = Searcher(gallery)
    assert {picture.size for picture in searcher.find(drawing.read_bytes(), 3).pictures} == {(60, 40)}
    next(copies.iterdir()).unlink()  # one has gone since: the others are still shown
    assert len(searcher.find(drawing.read_bytes(), 3).pictures) == 3


def test_large_files_and_large_pictures():
    with pytest.raises(CaanError, match="larger than 8 MB"):
        read_drawing(b"\0" * (MAX_FILE_BYTES + 1))
    with pytest.raises(CaanError, match="6000 x 5000 pixels"):
        read_drawing(png(Image.new("1", (6000, 5000), 1)))
    large = Image.new("L", (3000, 2000), 255)
    ImageDraw.Draw(large).line((100, 100, 2900, 1900), fill=0, width=20)
    assert read_drawing(png(large)).size == (1024, 683)


def test_each_folder_and_model_has_a_place_of_its_own(gallery, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "a" / "Photos 2024").mkdir(parents=True)
    place = own_place(str(tmp_path / "a" / "Photos 2024"), gallery.encoder)
    assert place == own_place(str(tmp_path / "a" / "." / "Photos 2024"), gallery.encoder)
    assert place != own_place(str(tmp_path / "a"), gallery.encoder)
    assert place.name.startswith("Photos-2024-")


def test_galleries_are_told_from_folders_of_photos(gallery, photos):
    assert is_gallery(gallery.table.uri)
    assert is_gallery("s3://bucket/gallery")
    assert not is_gallery(str(photos))


def test_the_samples_are_drawn_once(tmp_path):
    folder = draw_samples(tmp_path / "samples", per_category=1)
    files = sorted(folder.iterdir())
    assert len(files) == 50
    stamp = files[0].stat().st_mtime_ns
    assert sorted(draw_samples(folder, per_category=1).iterdir()) == files
    assert files[0].stat().st_mtime_ns == stamp
