"""Adding photos stores each photo once, with the embedding of the model, and encodes nothing twice."""

import os

import numpy as np
import pytest
from gallery_rows import embeds, paths, rows
from photos import draw_photo
from PIL import Image

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_local, from_vectors


def touch(file, seconds=10):
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + seconds))


def test_embeddings_are_those_of_the_model(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    report = gallery.add(photos, batch_size=5)
    assert (report.num_added, report.num_photos, len(report.problems)) == (12, 12, 0)
    found = rows(gallery, "width", "height", "size", "global_embeds", "local_embeds", "thumbnail", "image")
    files = sorted(photos.rglob("*.png"))
    assert found["path"].to_pylist() == [str(file) for file in files]
    assert set(found["width"].to_pylist()) == {60}
    assert set(found["height"].to_pylist()) == {40}
    assert found["size"].to_pylist() == [file.stat().st_size for file in files]
    assert found["image"].null_count == 12
    features = encoder.encode([Image.open(file) for file in files], "photo")
    np.testing.assert_allclose(from_vectors(found["global_embeds"]), features.global_embeds, atol=1e-5)
    local = from_local(found["local_embeds"], encoder.identity.local_shape)
    assert found["local_embeds"].type.value_type == "int8"  # one byte per value
    np.testing.assert_allclose(local, features.local_embeds, atol=1 / 127)


def test_only_new_and_changed_photos_are_encoded(photos, counting, tmp_path):
    Gallery.create(tmp_path / "gallery", model=counting).add(photos)
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    report = gallery.add(photos)
    assert (report.num_added, report.num_unchanged, report.num_photos, counting.num_photos) == (0, 12, 12, 12)
    before = embeds(gallery)
    draw_photo(100).save(photos / "new.png")
    changed = photos / "summer" / "03.png"
    draw_photo(101).save(changed)
    touch(changed)
    report = gallery.add(photos)
    assert (report.num_added, report.num_changed, report.num_unchanged, counting.num_photos) == (1, 1, 11, 14)
    after = dict(zip(paths(gallery), embeds(gallery), strict=True))
    assert len(after) == len(gallery) == 13
    expected = counting.encode_photos([Image.open(changed)])[0]
    np.testing.assert_allclose(after[str(changed)], expected, atol=1e-5)
    assert np.abs(after[str(changed)] - before[3]).max() > 1e-3


def test_moved_copied_and_touched_photos_are_not_encoded_again(photos, counting, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos)
    (photos / "winter").rename(photos / "cold")
    (photos / "copy of 01.png").write_bytes((photos / "summer" / "01.png").read_bytes())
    touch(photos / "summer" / "02.png")
    report = gallery.add(photos, prune=True)
    assert counting.num_photos == 12
    assert (report.num_reused, report.num_added, report.num_moved, report.num_changed) == (8, 1, 6, 1)
    assert report.num_pruned == 0
    assert paths(gallery) == sorted(str(file) for file in photos.rglob("*.png"))
    expected = counting.encode_photos([Image.open(path) for path in paths(gallery)])
    np.testing.assert_allclose(embeds(gallery), expected, atol=1e-5)
    assert gallery.add(photos).num_unchanged == 13


def test_a_photo_that_became_unreadable_is_removed(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    spoiled = photos / "summer" / "00.png"
    spoiled.write_bytes(b"no picture any more")
    report = gallery.add(photos)
    assert (report.num_spoiled, report.num_changed, report.num_photos) == (1, 0, 11)
    assert [problem.path for problem in report.problems.found] == [str(spoiled)]
    assert str(spoiled) not in paths(gallery)


def test_force_encodes_all_photos_again(photos, counting, tmp_path):
    """Also a photo that was replaced by one with equal size and modification time."""
    file = photos / "replaced.bmp"
    draw_photo(100).save(file)
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos)
    status = file.stat()
    draw_photo(101).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert gallery.add(photos).num_unchanged == 13
    report = gallery.add(photos, force=True)
    assert (report.num_changed, report.num_reused, report.num_photos, counting.num_photos) == (13, 0, 13, 26)
    found = from_vectors(gallery.table.rows_where("path", [str(file)])["global_embeds"])
    np.testing.assert_allclose(found[0], counting.encode_photos(draw_photo(101))[0], atol=1e-5)


@pytest.mark.parametrize("was_indexed", [False, True])
def test_an_error_says_that_no_photo_can_be_used(photos, encoder, tmp_path, was_indexed):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    if was_indexed:
        gallery.add(photos)
    for file in photos.rglob("*.png"):
        file.write_bytes(b"no picture any more")
    with pytest.raises(CaanError, match=r"photos: none of the photos can be used.*00\.png"):
        gallery.add(photos)
    assert len(gallery) == (12 if was_indexed else 0)  # perhaps the wrong disk is mounted


def test_progress_is_reported_after_each_batch(photos, encoder, tmp_path):
    calls = []
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos, batch_size=5, progress=lambda steps, total: calls.append((steps, total)))
    assert calls == [(5, 12), (5, 12), (2, 12)]


def test_an_interrupted_run_keeps_what_was_encoded(photos, encoder, tmp_path):
    calls = []

    def interrupt(steps, total):
        calls.append(steps)
        if len(calls) == 2:
            raise KeyboardInterrupt

    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    with pytest.raises(KeyboardInterrupt):
        gallery.add(photos, batch_size=5, progress=interrupt)
    assert len(gallery) == 10
    assert gallery.add(photos).num_added == 2


@pytest.mark.parametrize(
    ("name", "values"),
    [("batch_size", [0, True, None]), ("workers", [0]), ("thumbnail", [-1, 5000]), ("smooth", [-1, 101, 2.5, True])],
)
def test_options_out_of_range_are_refused(encoder, photos, tmp_path, name, values):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    for value in values:
        with pytest.raises(CaanError, match=f"`{name}` must be .*, got {value}"):
            gallery.add(photos, **{name: value})
