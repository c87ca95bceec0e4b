"""Adding photos stores each photo once, with the embedding of the model, and encodes nothing twice."""

import io
import os

import datasets
import numpy as np
import pytest
from photos import draw_photo
from PIL import Image

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.schema import from_vectors
from caan_hf.gallery.table import may_be_gallery


def rows(gallery, *columns):
    return gallery.table.columns(["path", *columns]).sort_by("path")


def paths(gallery):
    return rows(gallery)["path"].to_pylist()


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
    local = from_vectors(found["local_embeds"])
    assert local.dtype == np.float16
    np.testing.assert_allclose(local.reshape(features.local_embeds.shape), features.local_embeds, atol=1e-3)


def test_only_new_and_changed_photos_are_encoded(photos, counting, tmp_path):
    Gallery.create(tmp_path / "gallery", model=counting).add(photos)
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    report = gallery.add(photos)
    assert (report.num_added, report.num_unchanged, report.num_photos, counting.num_photos) == (0, 12, 12, 12)
    before = from_vectors(rows(gallery, "global_embeds")["global_embeds"])
    draw_photo(100).save(photos / "new.png")
    changed = photos / "summer" / "03.png"
    draw_photo(101).save(changed)
    touch(changed)
    report = gallery.add(photos)
    assert (report.num_added, report.num_changed, report.num_unchanged, counting.num_photos) == (1, 1, 11, 14)
    found = rows(gallery, "global_embeds")
    assert len(found) == 13
    after = dict(zip(found["path"].to_pylist(), from_vectors(found["global_embeds"]), strict=True))
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
    np.testing.assert_allclose(from_vectors(rows(gallery, "global_embeds")["global_embeds"]), expected, atol=1e-5)
    assert gallery.add(photos).num_unchanged == 13


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


@pytest.mark.parametrize("prune", [True, False])
def test_photos_of_a_renamed_folder_are_moved(photos, counting, tmp_path, prune):
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos)
    photos.rename(tmp_path / "moved")
    draw_photo(60).save(tmp_path / "moved" / "new.png")
    report = gallery.add(tmp_path / "moved", prune=prune)
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


