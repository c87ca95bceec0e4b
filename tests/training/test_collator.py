"""Batches of triplets."""

import pytest

from caan_hf.training import TripletCollator, TripletDataset


@pytest.mark.parametrize(("sizes", "expected"), [({}, (32, 32)), ({"sketch_size": 24, "photo_size": 16}, (24, 16))])
def test_each_modality_has_its_own_resolution(train_split, processor, sizes, expected):
    triplets = TripletDataset(train_split, processor)
    batch = TripletCollator(processor, use_text=False, **sizes)([triplets[0], triplets[1]])
    assert batch["sketch_pixel_values"].shape == (2, 3, expected[0], expected[0])
    assert batch["photo_pixel_values"].shape == (4, 3, expected[1], expected[1])
    assert processor.to_pixel_values([triplets[0].sketch]).shape == (1, 3, 32, 32)  # the processor itself is unchanged
