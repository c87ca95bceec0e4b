"""Pruning removes only the photos that are gone. Moved photos keep their embeddings."""

import datasets
import pytest
from gallery_rows import paths
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.gallery import Gallery


def test_vanished_photos_are_removed_only_with_prune_and_only_below_the_folder(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    (photos / "summer" / "00.png").unlink()
    (photos / "winter" / "07.png").unlink()
    report = gallery.add(photos)
    assert (report.num_vanished, report.num_pruned, report.num_photos) == (2, 0, 12)
    report = gallery.add(photos / "winter", prune=True)
    assert (report.num_vanished, report.num_pruned, report.num_photos) == (1, 1, 11)


def save_dataset(folder, numbers):
    features = datasets.Features(image=datasets.Image())
    dataset = datasets.Dataset.from_dict({"image": [draw_photo(number) for number in numbers]}, features=features)
    datasets.DatasetDict({"test": dataset}).save_to_disk(folder)


def test_pruning_a_folder_keeps_photos_that_its_listing_excludes(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    save_dataset(photos / "data", [0, 40])  # photo 0 is in the folder too
    gallery.add(photos / "data")
    (photos / ".hidden").mkdir()
    draw_photo(50).save(photos / ".hidden" / "a.png")
    gallery.add([photos / ".hidden" / "a.png"])
    report = gallery.add(photos, prune=True)
    assert (report.num_vanished, report.num_pruned, report.num_photos) == (0, 0, 15)
    (photos / "summer" / "00.png").unlink()
    assert gallery.add(photos, prune=True).num_pruned == 1
    assert gallery.add(photos / "data", prune=True).num_unchanged == 2


def test_pruning_a_dataset_keeps_files_of_a_similar_path(encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    save_dataset(tmp_path / "data", [0])
    (tmp_path / "data#test").mkdir()
    draw_photo(1).save(tmp_path / "data#test" / "1.png")
    gallery.add(tmp_path / "data#test")
    report = gallery.add(tmp_path / "data", prune=True)
    assert (report.num_pruned, report.num_photos) == (0, 2)


def test_photos_of_a_renamed_folder_are_moved_and_not_pruned(photos, counting, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos)
    photos.rename(tmp_path / "moved")
    draw_photo(60).save(tmp_path / "moved" / "new.png")
    report = gallery.add(tmp_path / "moved", prune=True)
    assert counting.num_photos == 13
    assert (report.num_moved, report.num_added, report.num_pruned, report.num_photos) == (12, 1, 0, 13)
    assert paths(gallery) == sorted(str(file) for file in (tmp_path / "moved").rglob("*.png"))


def test_pruning_keeps_other_photos_that_still_exist_or_are_not_listed(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    (photos / "summer" / "05.png").unlink()  # exists nowhere else
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "00.png").write_bytes((photos / "summer" / "00.png").read_bytes())
    report = gallery.add(tmp_path / "copies", prune=True)
    assert (report.num_moved, report.num_added, report.num_pruned, report.num_photos) == (0, 1, 0, 13)


def test_pruning_with_an_empty_folder_is_refused(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    photos.rename(tmp_path / "elsewhere")
    photos.mkdir()
    (photos / "notes.txt").write_text("the disk is not mounted")
    with pytest.raises(CaanError, match=r"no photos found among 1 file\..*keeps its 12 photos"):
        gallery.add(photos, prune=True)
    assert len(gallery) == 12