def test_a_list_of_missing_photos_is_named_with_the_reason(encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    (tmp_path / "note.txt").write_text("hello\n")
    with pytest.raises(CaanError, match=r"note.txt: none of the listed photos.*no such file: /.*/hello"):
        gallery.add(tmp_path / "note.txt")


def test_pruning_with_an_empty_folder_is_refused(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    photos.rename(tmp_path / "elsewhere")
    photos.mkdir()
    (photos / "notes.txt").write_text("the disk is not mounted")
    with pytest.raises(CaanError, match=r"no photos found among 1 file\..*keeps its 12 photos"):
        gallery.add(photos, prune=True)
    assert len(gallery) == 12


def test_a_photo_that_became_unreadable_is_removed(photos, encoder, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    spoiled = photos / "summer" / "00.png"
    spoiled.write_bytes(b"no picture any more")
    report = gallery.add(photos)
    assert (report.num_spoiled, report.num_changed, report.num_photos) == (1, 0, 11)
    assert [problem.path for problem in report.problems.found] == [str(spoiled)]
    assert str(spoiled) not in paths(gallery)


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
    split = "test"
    given = datasets.load_from_disk(tmp_path / "data")[split] if as_object else tmp_path / "data"
    report = gallery.add(given, split=split)
    assert report.num_added == 4
    assert gallery.add(given, split=split).num_unchanged == 4
    found = rows(gallery, "global_embeds")
    expected = encoder.encode_photos([images[number] for number in (0, 2, 3, 5)])
    np.testing.assert_allclose(from_vectors(found["global_embeds"]), expected, atol=1e-5)
    assert list(gallery.photo(paths(gallery)[1]).get_flattened_data()) == list(images[2].get_flattened_data())


def test_a_dataset_with_several_splits_needs_a_split(encoder, tmp_path):
    dataset = datasets.Dataset.from_dict({"image": [draw_photo(0)]}, features=datasets.Features(image=datasets.Image()))
    datasets.DatasetDict({"test": dataset, "train": dataset}).save_to_disk(tmp_path / "data")
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    with pytest.raises(CaanError, match=r"several splits.*test, train with --split"):
        gallery.add(tmp_path / "data")
    with pytest.raises(CaanError, match=r"no split 'tset'.*test, train with --split"):
        gallery.add(tmp_path / "data", split="tset")


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
    before = from_vectors(rows(gallery, "global_embeds")["global_embeds"])
    report = gallery.add(photos / "winter", copy=True, thumbnail=16)
    assert (report.num_refreshed, report.num_changed, report.num_stored, report.num_photos) == (6, 0, 6, 12)
    report = gallery.add(photos, copy=True, thumbnail=16)
    assert (report.num_refreshed, report.num_unchanged, report.num_stored) == (6, 6, 12)
    assert counting.num_photos == 12
    found = rows(gallery, "image", "thumbnail", "global_embeds")
    assert found["image"].to_pylist() == [file.read_bytes() for file in sorted(photos.rglob("*.png"))]
    assert {max(Image.open(io.BytesIO(data)).size) for data in found["thumbnail"].to_pylist()} == {16}
    np.testing.assert_array_equal(from_vectors(found["global_embeds"]), before)
    assert gallery.add(photos, copy=True, thumbnail=16).num_unchanged == 12
    report = gallery.add(photos, copy=False, thumbnail=0)
    assert (report.num_refreshed, report.num_stored) == (12, 0)
    assert rows(gallery, "thumbnail")["thumbnail"].null_count == 12


def test_a_gallery_goes_on_as_it_was_begun(photos, encoder, tmp_path):
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


def test_a_damaged_gallery_is_named(photos, encoder, tmp_path):
    Gallery.create(tmp_path / "gallery", model=encoder).add(photos)
    for file in (tmp_path / "gallery" / "photos.lance" / "_versions").iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(CaanError, match="gallery: cannot be opened") as error:
        Gallery.open(tmp_path / "gallery")
    assert "\n" not in str(error.value)


def test_a_gallery_can_be_a_url(photos, encoder, sketch, tmp_path):
    place = f"file://{tmp_path}/gallery"
    assert Gallery.create(place, model=encoder).add(photos).num_added == 12
    assert Gallery.open(place, model=encoder).search(sketch, k=3)
    with pytest.raises(CaanError, match="there is no gallery"):
        Gallery.open(f"file://{tmp_path}/nowhere")


def test_galleries_are_distinguished_from_folders_of_photos(photos, encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Gallery.create(tmp_path / "gallery", model=encoder)
    assert all(map(may_be_gallery, (tmp_path / "gallery", "~/gallery", "s3://bucket/gallery")))
    assert not may_be_gallery(photos)


def test_a_place_that_holds_something_else_is_refused(photos, encoder, tmp_path):
    with pytest.raises(CaanError, match="holds other files and no gallery"):
        Gallery.create(photos, model=encoder)
    with pytest.raises(CaanError, match="a file, not a folder"):
        Gallery.create(photos / "summer" / "00.png", model=encoder)
    with pytest.raises(CaanError, match="there is no gallery"):
        Gallery.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


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


@pytest.mark.parametrize("name", ["photos:2024", "s3:x", "a#b?c", "50%20", "C:"])
def test_a_relative_name_of_a_gallery_is_a_folder(photos, encoder, sketch, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Gallery.create(name, model=encoder).add(photos / "winter")
    assert (tmp_path / name / "photos.lance").is_dir()
    assert len(Gallery.open(name, model=encoder).search(sketch)) == 6


def test_an_impossible_name_of_a_gallery_is_refused(encoder):
    for use in (lambda: Gallery.create("a\0b", model=encoder), lambda: Gallery.open("a\0b", model=encoder)):
        with pytest.raises(CaanError, match=r"cannot be written|there is no gallery"):
            use()


def test_a_model_may_be_a_path_object(photos, checkpoint, sketch, tmp_path):
    assert Gallery.create(tmp_path / "gallery", model=checkpoint, device="cpu").add(photos / "winter").num_added == 6
    assert Gallery.open(tmp_path / "gallery", model=checkpoint, device="cpu").search(sketch)


def test_a_dictionary_of_splits_is_a_dataset_and_a_stream_is_refused(encoder, tmp_path):
    dataset = datasets.Dataset.from_dict({"image": [draw_photo(0)]}, features=datasets.Features(image=datasets.Image()))
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    splits = datasets.DatasetDict({"test": dataset, "train": dataset})
    assert gallery.add(splits, split="test").num_added == 1
    with pytest.raises(CaanError, match=r"several splits.*--split"):
        gallery.add(splits)
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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_list_in_another_encoding_is_refused(photos, encoder, tmp_path, encoding):
    (photos / "list.txt").write_text("winter/06.png\nnaïve.png\n", encoding=encoding)
    with pytest.raises(CaanError, match=r"list\.txt: not a UTF-8 text file.*Save"):
        Gallery.create(tmp_path / "gallery", model=encoder).add(photos / "list.txt")


def test_force_notices_a_photo_that_was_replaced_with_equal_size_and_time(encoder, tmp_path):
    (tmp_path / "photos").mkdir()
    file = tmp_path / "photos" / "0.bmp"
    draw_photo(0).save(file)
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(file.parent)
    status = file.stat()
    draw_photo(1).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert gallery.add(file.parent).num_unchanged == 1
    assert gallery.add(file.parent, force=True).num_changed == 1
    found = from_vectors(rows(gallery, "global_embeds")["global_embeds"])
    np.testing.assert_allclose(found[0], encoder.encode_photos(draw_photo(1))[0], atol=1e-5)


def test_force_encodes_all_photos_again(photos, counting, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=counting)
    gallery.add(photos)
    report = gallery.add(photos, force=True)
    assert (report.num_changed, report.num_reused, report.num_photos, counting.num_photos) == (12, 0, 12, 24)


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
        stored = from_vectors(gallery.table.rows_where("path", [result.path])["local_embeds"])
        (computed,) = bare._with_local([result])
        np.testing.assert_array_equal(computed.local_embeds.reshape(-1), stored[0])


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"workers": 0}, {"thumbnail": -1}, {"thumbnail": 5000}, {"batch_size": True}]
)
def test_options_out_of_range_are_refused(encoder, photos, tmp_path, wrong):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    with pytest.raises(CaanError, match=next(iter(wrong))):
        gallery.add(photos, **wrong)
