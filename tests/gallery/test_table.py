"""The table of a gallery does not grow by what was replaced or removed, and other processes may go on reading it."""

import os
import random

import pytest

from caan_hf.gallery import Gallery


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def versions(folder):
    return len(list((folder / "photos.lance" / "_versions").glob("*.manifest")))


@pytest.fixture
def gallery(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    return gallery


def touch(photos, seconds):
    for file in photos.rglob("*.png"):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime + seconds))


def test_a_gallery_does_not_grow_when_its_photos_are_touched(gallery, photos, tmp_path):
    fresh = size(tmp_path / "gallery")
    freed = 0
    for _ in range(8):
        touch(photos, 10)
        report = gallery.add(photos)
        assert report.num_changed == 12
        freed += report.freed_bytes
    assert size(tmp_path / "gallery") < 1.5 * fresh
    assert versions(tmp_path / "gallery") < 5
    assert freed > 6 * fresh


def test_the_bytes_of_removed_photos_are_freed(photos, encoder, tmp_path):
    marks = {}
    for file in photos.rglob("*.png"):
        marks[file] = random.Random(str(file)).randbytes(4_000)
        file.write_bytes(file.read_bytes() + marks[file])  # after the end of the picture
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos, copy=True)
    removed = sorted(marks)[:4]
    for file in removed:
        file.unlink()
    report = gallery.add(photos, prune=True)
    assert (report.num_pruned, report.num_photos) == (4, 8)
    assert report.freed_bytes > 4 * 4_000
    content = b"".join(file.read_bytes() for file in (tmp_path / "gallery").rglob("*") if file.is_file())
    assert all((mark in content) == (file not in removed) for file, mark in marks.items())


def test_nothing_is_rewritten_or_freed_when_nothing_changed(gallery, photos, tmp_path):
    gallery.add(photos)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.joinpath("gallery").rglob("*")}
    assert gallery.add(photos).freed_bytes == 0
    assert {file: file.stat().st_mtime_ns for file in tmp_path.joinpath("gallery").rglob("*")} == before


def test_another_reader_and_writer_go_on_after_old_versions_were_removed(gallery, photos, sketch, encoder, tmp_path):
    reader, writer = (Gallery.create(tmp_path / "gallery", model=encoder) for _ in range(2))
    assert len(reader.search(sketch, k=20)) == len(writer.search(sketch, k=20)) == 12
    touch(photos, 10)
    (photos / "summer" / "00.png").unlink()
    assert gallery.add(photos, prune=True).freed_bytes > 0
    assert len(reader.search(sketch, k=20)) == 11  # read the version that was removed
    writer.table.delete([str(photos / "summer" / "01.png")])
    assert len(writer) == 10
