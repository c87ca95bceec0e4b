"""Settings: seen photos in the gallery, and categories that training saw under another name."""

import collections
from dataclasses import replace

import datasets
import pytest
from labelled_rows import labelled_rows

from caan_hf import CaanError
from caan_hf.benchmarks import BenchmarkInfo, PrepareOptions, prepare_benchmark
from caan_hf.encoding.encoder import TrainingData
from caan_hf.evaluation.setting import fine_grained, generalized, mixed, plain, training_data, without_seen


@pytest.fixture
def benchmark():
    return datasets.DatasetDict(train=labelled_rows([0]), validation=labelled_rows([1]), test=labelled_rows([2, 3]))


INFO = BenchmarkInfo.model_construct(protocol="folder@1")


def without(setting, protocol, *seen):
    """The setting for a model that was trained on these categories of another benchmark."""
    return without_seen(setting, None, TrainingData(protocol, seen, ()))


def counts(setting):
    return collections.Counter(zip(setting.rows["modality"], setting.rows["category"], strict=True))


def test_plain_setting_is_the_split(benchmark):
    setting = plain(benchmark, INFO, "test")
    assert (setting.protocol, setting.split, setting.removed, setting.notes) == ("folder@1", "test", {}, ())
    assert setting.rows.num_rows == 24
    assert "not the protocol's unseen categories" in plain(benchmark, INFO, "train").notes[0]


def test_a_protocol_of_another_version_is_refused(benchmark):
    with pytest.raises(CaanError, match=r"sketchy-25@7: .*sketchy-25@1"):
        plain(benchmark, BenchmarkInfo.model_construct(protocol="sketchy-25@7"), "test")


def test_generalized_adds_a_fifth_of_the_seen_photos_of_each_category(benchmark):
    setting = generalized(plain(benchmark, INFO, "test"), benchmark)
    assert counts(setting) == {(0, 2): 2, (0, 3): 2, (1, 2): 10, (1, 3): 10, (1, 0): 2, (1, 1): 2}
    assert setting.protocol == "folder@1/generalized"
    again = generalized(plain(benchmark, INFO, "test"), benchmark)
    assert setting.rows["source"] == again.rows["source"]


def with_origin(rows, *origins):
    """The rows with the column `origin`; the benchmark itself is "folder"."""
    features = datasets.ClassLabel(names=["folder", "folder/strokes", "pool"])
    return rows.add_column("origin", list(origins)).cast_column("origin", features)


def test_generalized_ignores_the_photos_of_added_data_sets(benchmark):
    mixed = benchmark["train"].map(lambda row: {"source": f"pool/{row['source']}"})
    train = datasets.concatenate_datasets([with_origin(benchmark["train"], *[0] * 12), with_origin(mixed, *[2] * 12)])
    own = {split: with_origin(rows, *[0] * len(rows)) for split, rows in benchmark.items()}
    setting = generalized(plain(own | {"train": train}, INFO, "test"), own | {"train": train})
    assert setting.rows["source"][:] == generalized(plain(own, INFO, "test"), own).rows["source"][:]


def test_more_training_data_than_the_benchmark_has_are_noted():
    benchmark = datasets.DatasetDict(test=labelled_rows([0, 1]), validation=labelled_rows([2]))
    setting = without(plain(benchmark, INFO, "test"), "folder@1+pool+more", "zebra")
    assert (setting.protocol, setting.removed) == ("folder@1", {})
    assert [note for note in setting.notes if "folder@1+pool+more" in note and "(pool+more)" in note]
    assert without(plain(benchmark, INFO, "test"), "folder@1", "zebra").notes == ()
    elsewhere = without(plain(benchmark, INFO, "test"), "sketchy-25@1+pool", "cat")
    assert elsewhere.protocol == "folder@1/from-sketchy-25@1+pool"
    info = BenchmarkInfo.model_construct(protocol="folder@1", added=["pool"])
    assert "validation split of folder@1+pool" in plain(benchmark, info, "validation").notes[0]


@pytest.mark.parametrize(("split", "seen"), [("test", {(1, 0): 10, (1, 1): 10}), ("validation", {(1, 0): 10})])
def test_mixed_adds_all_photos_of_the_other_seen_categories(benchmark, split, seen):
    setting = mixed(plain(benchmark, INFO, split), benchmark)
    assert counts(setting) == counts(plain(benchmark, INFO, split)) + collections.Counter(seen)
    assert setting.protocol == "folder@1/mixed"
    assert f"all {sum(seen.values())} seen photos" in setting.notes[-1]


@pytest.mark.parametrize("add", [generalized, mixed])
def test_adding_seen_photos_needs_unseen_queries_and_seen_photos(benchmark, add):
    with pytest.raises(CaanError, match="--split test"):
        add(plain(benchmark, INFO, "train"), benchmark)
    with pytest.raises(CaanError, match=f"--{add.__name__} .*cross-dataset"):
        add(without(plain(benchmark, INFO, "test"), "x", "tree"), benchmark)
    alone = datasets.DatasetDict(test=labelled_rows([2, 3]))
    with pytest.raises(CaanError, match=f"--{add.__name__} needs seen photos, .*train and validation"):
        add(plain(alone, INFO, "test"), alone)


