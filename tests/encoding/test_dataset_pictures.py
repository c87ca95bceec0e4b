"""Images of a `datasets` split as pictures that are read one at a time."""

import hashlib

import datasets
import pytest
from PIL import Image

from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.encoder import Picture
from caan_hf.errors import CaanError


@pytest.fixture
def referenced(tmp_path):
    """A dataset that refers to two files with the same content."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    columns = {"image": [str(tmp_path / "a.png"), str(tmp_path / "b.png")], "source": ["x/a.png", "x/b.png"]}
    return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())


def test_pictures_have_undecoded_sources_and_names(split, referenced):
    pictures = DatasetPictures(split)
    assert len(pictures) == len(split)
    assert isinstance(pictures[3], Picture)
    assert isinstance(pictures[3].source, bytes)
    assert [picture.name for picture in pictures] == list(split["source"])
    assert [picture.name for picture in pictures[2:5]] == list(split["source"])[2:5]
    assert DatasetPictures(referenced)[1].source.endswith("b.png")


def test_hashes_are_of_the_content(split, referenced):
    hashes = DatasetPictures(split).hashes(progress=False)
    assert len(set(hashes)) == len(split)
    assert hashes[0] == hashlib.sha256(DatasetPictures(split)[0].source).digest()
    first, second = DatasetPictures(referenced).hashes(progress=False)
    assert first == second


def test_missing_file_is_named(referenced, tmp_path):
    (tmp_path / "b.png").unlink()
    with pytest.raises(CaanError, match=r"b\.png: the benchmark refers to this image, which cannot be read"):
        DatasetPictures(referenced).hashes(progress=False)


def test_row_without_an_image_is_named(split):
    rows = split.cast_column("image", datasets.Image(decode=False)).to_list()
    rows[3]["image"] = None
    broken = datasets.Dataset.from_list(rows, features=split.features)
    with pytest.raises(CaanError, match=f"{rows[3]['source']}: .*row without an image"):
        DatasetPictures(broken).hashes(progress=False)
