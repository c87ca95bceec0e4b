"""Galleries of folders of photos and of drawn samples."""

from caan_demo.galleries import default_gallery, draw_samples, open_galleries
from rich.console import Console

from caan_hf.encoding.load import load_encoder
from caan_hf.gallery import Gallery


def test_each_folder_and_model_has_its_own_gallery(gallery, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "a" / "Photos 2024").mkdir(parents=True)
    place = default_gallery(str(tmp_path / "a" / "Photos 2024"), gallery.encoder)
    assert place == default_gallery(str(tmp_path / "a" / "." / "Photos 2024"), gallery.encoder)
    assert place != default_gallery(str(tmp_path / "a"), gallery.encoder)
    assert place.name.startswith("Photos-2024-")


def test_the_gallery_of_a_folder_does_not_depend_on_the_precision(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encoders = [load_encoder(checkpoint, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")]
    assert len({default_gallery(str(tmp_path), encoder) for encoder in encoders}) == 1


def test_photos_are_added_to_a_gallery_with_its_own_model(gallery, photos, tmp_path):
    place = str(tmp_path / "gallery")
    Gallery.create(place, model=gallery.encoder)  # not the default model
    opened, notice = open_galleries(str(photos), [place], None, Console(stderr=True), device="cpu")
    assert notice == ""
    assert [len(one) for one in opened.values()] == [len(gallery)]


def test_samples_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = sorted(draw_samples().iterdir())
    assert len(files) == 200
    stamp = files[0].stat().st_mtime_ns
    assert sorted(draw_samples().iterdir()) == files
    assert files[0].stat().st_mtime_ns == stamp
