"""Pairs of a sketch and its photo in training, and batches with several images per category."""

from collections import Counter

import numpy as np
import pytest
import torch
from tiny_recipe import NO_VALIDATION

from caan_hf import CaanError
from caan_hf.training import TripletCollator, TripletDataset, load_recipe, train_recipe
from caan_hf.training.instance_pairs import CategoryGroups
from caan_hf.training.sampler import EpochSampler


@pytest.fixture
def partly_paired(train_split):
    """The split in which the first two sketches of each category have the name of a photo, and the others do not."""

    def rename(row):
        kind, category, name = row["source"].split("/")
        is_renamed = kind == "sketch" and name >= "0002"
        return {"source": f"{kind}/{category}/{'x' * is_renamed}{name}"}

    return train_split.map(rename)


def names(triplets, triplet, sketch):
    return triplets.sketches[sketch]["source"].rsplit("/")[-1], [
        triplets.photos[row]["source"].rsplit("/")[-1] for row in triplet.photo_rows
    ]


@pytest.mark.parametrize("sample_negatives", [True, False])
def test_a_sketch_is_paired_with_its_own_photo(train_split, processor, sample_negatives):
    triplets = TripletDataset(train_split, processor, instance_pairs=1, sample_negatives=sample_negatives)
    for sketch in range(len(triplets)):
        for epoch in range(2):
            triplet = triplets[epoch * len(triplets) + sketch]
            name, photos = names(triplets, triplet, sketch)
            assert photos[0] == name
            assert triplet.category_ids[0] == triplets.sketch_categories[sketch]
            assert triplet.instance_ids[0] == triplet.instance_ids[1]
            assert len(triplet.instance_ids) == 1 + len(photos)
            assert triplet.instance_ids[0] not in triplet.instance_ids[2:]


def test_sketches_without_their_photo_get_any_photo_of_the_category(partly_paired, processor):
    triplets = TripletDataset(partly_paired, processor, instance_pairs=1)
    drawn = {}
    for sketch in range(len(triplets)):
        for epoch in range(12):
            triplet = triplets[epoch * len(triplets) + sketch]
            name, photos = names(triplets, triplet, sketch)
            assert (triplet.instance_ids[0] == -1) == name.startswith("x")
            assert triplet.instance_ids[1] >= 0
            drawn.setdefault((name, int(triplets.sketch_categories[sketch])), set()).add(photos[0])
    for (name, _), photos in drawn.items():
        assert photos == {name} if not name.startswith("x") else len(photos) > 1


def test_a_share_of_the_sketches_gets_any_photo_of_the_category(train_split, processor):
    triplets = TripletDataset(train_split, processor, instance_pairs=0.5, sample_negatives=False)
    own = []
    for index in range(10 * len(triplets)):
        triplet = triplets[index]
        name, photos = names(triplets, triplet, index % len(triplets))
        assert triplet.category_ids[0] == triplets.sketch_categories[index % len(triplets)]
        assert (triplet.instance_ids[0] == triplet.instance_ids[1]) == (photos == [name])
        own.append(photos == [name])
    assert 0.5 < np.mean(own) < 0.75  # one half, and a fourth of the other half by chance


def test_a_split_without_pairs_is_a_one_line_error(train_split, processor):
    split = train_split.map(lambda row: {"source": row["source"].replace(".png", f" {row['modality']}.png")})
    with pytest.raises(CaanError, match=r"data\.instance_pairs: no training sketch.*NAME-1\.png") as error:
        TripletDataset(split, processor, instance_pairs=1)
    assert "\n" not in str(error.value)


def test_triplets_without_instance_pairs_have_no_instances(train_split, processor):
    plain = TripletDataset(train_split, processor)
    assert plain[3].instance_ids is None
    assert plain.groups is None


