"""Categories that have only sketches or only photos."""

import datasets
import numpy as np
import pytest
import torch
from tiny_recipe import CATEGORIES, NO_VALIDATION
from torch.utils.data import DataLoader

from caan_hf import CaanError
from caan_hf.benchmarks import PrepareOptions, load_benchmark, prepare_benchmark
from caan_hf.training import TripletCollator, TripletDataset
from caan_hf.training.augmentation import photo_augmentation, sketch_augmentation
from caan_hf.training.sampler import EpochSampler
from caan_hf.training.unpaired import UnpairedImage, UnpairedPerBatch

SKETCH, PHOTO = 0, 1


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> datasets.Dataset:
    """Eight drawn categories of two origins: 3 with both modalities, 2 with sketches and 3 with photos only."""
    folder = tmp_path_factory.mktemp("mixed") / "data"
    options = {"photos_per_category": 4, "sketches_per_category": 4, "image_size": 48, "categories": CATEGORIES}
    prepare_benchmark("sample", None, folder, PrepareOptions(validation_categories=0, progress=False, **options))
    splits = load_benchmark(folder)[0]
    everything = datasets.concatenate_datasets([splits["train"], splits["test"]])
    categories = np.array(everything["category"])
    removed = (np.isin(categories, [3, 4]), np.isin(categories, [5, 6, 7]))
    keep = ~np.where(np.array(everything["modality"]) == PHOTO, *removed)
    split = everything.select(np.flatnonzero(keep))
    return split.remove_columns("origin").add_column("origin", [f"set {row % 2}" for row in range(len(split))])


def make(split: datasets.Dataset, processor, **options) -> TripletDataset:
    return TripletDataset(split, processor, sample_negatives=False, **options)


def test_triplets_are_made_of_paired_categories(mixed, processor):
    triplets = make(mixed, processor)
    assert len(triplets) == 12
    assert {triplets[index].category_ids[0] for index in range(12)} == {0, 1, 2}
    assert set(triplets.sketches["category"]) == set(triplets.photos["category"]) == {0, 1, 2}
    assert set(triplets.sentences_of) == {0, 1, 2}
    assert triplets.unpaired_images(0) == []


def test_photos_of_unpaired_categories_serve_as_sampled_negatives(mixed, processor):
    triplets = TripletDataset(mixed, processor)
    negatives = {triplets[index].category_ids[1] for index in range(0, 60)}
    assert negatives == {0, 1, 2, 5, 6, 7}


def test_unpaired_images_use_all_categories_without_the_other_modality(mixed, processor):
    triplets = make(mixed, processor, unpaired=UnpairedPerBatch(sketches=2, photos=3))
    assert len(triplets) == 12
    assert set(triplets.sentences_of) == set(range(8))
    drawn: dict[str, set[int]] = {"sketch": set(), "photo": set()}
    for index in range(40):
        images = triplets.unpaired_images(index)
        assert [image.modality for image in images] == ["sketch"] * 2 + ["photo"] * 3
        for image in images:
            rows = triplets.sketches if image.modality == "sketch" else triplets.photos
            assert rows[image.row]["category"] == image.category_id
            drawn[image.modality].add(image.row)
        assert len({image.category_id for image in images}) == 5  # there are as many
    assert len(drawn["sketch"]) == 8
    assert len(drawn["photo"]) == 12


def test_paired_rows_are_those_of_paired_categories(mixed, processor):
    rows = make(mixed, processor, unpaired=UnpairedPerBatch(sketches=2, photos=3)).paired_rows()
    assert set(rows.sketches["category"]) == set(rows.photos["category"]) == {0, 1, 2}


def test_several_images_of_a_category_are_drawn_together(mixed, processor):
    triplets = make(mixed, processor, unpaired=UnpairedPerBatch(sketches=4, photos=5, per_category=2))
    images = triplets.unpaired_images(3)
    counts = np.bincount([image.category_id for image in images])
    assert counts[3:5].tolist() == [2, 2]
    assert sorted(counts[5:].tolist()) == [1, 2, 2]
    rows = [(image.modality, image.row) for image in images]
    assert len(set(rows)) == len(rows)


def test_few_images_repeat(mixed, processor):
    images = make(mixed, processor, unpaired=UnpairedPerBatch(sketches=30, per_category=6)).unpaired_images(0)
    assert len(images) == 30


