"""The galleries of a server: their names, and their models."""

from caan_hf.gallery import Gallery
from caan_hf.service.galleries import build_searchers, open_galleries, unique_names


def test_galleries_have_short_unique_names():
    places = ["mine/photos", "s3://bucket/photos/", "other", "yours/photos", "photos (2)"]
    assert unique_names(places) == ["photos", "photos (2)", "other", "photos (3)", "photos (2) (2)"]


def test_galleries_of_the_same_model_share_it(gallery, photos, tmp_path):
    Gallery.create(tmp_path / "other", model=gallery.encoder).add([photos / "00.png"])
    opened = open_galleries([gallery.table.uri, str(tmp_path / "other")], device="cpu")
    assert {name: len(one) for name, one in opened.items()} == {"gallery": 30, "other": 1}
    assert opened["gallery"].encoder is opened["other"].encoder
    searchers = build_searchers(opened)
    assert searchers["gallery"].encoder is searchers["other"].encoder