@pytest.mark.parametrize("sample_negatives", [True, False])
def test_batches_hold_the_instances_of_sketches_then_photos(train_split, processor, sample_negatives):
    triplets = TripletDataset(train_split, processor, instance_pairs=1, sample_negatives=sample_negatives)
    chosen = [triplets[index] for index in (0, 5, 9)]
    batch = TripletCollator(processor, use_text=False)(chosen)
    photos = len(batch["photo_pixel_values"])
    assert batch["instance_ids"].shape == (3 + photos,)
    assert batch["instance_ids"][:3].tolist() == [triplet.instance_ids[0] for triplet in chosen]
    assert torch.equal(batch["instance_ids"][3:6], batch["instance_ids"][:3])
    if sample_negatives:
        assert batch["instance_ids"][6:].tolist() == [triplet.instance_ids[2] for triplet in chosen]


def test_groups_hold_one_category_and_different_photos():
    categories = np.repeat(np.arange(6), 8)
    instances = np.repeat(np.arange(24), 2)  # four photos a category, each with two sketches
    sampler = EpochSampler(48, seed=0, groups=CategoryGroups(4, categories, instances))
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = np.array(list(sampler)) - 48 * epoch
        assert sorted(order) == list(range(48))
        for group in order.reshape(12, 4):
            assert len(set(categories[group])) == 1
            assert len(set(instances[group])) == 4
        orders.append(order.tolist())
    assert orders[0] != orders[1] != orders[2]
    assert list(sampler) == list(sampler)
    batches = categories[np.array(orders[0]).reshape(6, 8)]
    assert any(len(set(batch)) > 1 for batch in batches)  # the groups of a category are not neighbours


def test_smaller_groups_come_last_and_unknown_photos_are_all_different():
    categories = np.repeat([0, 1, 2], [5, 9, 2])
    instances = np.array([*[-1] * 5, *[0] * 5, *range(1, 5), 6, 7])
    groups = CategoryGroups(4, categories, instances)
    for seed in range(5):
        generator = np.random.default_rng(seed)
        order = groups.arrange(generator.permutation(16), generator)
        assert sorted(order) == list(range(16))
        assert [len(set(categories[order[start : start + 4]])) for start in (0, 4, 8)] == [1, 1, 1]
        assert Counter(categories[order[12:]].tolist()) == {0: 1, 1: 1, 2: 2}
        first = next(start for start in (0, 4, 8) if 1 in categories[order[start : start + 4]])
        second = next(start for start in (8, 4, 0) if 1 in categories[order[start : start + 4]])
        kinds = sorted(len(set(instances[order[start : start + 4]].tolist())) for start in (first, second))
        assert kinds[1] == 4  # of five photos


def test_training_logs_the_instance_loss_and_its_batches_hold_groups(make_trainer):
    changes = {"model.local_matching": "late_interaction", "model.negatives": "in_batch", "model.lambda_rn": 0.0}
    changes |= {"model.lambda_ins": 1.0, "data.instance_pairs": 1.0, "data.images_per_category": 2}
    trainer = make_trainer(NO_VALIDATION | changes | {"data.augment": False, "training.max_steps": 2})
    for batch in trainer.get_train_dataloader():
        assert sorted(Counter(batch["category_ids"].tolist()).values()) in ([2, 2], [4])
        assert torch.equal(batch["instance_ids"][:4], batch["instance_ids"][4:])
        assert len(set(batch["instance_ids"].tolist())) == 4
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(entry["loss_ins"] > 0 for entry in logged)
    for entry in logged:
        assert entry["loss"] == pytest.approx(entry["loss_tri"] + entry["loss_ins"], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__lambda_ins": 1.0, "model__instance_score": "global"}, r"lambda_ins: .*data\.instance_pairs=1"),
        ({"data__images_per_category": 3}, r"data\.images_per_category: must divide .*batch_size, 4, got 3"),
        ({"data__instance_pairs": 1.0}, "sample@1: its sketches were not drawn from its photos"),
        ({"model__lambda_ins": 1.0, "data__instance_pairs": 1.0}, "sample@1"),
        ({"model__lambda_ins": 1.0}, "lambda_ins requires local_matching"),
    ],
)
def test_recipes_that_cannot_pair_are_one_line_errors(recipe_file, changes, message):
    with pytest.raises(CaanError, match=message) as error:
        train_recipe(load_recipe(recipe_file(**changes)))
    assert "\n" not in str(error.value)