def test_balance_by_origin_reaches_photos_and_unpaired_images(mixed, processor):
    origins = ["rare" if row in (0, len(mixed) - 1) else "common" for row in range(len(mixed))]
    split = mixed.remove_columns("origin").add_column("origin", origins)
    options = {"balance": ("category", "origin"), "unpaired": UnpairedPerBatch(sketches=2, photos=3)}
    triplets = make(split, processor, **options)
    assert triplets.sketch_weights[0] == pytest.approx(1 / 6)  # 1 of 3 categories, then 1 of 2 origins
    assert triplets.sketch_weights.sum() == pytest.approx(1)
    rare = len(triplets.photos) - 1
    drawn = [image.row for index in range(60) for image in triplets.unpaired_images(index)[2:]]
    category = [row for row in drawn if triplets.photo_categories[row] == triplets.photo_categories[rare]]
    assert 0.3 < np.mean(np.array(category) == rare) < 0.7  # half, and a quarter without balance


def test_batches_hold_unpaired_images_whatever_loads_them(mixed, processor):
    def batches(workers: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
        triplets = make(
            mixed,
            processor,
            seed=seed,
            unpaired=UnpairedPerBatch(sketches=2, photos=3),
            augment_sketch=sketch_augmentation(),
            augment_photo=photo_augmentation(32),
        )
        targets = torch.arange(len(triplets.photos))[:, None]
        collator = TripletCollator(processor, use_text=False, photo_targets=targets)
        sampler = EpochSampler(len(triplets), seed=0)
        return list(DataLoader(triplets, 5, sampler=sampler, collate_fn=collator, num_workers=workers))

    here, there, other = batches(0), batches(1), batches(0, seed=1)
    assert [len(batch["sketch_pixel_values"]) for batch in here] == [5, 5, 2]
    for batch, same in zip(here, there, strict=True):
        assert batch["unpaired_sketch_pixel_values"].shape == (2, 3, 32, 32)
        assert batch["unpaired_photo_pixel_values"].shape == (3, 3, 32, 32)
        assert len(batch["photo_targets"]) == len(batch["photo_pixel_values"]) + 3
        assert set(batch["unpaired_category_ids"].tolist()) <= {3, 4, 5, 6, 7}
        assert all(torch.equal(batch[name], same[name]) for name in batch)
    assert not torch.equal(here[0]["unpaired_photo_pixel_values"], other[0]["unpaired_photo_pixel_values"])
    assert not torch.equal(here[0]["unpaired_photo_pixel_values"], here[1]["unpaired_photo_pixel_values"])


def test_sketches_alone_or_photos_alone(mixed, processor):
    triplets = make(mixed, processor, unpaired=UnpairedPerBatch(photos=1))
    assert set(triplets.sketches["category"]) == {0, 1, 2}
    assert [image.modality for image in triplets.unpaired_images(0)] == ["photo"]
    batch = TripletCollator(processor, use_text=False)(triplets.__getitems__([0, 1]))
    assert "unpaired_sketch_pixel_values" not in batch
    assert isinstance(triplets.__getitems__([0])[-1], UnpairedImage)


def test_unusable_options_are_errors(mixed, train_split, processor):
    with pytest.raises(CaanError, match=r"unpaired_sketches_per_batch: no training category has only sketches"):
        make(train_split, processor, unpaired=UnpairedPerBatch(sketches=1))
    without = mixed.remove_columns("origin")
    with pytest.raises(CaanError, match=r"data\.balance: the benchmark has no column origin"):
        make(without, processor, balance=("origin",))
    with pytest.raises(CaanError, match="both sketches and photos"):
        make(mixed.filter(lambda row: row["category"] > 2), processor)
    with pytest.raises(CaanError, match="at least two"):
        make(mixed.filter(lambda row: row["category"] in (0, 5)), processor)


def test_a_run_trains_on_unpaired_images(mixed, make_trainer):
    changes = {"model.negatives": "in_batch", "model.lambda_txt": 1.0, "model.text_negatives": "all"}
    changes |= {"model.lambda_mod": 1.0, "model.lambda_dis": 1.0, "data.balance": ["category", "origin"]}
    changes |= {"data.unpaired_sketches_per_batch": 3, "data.unpaired_photos_per_batch": 2, "training.max_steps": 2}
    trainer = make_trainer(NO_VALIDATION | changes, {"train": mixed})
    contrast = trainer.caan.text_contrast
    assert contrast.is_sentence.any(dim=1).tolist() == [True] * 8
    before = contrast.log_temperature.item()
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["loss_txt"] > 0
    assert logged["loss_mod"] > 0
    assert contrast.log_temperature.item() != before


def test_unpaired_images_without_a_loss_are_an_error_and_without_use_a_warning(mixed, make_trainer):
    with pytest.raises(CaanError, match=r"no loss trains on unpaired images.*lambda_mod"):
        make_trainer(NO_VALIDATION | {"data.unpaired_photos_per_batch": 2}, {"train": mixed})
    with (
        pytest.warns(UserWarning, match="2 categories without photos are not trained on.*unpaired_sketches"),
        pytest.warns(UserWarning, match="3 categories without sketches are not trained on.*unpaired_photos"),
    ):
        make_trainer(NO_VALIDATION, {"train": mixed})
