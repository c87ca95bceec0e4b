"""A folder lists each photo once, without the thumbnails and deleted photos that systems keep beside them."""

from pathlib import Path

import pytest
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.sources import photo_source
from caan_hf.utils.problems import Problems


def listed(folder, **options):
    source = photo_source(folder, **options)
    return sorted(str(Path(path).relative_to(folder)) for path in source.scan(Problems())["path"].to_pylist())


def draw(*files):
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number, (32, 32)).save(file)


@pytest.fixture
def nas(tmp_path):
    """Three photos on a NAS, with what its operating system and others keep there."""
    folder = tmp_path / "nas"
    names = [f"{number}.jpg" for number in range(3)]
    draw(*(folder / "2019" / name for name in names))
    thumbnails = ("SYNOPHOTO_THUMB_XL.jpg", "SYNOPHOTO_THUMB_M.jpg")
    draw(*(folder / "2019" / "@eaDir" / name / size for name in names for size in thumbnails))
    for system in ("#recycle", "$RECYCLE.BIN", ".thumbnails", ".Trash-1000", "@Recycle", "lost+found", "__MACOSX"):
        draw(folder / system / "S-1-5" / "deleted.jpg")
    return folder


def test_system_folders_are_skipped_and_named(nas, encoder, tmp_path):
    report = Gallery.create(tmp_path / "gallery", model=encoder).add(nas)
    assert report.num_photos == 3
    assert {Path(folder).name for folder in report.skipped_folders} == {
        *("@eaDir", "#recycle", "$RECYCLE.BIN", "@Recycle", "lost+found", "__MACOSX")
    }


def test_the_originals_of_a_photo_library_are_listed_and_its_thumbnails_are_not(tmp_path):
    library = tmp_path / "Photos.photoslibrary"
    draw(library / "originals" / "A" / "1.jpg", library / "resources" / "derivatives" / "1_105.jpg")
    assert listed(tmp_path) == ["Photos.photoslibrary/originals/A/1.jpg"]


def test_a_system_folder_that_is_given_itself_is_listed(nas):
    assert len(listed(nas / "2019" / "@eaDir")) == 6


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*_thumb.jpg", ["2019/raw/b.jpg", "2020/raw/c.jpg", "a.jpg"]),
        ("RAW", ["a.jpg", "a_thumb.jpg"]),
        ("2019/raw/", ["2020/raw/c.jpg", "a.jpg", "a_thumb.jpg"]),
        ("a*", ["2019/raw/b.jpg", "2020/raw/c.jpg"]),
        ("raw/*.jpg", ["a.jpg", "a_thumb.jpg"]),
    ],
)
def test_patterns_exclude_names_and_ends_of_paths(tmp_path, pattern, left):
    folder = tmp_path / "a folder"  # the patterns do not apply to its own path
    draw(folder / "a.jpg", folder / "a_thumb.jpg", folder / "2019" / "raw" / "b.jpg", folder / "2020" / "raw" / "c.jpg")
    assert listed(folder, exclude=[pattern]) == left


def test_pruning_removes_photos_that_are_now_excluded(nas, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(nas / "2019" / "@eaDir")
    report = gallery.add(nas)
    assert (report.num_added, report.num_vanished, report.num_photos) == (3, 6, 9)
    report = gallery.add(nas, prune=True)
    assert (report.num_pruned, report.num_photos) == (6, 3)
    assert gallery.add(nas, prune=True, exclude=["2.jpg"]).num_photos == 2


def test_patterns_are_refused_where_they_do_not_apply(photos):
    with pytest.raises(CaanError, match=r"--exclude \*\.gif.*only to folders"):
        photo_source([photos / "summer" / "00.png"], exclude=["*.gif"])


def test_a_photo_is_listed_once_by_whatever_symlinks_it_is_reached(photos, encoder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    draw(elsewhere / "album" / "e.png")
    (photos / "a link").symlink_to(photos / "winter")
    (photos / "album").symlink_to(elsewhere / "album")
    (photos / "all").symlink_to(elsewhere)
    (photos / "best.png").symlink_to(photos / "summer" / "00.png")
    (tmp_path / "link").symlink_to(photos)
    (tmp_path / "list.txt").write_text("link/winter/06.png\nphotos/winter/06.png\n")
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    assert gallery.add(photos).num_photos == 13
    assert gallery.add(tmp_path / "link").num_unchanged == 13
    assert gallery.add(elsewhere).num_unchanged == 1
    report = gallery.add(tmp_path / "list.txt")
    assert (report.num_unchanged, report.num_photos) == (1, 13)


def test_a_symlink_to_a_file_that_is_not_listed_keeps_its_name(tmp_path):
    """Such as in a git-annex, where each photo is a symlink into a hidden folder."""
    folder = tmp_path / "annex"
    (folder / ".git" / "objects").mkdir(parents=True)
    draw_photo(0).save(folder / ".git" / "objects" / "SHA256-1.jpg")
    draw_photo(0).save(folder / ".git" / "objects" / "SHA256-2", "JPEG")
    (folder / "1.jpg").symlink_to(".git/objects/SHA256-1.jpg")
    (folder / "2.jpg").symlink_to(".git/objects/SHA256-2")
    assert listed(folder) == ["1.jpg", "2.jpg"]
