"""Photos come from folders, lists and datasets. Other values are refused by name."""

import datasets
import numpy as np
import pytest
from gallery_rows import embeds, paths
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.gallery import Gallery


def test_the_error_for_a_list_of_missing_photos_names_the_reason(encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    (tmp_path / "note.txt").write_text("hello\n")
    with pytest.raises(CaanError, match=r"note.txt: none of the listed photos.*no such file: /.*/hello"):
        gallery.add(tmp_path / "note.txt")


def test_a_text_file_lists_photos(photos, encoder, tmp_path):
    file = photos / "list.txt"
    file.write_text("summer/00.png\n\n" + str(photos / "winter" / "06.png") + "\nsummer/gone.png\nsummer/00.png\n")
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    report = gallery.add(file)
    assert paths(gallery) == [str(photos / "summer" / "00.png"), str(photos / "winter" / "06.png")]
    assert [problem.path for problem in report.problems.found] == [str(photos / "summer" / "gone.png")]
    (photos / "winter" / "06.png").unlink()
    assert gallery.add(file, prune=True).num_pruned == 1
    assert len(gallery) == 1


@pytest.mark.parametrize("as_object", [True, False])
def test_photos_of_a_dataset_are_stored_in_the_gallery(encoder, tmp_path, as_object):
    images = [draw_photo(number) for number in range(6)]
    features = datasets.Features(
        image=datasets.Image(), modality=datasets.ClassLabel(names=["sketch", "photo"]), note=datasets.Value("string")
    )
    dataset = datasets.Dataset.from_dict(
        {"image": images, "modality": [1, 0, 1, 1, 0, 1], "note": ["x"] * 6}, features=features
    )
    datasets.DatasetDict({"test": dataset, "train": dataset.select([0])}).save_to_disk(tmp_path / "data")
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    given = datasets.load_from_disk(tmp_path / "data")["test"] if as_object else tmp_path / "data"
    assert gallery.add(given, split="test").num_added == 4
    assert gallery.add(given, split="test").num_unchanged == 4
    expected = encoder.encode_photos([images[number] for number in (0, 2, 3, 5)])
    np.testing.assert_allclose(embeds(gallery), expected, atol=1e-5)
    assert list(gallery.photo(paths(gallery)[1]).get_flattened_data()) == list(images[2].get_flattened_data())


def test_a_value_that_is_not_a_source_of_photos_is_refused(photos, encoder, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    for given, message in {
        "nowhere": "no such folder, list of photos or dataset",
        "./no/where": "no such folder, list of photos or dataset",
        photos / "summer" / "00.png": "is a photo. Give its folder",
        tmp_path / "binary.txt": "not a UTF-8 text file",
        tmp_path / "empty.txt": "lists no photos",
    }.items():
        with pytest.raises(CaanError, match=message):
            gallery.add(given)


def test_a_dataset_with_several_splits_needs_a_split_and_a_stream_is_refused(encoder, tmp_path):
    dataset = datasets.Dataset.from_dict({"image": [draw_photo(0)]}, features=datasets.Features(image=datasets.Image()))
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    splits = datasets.DatasetDict({"test": dataset, "train": dataset})
    splits.save_to_disk(tmp_path / "data")
    for given in (splits, tmp_path / "data"):
        assert gallery.add(given, split="test").num_added == 1
        with pytest.raises(CaanError, match=r"several splits.*test, train with --split"):
            gallery.add(given)
        with pytest.raises(CaanError, match=r"no split 'tset'.*test, train with --split"):
            gallery.add(given, split="tset")
    stream = dataset.to_iterable_dataset()
    for given in (stream, datasets.IterableDatasetDict(test=stream)):
        with pytest.raises(CaanError, match="streamed"):
            gallery.add(given)
    for given in (5, None, [5], b"photos", {"a": 1}):
        with pytest.raises(CaanError, match=r"not photos|not a dataset"):
            gallery.add(given)


def test_a_name_that_no_file_can_have_is_skipped(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    report = gallery.add(["a\0b", photos / "winter" / "06.png"])
    assert report.num_added == 1
    assert [problem.reason for problem in report.problems.found] == ["not a file name"]
