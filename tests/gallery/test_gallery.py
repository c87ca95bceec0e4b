"""Galleries in folders and at URLs with any name."""

import os

import pytest

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.table import may_be_gallery


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


def test_places_without_a_gallery_are_refused(photos, encoder, tmp_path):
    with pytest.raises(CaanError, match="holds other files and no gallery"):
        Gallery.create(photos, model=encoder)
    with pytest.raises(CaanError, match="a file, not a folder"):
        Gallery.create(photos / "summer" / "00.png", model=encoder)
    with pytest.raises(CaanError, match="cannot be written"):
        Gallery.create("a\0b", model=encoder)
    for name in (tmp_path / "nowhere", "a\0b"):
        with pytest.raises(CaanError, match="there is no gallery"):
            Gallery.open(name)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["photos:2024", "s3:x", "a#b?c", "50%20", "C:"])
def test_a_relative_name_of_a_gallery_is_a_folder(photos, encoder, sketch, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Gallery.create(name, model=encoder).add(photos / "winter")
    assert (tmp_path / name / "photos.lance").is_dir()
    assert len(Gallery.open(name, model=encoder).search(sketch)) == 6


def test_a_model_may_be_a_path_object(photos, checkpoint, sketch, tmp_path):
    assert Gallery.create(tmp_path / "gallery", model=checkpoint, device="cpu").add(photos / "winter").num_added == 6
    assert Gallery.open(tmp_path / "gallery", model=checkpoint, device="cpu").search(sketch)


def test_the_error_for_a_read_only_gallery_names_the_remedy(photos, encoder, tmp_path):
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
