"""A real subset of Sketchy and of Quick, Draw!, where it lies beside the repository."""

from pathlib import Path

import pytest
from raw_folders import prepare_folder

from caan_hf.benchmarks import load_benchmark

DATA = Path(__file__).parents[3] / "shared/data"
needs_data = pytest.mark.skipif(
    not (DATA / "sketchy").is_dir() or not (DATA / "quickdraw").is_dir(),
    reason="the Sketchy and Quick, Draw! subsets are not at ../shared/data beside the repository",
)


@needs_data
def test_sketchy_25_subset(tmp_path):
    prepared = prepare_folder("sketchy-25", DATA / "sketchy", tmp_path / "out", strict=True)
    dataset, info = load_benchmark(prepared.path)
    assert len(info.seen) + len(info.validation) == 100
    assert len(info.validation) == 14
    assert info.counts.test.model_dump() == {"sketch": 625, "photo": 625}
    assert sum(map(len, dataset.values())) == 125 * 25 * 2
    assert dataset["test"][0]["image"].size == (256, 256)


@needs_data
def test_quick_draw_strokes_are_added_to_sketchy_21(tmp_path):
    strokes = {"strokes": DATA / "quickdraw/simplified", "strokes_per_category": 5}
    prepared = prepare_folder("sketchy-21", DATA / "sketchy", tmp_path / "out", embed=False, strict=True, **strokes)
    added = prepared.counts["train"]["sketch"] + prepared.counts["validation"]["sketch"] - 104 * 25
    assert added == 5 * 82  # of the 99 categories of Sketchy that Quick, Draw! has too, 82 are seen
    assert prepared.counts["test"] == {"sketch": 525, "photo": 525}


@pytest.mark.skipif(not (DATA / "pool").is_dir(), reason="the pool is not at ../shared/data beside the repository")
def test_the_pool_is_added_to_sketchy_25(tmp_path):
    limits = dict.fromkeys(("photos_per_category", "sketches_per_category", "strokes_per_category"), 1)
    options = {"add": [str(DATA / "pool")], "unpaired": True, "validation_categories": 0, "strict": True}
    info = prepare_folder("sketchy-25", DATA / "sketchy", tmp_path / "out", **limits, **options).info
    assert info.held_out == []
    assert len(info.unseen) == 25
    assert info.counts.test.model_dump() == {"sketch": 625, "photo": 625}
    assert (len(info.seen), len(info.only_sketches), len(info.only_photos)) == (597, 102, 290)
