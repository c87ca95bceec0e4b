"""A killed run is continued, and several processes may index one gallery, without losing or duplicating photos."""

import signal
import time

import numpy as np
import pytest
from indexer import start_indexer
from photos import draw_photo
from PIL import Image

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_vectors
from caan_hf.gallery.table import PhotoTable

COUNT = 120


@pytest.fixture(scope="module")
def many_photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "photos"
    folder.mkdir()
    for number in range(COUNT):
        draw_photo(number, (32, 32)).save(folder / f"{number:03}.png")
    return folder


def wait_for_rows(gallery, count, seconds=120):
    """Wait until a gallery that another process writes has `count` rows; returns the number of rows."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            rows = len(PhotoTable.open(gallery))
        except CaanError:
            rows = 0
        if rows >= count:
            return rows
        time.sleep(0.02)
    raise AssertionError(f"no {count} rows after {seconds} s")


def require_complete(gallery, photos, encoder):
    """Check that the gallery holds every photo once, with its own embedding."""
    found = PhotoTable.open(gallery).columns(["path", "global_embeds"]).sort_by("path")
    files = sorted(photos.iterdir())
    assert found["path"].to_pylist() == [str(file) for file in files]
    expected = encoder.encode_photos([Image.open(file) for file in files])
    np.testing.assert_allclose(from_vectors(found["global_embeds"]), expected, atol=1e-5)


@pytest.mark.slow
def test_a_run_that_is_killed_twice_is_continued(checkpoint, encoder, many_photos, tmp_path):
    gallery = tmp_path / "gallery"
    kept = 0
    for count in (1, 30):
        process = start_indexer(checkpoint, many_photos, gallery)
        wait_for_rows(gallery, max(count, kept + 2))
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        rows = PhotoTable.open(gallery).columns(["path"])["path"].to_pylist()
        assert len(rows) == len(set(rows))
        assert kept < len(rows) < COUNT
        kept = len(rows)
    report = Gallery.create(gallery, model=encoder).add(many_photos)
    assert (report.num_added, report.num_unchanged) == (COUNT - kept, kept)
    require_complete(gallery, many_photos, encoder)


@pytest.mark.slow
def test_three_processes_index_the_same_photos(checkpoint, encoder, many_photos, tmp_path):
    """All index the same photos into an empty gallery, and one is killed, which provokes duplicates."""
    gallery = tmp_path / "gallery"
    processes = [start_indexer(checkpoint, many_photos, gallery) for _ in range(3)]
    wait_for_rows(gallery, 20)
    processes[0].kill()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes[1:]] == [0, 0]
    require_complete(gallery, many_photos, encoder)


def test_two_gallery_objects_write_in_turns(photos, encoder, tmp_path):
    first = Gallery.create(tmp_path / "gallery", model=encoder)
    second = Gallery.create(tmp_path / "gallery", model=encoder)
    first.add(photos / "summer")
    assert second.add(photos).num_unchanged == 6
    assert first.add(photos, prune=True).num_unchanged == 12
    assert len(first) == len(second) == 12
