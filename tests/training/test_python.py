"""Training from Python: any dataset, own trainers, and the same model as `caan train` writes."""

import datasets
import numpy as np
import pytest
import torch
from tiny_recipe import NO_VALIDATION
from transformers import AutoModel

import caan_hf
from caan_hf import CaanError
from caan_hf.benchmarks import load_benchmark
from caan_hf.evaluation import EvaluationOptions
from caan_hf.training import (
    CaanTrainer,
    CaanTrainingArguments,
    TripletCollator,
    TripletDataset,
    load_recipe,
    train_recipe,
)

NAMES = ["a", "b"]
FEATURES = datasets.Features(
    image=datasets.Image(),
    modality=datasets.ClassLabel(names=["photo", "sketch"]),  # in any order
    category=datasets.ClassLabel(names=NAMES),
)


def bare_split() -> datasets.Dataset:
    """Arrays with the three columns that every dataset needs."""
    generator = np.random.default_rng(0)
    rows = []
    for category in NAMES:
        for _ in range(3):
            sketch = np.full((32, 32, 3), 255, np.uint8)
            row, column = generator.integers(4, 20, 2)
            sketch[row : row + 2, column : column + 8] = 0
            photo = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            rows += [{"image": sketch, "modality": "sketch", "category": category}]
            rows += [{"image": photo, "modality": "photo", "category": category}]
    return datasets.Dataset.from_list(rows, features=FEATURES)


class TwiceTrainer(CaanTrainer):
    """Adds the triplet loss once more."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        self.log_loss("loss_again", outputs.loss_tri)
        loss = loss + outputs.loss_tri
        return (loss, outputs) if return_outputs else loss


def test_a_dataset_needs_images_modalities_and_categories_only(processor):
    triplets = TripletDataset(bare_split(), processor)
    assert len(triplets) == 6
    assert triplets.sentences() == ["a photo of a b", "a photo of an a"]
    assert list(triplets.sketches["source"])[:2] == ["row 0", "row 2"]
    batch = TripletCollator(processor)([triplets[0], triplets[1]])  # without text, as there is no tokenizer
    assert set(batch) == {"sketch_pixel_values", "photo_pixel_values", "category_ids"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: split.remove_columns("modality"), "column modality.*ClassLabel"),
        (lambda split: split.cast_column("category", datasets.Value("int64")), "column category.*ClassLabel"),
        (lambda split: split.rename_column("image", "picture"), "column image.*Image"),
        (
            lambda split: split.cast_column("modality", datasets.ClassLabel(names=["photo", "drawing"])),
            "column modality.*sketch, photo",
        ),
    ],
)
def test_a_dataset_without_a_column_is_a_one_line_error(processor, tiny_model, make_trainer, change, message):
    split = change(bare_split())
    with pytest.raises(CaanError, match=message):
        TripletDataset(split, processor)
    with pytest.raises(CaanError, match=message):
        caan_hf.evaluate(tiny_model, {"test": split})
    with pytest.raises(CaanError, match=message):
        make_trainer(NO_VALIDATION, {"train": split})


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda split: split, "got Dataset"), (lambda split: {"trian": split}, "no split train.*trian")],
)
def test_data_that_are_not_splits_are_a_one_line_error(tiny_model, make_trainer, change, message):
    data = change(bare_split())
    with pytest.raises(CaanError, match=message):
        make_trainer(NO_VALIDATION, data)
    with pytest.raises(CaanError, match=r"got Dataset|no such split"):
        caan_hf.evaluate(tiny_model, data)


@pytest.fixture
def tiny_model(make_model, processor):
    from caan_hf.encoding.checkpoint import CheckpointEncoder

    return CheckpointEncoder(make_model(text_config=None), processor, name="m")


def test_a_dataset_without_sources_is_evaluated_with_a_report(tiny_model, tmp_path):
    data = datasets.DatasetDict(train=bare_split(), test=bare_split())
    options = EvaluationOptions(no_cache=True, progress=False, generalized=True)
    result = caan_hf.evaluate(tiny_model, data, options, out=tmp_path / "report")
    assert 0 < result.metrics["mAP@all"] <= 1
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_subclass_of_the_trainer_is_trained_by_a_recipe(make_trainer):
    changes = NO_VALIDATION | {"training.max_steps": 2, "training.learning_rate": 0.0, "training.seed": 1}
    totals = {}
    for trainer_class in (CaanTrainer, TwiceTrainer):
        torch.manual_seed(0)
        trainer = make_trainer(changes, trainer_class=trainer_class)
        trainer.train()
        (totals[trainer_class], _, *_) = trainer.state.log_history
    plain, twice = totals[CaanTrainer], totals[TwiceTrainer]
    assert "loss_again" not in plain
    assert twice["loss_again"] == pytest.approx(twice["loss_tri"], abs=1e-4)
    assert twice["loss"] == pytest.approx(plain["loss"] + twice["loss_again"], rel=0.02)


def test_a_saved_model_is_the_one_that_caan_train_writes(recipe_file, make_trainer, tmp_path):
    changes = NO_VALIDATION | {"model.center_features": True, "training.max_steps": 2, "training.seed": 7}
    train_recipe(load_recipe(recipe_file("one"), changes=changes))
    torch.manual_seed(7)
    trainer = make_trainer(changes)
    trainer.train()
    trainer.save_for_retrieval(tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        path.name for path in (tmp_path / "one" / "model").iterdir()
    }
    one, other = (AutoModel.from_pretrained(folder) for folder in (tmp_path / "one" / "model", tmp_path / "mine"))
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, msg=name)
    assert other.sketch_center.mean.any()


def test_a_trainer_without_a_recipe(make_model, processor, tmp_path):
    trainer = CaanTrainer(
        model=make_model(text_config=None),
        args=CaanTrainingArguments(str(tmp_path / "run"), max_steps=1, use_cpu=True, disable_tqdm=True),
        train_dataset=TripletDataset(bare_split(), processor),
        data_collator=TripletCollator(processor),
        processing_class=processor,
    )
    trainer.train()
    trainer.save_for_retrieval(tmp_path / "model")
    encoder = caan_hf.load_encoder(tmp_path / "model")
    assert encoder.encode_photos([np.zeros((9, 9, 3), np.uint8)]).shape == (1, 32)
    assert encoder.training_data.categories == ("a", "b")


@pytest.mark.parametrize("named", [True, False])
def test_training_and_validation_categories_are_recorded(make_trainer, sample_data, tmp_path, named):
    splits, info = load_benchmark(sample_data)
    trainer = make_trainer({"training.max_steps": 1}, splits, info if named else None)
    trainer.train()
    trainer.save_for_retrieval(tmp_path / "model")
    seen = caan_hf.load_encoder(tmp_path / "model").training_data
    assert seen == ("sample@1" if named else "unnamed", tuple(info.seen), tuple(info.validation))
