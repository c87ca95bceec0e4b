"""Copies, thumbnails and local embeddings are stored as requested."""

import io
import os

import numpy as np
import pytest
from gallery_rows import embeds, rows
from photos import draw_photo
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_local, from_vectors
from caan_hf.gallery.stored_photos import with_local


def test_local_embeddings_and_thumbnails_are_optional(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder, local=False)
    gallery.add(photos, thumbnail=0)
    assert "local_embeds" not in gallery.table.table.schema.names
    assert rows(gallery, "thumbnail")["thumbnail"].null_count == 12


def test_a_gallery_with_copies_does_not_need_the_files(photos, counting, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos / "winter")
    known = photos / "summer" / "copy.png"  # not encoded again, but stored
    known.write_bytes((photos / "winter" / "07.png").read_bytes())
    assert gallery.add(photos / "summer", copy=True).num_reused == 1
    assert counting.num_photos == 12
    wanted = {path: path.read_bytes() for path in (known, photos / "summer" / "04.png")}
    photos.rename(tmp_path / "gone")
    for path, data in wanted.items():
        assert gallery.table.rows_where("path", [str(path)])["image"][0].as_py() == data
        assert gallery.photo(str(path)).size == (60, 40)


@pytest.mark.parametrize("from_earlier_version", [True, False])
def test_copies_and_thumbnails_are_added_to_an_existing_gallery(photos, counting, tmp_path, from_earlier_version):
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos)
    if from_earlier_version:
        gallery.table.table.drop_columns(["has_copy", "thumbnail_side"])
    before = embeds(gallery)
    report = gallery.add(photos / "winter", copy=True, thumbnail=16)
    assert (report.num_refreshed, report.num_changed, report.num_stored, report.num_photos) == (6, 0, 6, 12)
    report = gallery.add(photos, copy=True, thumbnail=16)
    assert (report.num_refreshed, report.num_unchanged, report.num_stored) == (6, 6, 12)
    assert counting.num_photos == 12
    found = rows(gallery, "image", "thumbnail")
    assert found["image"].to_pylist() == [file.read_bytes() for file in sorted(photos.rglob("*.png"))]
    assert {max(Image.open(io.BytesIO(data)).size) for data in found["thumbnail"].to_pylist()} == {16}
    np.testing.assert_array_equal(embeds(gallery), before)
    assert gallery.add(photos, copy=True, thumbnail=16).num_unchanged == 12
    report = gallery.add(photos, copy=False, thumbnail=0)
    assert (report.num_refreshed, report.num_stored) == (12, 0)
    assert rows(gallery, "thumbnail")["thumbnail"].null_count == 12


def test_copies_and_thumbnails_of_new_photos_default_to_those_of_the_gallery(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos / "winter", copy=True, thumbnail=16)
    report = gallery.add(photos)
    assert (report.num_added, report.num_unchanged, report.num_stored) == (6, 6, 12)
    thumbnails = rows(gallery, "thumbnail")["thumbnail"].to_pylist()
    assert {max(Image.open(io.BytesIO(data)).size) for data in thumbnails} == {16}


def test_a_photo_that_can_no_longer_be_copied_stays_in_the_gallery(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    file = photos / "summer" / "00.png"
    status = file.stat()
    file.write_bytes(bytes(status.st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = gallery.add(photos, copy=True)
    assert [problem.path for problem in report.problems.found] == [str(file)]
    assert (report.num_refreshed, report.num_spoiled, report.num_stored, report.num_photos) == (11, 0, 11, 12)


@pytest.fixture
def large_photos(tmp_path):
    """Photos larger than the encoder's input, as JPEG and PNG."""
    folder = tmp_path / "large"
    folder.mkdir()
    for number, suffix in enumerate(("jpg", "png", "jpg")):
        draw_photo(number, (900, 600)).save(folder / f"{number}.{suffix}", quality=90)
    return folder


@pytest.mark.parametrize("side", [64, 256, 1024])
def test_embeddings_do_not_depend_on_thumbnails(encoder, large_photos, tmp_path, side):
    without, gallery = (Gallery.create(tmp_path / name, model=encoder) for name in ("without", "with"))
    without.add(large_photos, thumbnail=0)
    gallery.add(large_photos, thumbnail=side)
    for column in ("global_embeds", "local_embeds"):
        np.testing.assert_array_equal(
            from_vectors(rows(gallery, column)[column]), from_vectors(rows(without, column)[column])
        )
    thumbnails = [Image.open(io.BytesIO(data)) for data in rows(gallery, "thumbnail")["thumbnail"].to_pylist()]
    assert {image.width for image in thumbnails} == {min(side, 900)}
    assert all(abs(image.height - image.width * 2 / 3) < 1 for image in thumbnails)


@pytest.mark.parametrize("side", [0, 1024])
def test_local_embeddings_computed_later_equal_stored_ones(encoder, large_photos, sketch, tmp_path, side):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(large_photos)
    bare = Gallery.create(tmp_path / "bare", model=encoder, local=False)
    bare.add(large_photos, thumbnail=side)
    for result in bare.search(sketch):
        column = gallery.table.rows_where("path", [result.path])["local_embeds"]
        (computed,) = with_local(bare.table, encoder, [result])
        np.testing.assert_array_equal(computed.local_embeds, from_local(column, encoder.identity.local_shape)[0])
