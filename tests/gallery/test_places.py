"""Moved photos are recognised, and photos of absent folders are kept."""

import os
import shutil

import pytest
from gallery_rows import paths
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.gallery import Gallery


@pytest.fixture
def gallery(counting, tmp_path):
    return Gallery.create(tmp_path / "gallery", model=counting)


def files(folder):
    return sorted(str(file) for file in folder.rglob("*.png"))


def test_a_library_that_was_renamed_and_changed_is_followed(gallery, photos, counting, tmp_path):
    gallery.add(photos)
    moved = photos.rename(tmp_path / "moved")
    (moved / "winter").rename(moved / "cold")
    (moved / "summer" / "00.png").unlink()
    draw_photo(90).save(moved / "new.png")
    shutil.copy(moved / "summer" / "01.png", moved / "copy.png")
    report = gallery.add(moved)
    assert counting.num_photos == 13
    assert (report.num_moved, report.num_added, report.num_copies) == (11, 2, 1)
    assert report.absent == {str(photos): 1}
    assert [path for path in paths(gallery) if path.startswith(str(moved))] == files(moved)
    assert gallery.add(moved, prune=True).num_photos == 14  # the missing photo may be on a disk that is not mounted
    report = gallery.add(moved, forget=[str(photos)])
    assert (report.num_forgotten, report.num_photos, report.absent) == (1, 13, {})
    assert paths(gallery) == files(moved)


def test_copies_are_kept_and_counted(gallery, photos, counting, tmp_path):
    shutil.copytree(photos / "winter", tmp_path / "backup")
    gallery.add(photos)
    report = gallery.add(tmp_path / "backup")
    assert (report.num_added, report.num_copies, report.num_moved, counting.num_photos) == (6, 6, 0, 12)
    shutil.rmtree(photos / "winter")
    report = gallery.add(photos, prune=True)
    assert (report.num_pruned, report.num_photos) == (6, 12)
    assert set(files(tmp_path / "backup")) < set(paths(gallery))


def test_copies_within_one_run_are_counted(gallery, photos):
    shutil.copytree(photos / "winter", photos / "winter again")
    report = gallery.add(photos)
    assert (report.num_added, report.num_copies) == (18, 6)


def test_a_gallery_indexed_by_the_path_of_a_symlink_is_followed_to_the_real_path(gallery, photos, counting, tmp_path):
    gallery.add(photos)
    found = gallery.table.rows_where("path", paths(gallery))
    link = tmp_path / "link"
    link.symlink_to(photos)
    linked = [path.replace(str(photos), str(link)) for path in found["path"].to_pylist()]
    gallery.table.delete(found["path"].to_pylist())
    gallery.table.upsert(found.set_column(0, found.schema.field(0), [linked]))  # as earlier versions stored it
    report = gallery.add(link)
    assert (report.num_moved, report.num_added, counting.num_photos) == (12, 0, 12)
    assert paths(gallery) == files(photos)


@pytest.mark.parametrize("leave", ["nothing", "an empty folder"])
def test_photos_of_a_folder_that_is_not_there_are_not_pruned(gallery, photos, tmp_path, leave):
    gallery.add(photos / "winter")
    gallery.add(photos)
    away = (photos / "winter").rename(tmp_path / "unmounted")
    if leave == "an empty folder":
        (photos / "winter").mkdir()
    (photos / "summer" / "00.png").unlink()
    report = gallery.add(photos, prune=True)
    assert (report.vanished, report.num_photos) == ([str(photos / "summer" / "00.png")], 11)
    assert report.absent == {str(photos / "winter"): 6}
    if leave == "an empty folder":
        (photos / "winter").rmdir()
    away.rename(photos / "winter")
    report = gallery.add(photos, prune=True)
    assert (report.num_unchanged, report.absent) == (11, {})


def test_photos_behind_a_broken_symlink_are_not_pruned(gallery, photos, tmp_path):
    (photos / "winter").rename(tmp_path / "disk")
    (photos / "winter").symlink_to(tmp_path / "disk")
    assert gallery.add(photos).num_photos == 12
    away = (tmp_path / "disk").rename(tmp_path / "unmounted")
    report = gallery.add(photos, prune=True)
    assert (report.num_pruned, report.absent) == (0, {str(tmp_path / "disk"): 6})
    away.rename(tmp_path / "disk")
    assert gallery.add(photos, prune=True).num_unchanged == 12


@pytest.mark.parametrize("as_list", [True, False])
def test_photos_of_an_unmounted_disk_are_not_pruned(gallery, photos, tmp_path, monkeypatch, as_list):
    """The mount point holds another file meanwhile."""
    mounted = {str(photos / "winter")}
    ismount = os.path.ismount
    monkeypatch.setattr("os.path.ismount", lambda path: str(path) in mounted or ismount(path))
    given = files(photos) if as_list else photos
    gallery.add(given)
    (photos / "winter").rename(tmp_path / "disk")
    (photos / "winter").mkdir()
    (photos / "winter" / "NOT MOUNTED").write_text("")
    mounted.clear()
    report = gallery.add(given, prune=True)
    assert (report.num_pruned, report.absent) == (0, {str(photos / "winter"): 6})


def test_copies_on_a_disk_that_is_not_mounted_are_kept(gallery, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "disk")
    gallery.add(photos)
    gallery.add(tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    report = gallery.add(photos, prune=True)
    assert (report.num_moved, report.num_pruned, report.num_photos) == (0, 0, 24)
    assert report.absent == {str(tmp_path / "disk"): 12}


def test_a_folder_to_forget_is_checked(gallery, photos, tmp_path):
    gallery.add(photos)
    with pytest.raises(CaanError, match=r"--forget .*winte: .*no photos of this folder"):
        gallery.add(photos, forget=[str(photos / "winte")])
    assert len(gallery) == 12