@pytest.mark.parametrize("seen", ["hot-air_balloon", "Hot Air Balloon", "hotairballoon"])
def test_a_category_seen_under_another_spelling_is_left_out(benchmark, seen):
    setting = without(plain(benchmark, INFO, "test"), "elsewhere@1", seen, "zebra")
    assert setting.removed == {"hot air balloon": seen}
    assert counts(setting) == {(0, 3): 2, (1, 3): 10}
    assert setting.protocol == "folder@1/from-elsewhere@1"


def test_a_category_seen_under_another_name_is_left_out():
    benchmark = datasets.DatasetDict(test=labelled_rows([0, 1]))
    setting = without(plain(benchmark, INFO, "test"), "quickdraw-30@1", "car", "couch")
    assert setting.removed == {"car (sedan)": "car"}


def test_cross_dataset_needs_a_category(benchmark):
    with pytest.raises(CaanError, match="training saw every category of the test split"):
        without(plain(benchmark, INFO, "test"), "x", "tree", "hot air balloon")


def test_categories_of_training_data_without_a_name_are_noted(benchmark):
    names = benchmark["test"].features["category"].names
    setting = plain(benchmark, INFO, "test")
    assert without(setting, "unnamed", names[0]) == setting
    seen = without(setting, "unnamed", names[2])
    assert (seen.protocol, seen.removed) == (setting.protocol, {})
    assert seen.notes == (f"not zero-shot: training saw {names[2]}",)


@pytest.mark.parametrize(
    ("protocol", "seen", "notes"),
    [
        ("folder@1+elsewhere@1", ("car", "couch"), ["not zero-shot: training saw car (sedan) (as car)"]),
        ("folder@1+elsewhere@1", ("car (sedan)", "car"), ["not zero-shot: training saw car (sedan)"]),
        ("folder@1", ("car", "couch"), []),
    ],
)
def test_a_synonym_in_added_training_data_is_noted(protocol, seen, notes):
    benchmark = datasets.DatasetDict(test=labelled_rows([0, 1]))
    setting = without(plain(benchmark, INFO, "test"), protocol, *seen)
    assert [note for note in setting.notes if "zero-shot" in note] == notes


def test_data_without_a_protocol_is_unnamed(benchmark):
    assert plain(benchmark, None, "test").protocol == "unnamed"
    with pytest.raises(CaanError, match=r"--split tset: .*train, validation, test"):
        plain(benchmark, None, "tset")


@pytest.mark.parametrize(("split", "noted"), [("test", True), ("validation", False)])
def test_validation_categories_of_the_same_benchmark_are_noted_on_the_test_split(benchmark, split, noted):
    recorded = TrainingData("folder@1", ("zebra",), ("cat", "tree"))
    setting = without_seen(plain(benchmark, INFO, split), None, recorded)
    assert any("not zero-shot: training saw tree" in note for note in setting.notes) == noted
    assert setting.removed == {}


def test_training_data_is_a_protocol_a_file_or_a_folder(tmp_path):
    found = training_data("sketchy-21")
    assert (found.protocol, len(found.categories)) == ("sketchy-21@1", 104)
    (tmp_path / "mine.txt").write_text("cat\ndog\n")
    assert training_data(str(tmp_path / "mine.txt")) == ("mine", ("cat", "dog"), ())
    small = {"photos_per_category": 1, "sketches_per_category": 1, "image_size": 16}
    prepare_benchmark("sample", None, tmp_path / "sample", PrepareOptions(progress=False, **small))
    found = training_data(str(tmp_path / "sample"))
    assert (found.protocol, len({*found.categories, *found.validation})) == ("sample@1", 38)
    for wrong in ("sample", "nothing/here"):
        with pytest.raises(CaanError, match="--trained-on"):
            training_data(wrong)


def test_fine_grained_setting_has_no_extended_photos(benchmark):
    folders = ["sketch/", "256x256/photo/tx_000000000000/cat/", "EXTEND_image_sketchy_ready/cat/"]
    rows = benchmark["test"].map(lambda row, place: {"source": folders[place % 3] + row["source"]}, with_indices=True)
    setting = plain(datasets.DatasetDict(test=rows), None, "test")
    found = fine_grained(replace(setting, protocol="sketchy-25@1/from-x"))
    assert found.protocol == "sketchy-25-fine@1/from-x"
    assert (found.rows.num_rows, setting.rows.num_rows) == (16, 24)
    assert not any(source.startswith("EXTEND") for source in found.rows["source"])
    assert found.notes == ("8 extended photos, from which no sketch was drawn, are not in the gallery",)


def test_fine_grained_setting_of_a_benchmark_without_pairs_is_refused(benchmark):
    with pytest.raises(CaanError, match=r"tuberlin-30@1: .*not drawn from its photos"):
        fine_grained(plain(benchmark, BenchmarkInfo.model_construct(protocol="tuberlin-30@1"), "train"))
