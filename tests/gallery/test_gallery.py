"""Where a gallery can be: folders and URLs with any name."""

import os

import pytest

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.table import may_be_gallery


def test_a_damaged_gallery_is_named(photos, encoder, tmp_path):
    Gallery.create(tmp_path / "gallery", model=encoder).add(photos)
    for file in (tmp_path / "gallery" / "photos.lance" / "_versions").iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(CaanError, match=r"gallery: cannot be opened.*Index") as error:
        Gallery.open(tmp_path / "gallery")
    assert "\n" not in str(error.value)


def test_a_gallery_can_be_a_url(photos, encoder, sketch, tmp_path):
    place = f"file://{tmp_path}/gallery"
    assert Gallery.create(place, model=encoder).add(photos).num_added == 12
    assert Gallery.open(place, model=encoder).search(sketch, k=3)
    with pytest.raises(CaanError, match="there is no gallery"):
        Gallery.open(f"file://{tmp_path}/nowhere")


def test_galleries_are_distinguished_from_folders_of_photos(photos, encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Gallery.create(tmp_path / "gallery", model=encoder)
    assert all(map(may_be_gallery, (tmp_path / "gallery", "~/gallery", "s3://bucket/gallery")))
    assert not may_be_gallery(photos)


def test_a_place_that_holds_something_else_is_refused(photos, encoder, tmp_path):
    with pytest.raises(CaanError, match="holds other files and no gallery"):
        Gallery.create(photos, model=encoder)
    with pytest.raises(CaanError, match="a file, not a folder"):
        Gallery.create(photos / "summer" / "00.png", model=encoder)
    with pytest.raises(CaanError, match="there is no gallery"):
        Gallery.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["photos:2024", "s3:x", "a#b?c", "50%20", "C:"])
def test_a_relative_name_of_a_gallery_is_a_folder(photos, encoder, sketch, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Gallery.create(name, model=encoder).add(photos / "winter")
    assert (tmp_path / name / "photos.lance").is_dir()
    assert len(Gallery.open(name, model=encoder).search(sketch)) == 6


def test_an_impossible_name_of_a_gallery_is_refused(encoder):
    for use in (lambda: Gallery.create("a\0b", model=encoder), lambda: Gallery.open("a\0b", model=encoder)):
        with pytest.raises(CaanError, match=r"cannot be written|there is no gallery"):
            use()


def test_a_model_may_be_a_path_object(photos, checkpoint, sketch, tmp_path):
    assert Gallery.create(tmp_path / "gallery", model=checkpoint, device="cpu").add(photos / "winter").num_added == 6
    assert Gallery.open(tmp_path / "gallery", model=checkpoint, device="cpu").search(sketch)


def test_a_gallery_that_is_read_only_is_one_line_with_a_remedy(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    parts = [path for path in (tmp_path / "gallery").rglob("*") if path.is_dir()]
    for folder in parts:
        folder.chmod(0o555)
    try:
        if os.access(parts[0], os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(CaanError, match=r"cannot be written \(Permission denied\).*permissions"):
            gallery.add(photos)
    finally:
        for folder in parts:
            folder.chmod(0o755)
