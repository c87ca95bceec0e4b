"""Training sketches are chosen evenly and stored with the model."""

import collections

import numpy as np
import torch
from transformers import AutoModel

from caan_hf.training.centers import measure_centers
from caan_hf.training.hub_bank import evenly, measure_hub_bank
from caan_hf.training.precompute import encode_rows
from caan_hf.training.triplets import TripletDataset


def test_the_hub_bank_holds_training_sketches_evenly_over_categories(make_model, processor, train_split):
    model = make_model(text_config=None, hub_bank_size=7, center_features=True)
    triplets = TripletDataset(train_split, processor)  # 4 categories of 4 sketches
    measure_centers(model, processor, triplets.paired_rows())
    measure_hub_bank(model, processor, triplets.paired_rows())
    features = encode_rows(model, processor, triplets.sketches, "sketch")
    chosen = [int((features @ sketch).argmax()) for sketch in model.hub_bank.sketches]
    torch.testing.assert_close(model.hub_bank.sketches, features[chosen])
    counts = collections.Counter(triplets.sketch_categories[chosen].tolist())
    assert sorted(counts.values()) == [1, 2, 2, 2]
    assert len(set(chosen)) == 7


def test_the_hub_bank_is_no_larger_than_the_training_data(make_model, processor, train_split, tmp_path):
    model = make_model(text_config=None, hub_bank_size=800)
    triplets = TripletDataset(train_split, processor)
    measure_hub_bank(model, processor, triplets.paired_rows())
    assert model.config.hub_bank_size == len(model.hub_bank.sketches) == len(triplets) == 16
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.hub_bank.sketches, model.hub_bank.sketches)


def test_images_are_chosen_evenly():
    categories = np.array([5] * 10 + [2] * 3 + [9] * 10)
    chosen = evenly(categories, 12)
    assert chosen == sorted(set(chosen))
    assert collections.Counter(categories[chosen].tolist()) in [{5: 5, 2: 3, 9: 4}, {5: 4, 2: 3, 9: 5}]
    assert evenly(categories, 23) == list(range(23))
