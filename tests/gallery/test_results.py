"""Photos and results of a gallery."""

import pytest

from caan_hf.gallery.results import shown_name


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/b/c.jpg", "c.jpg"), (r"C:\Users\me\c.jpg", "c.jpg"), ("s3://b/c.jpg", "c.jpg"), ("d#/7", "7")],
)
def test_names_are_shown_without_folders(path, name):
    assert shown_name(path) == name
