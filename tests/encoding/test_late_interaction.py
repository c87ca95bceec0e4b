"""Late interaction in numpy equals the model's, for any number of images and in any number of blocks."""

import numpy as np
import pytest
import torch

from caan_hf.encoding import late_interaction
from caan_hf.encoding.late_interaction import late_interaction_scores
from caan_hf.local_matching_caan import CaanLateInteraction

GRID, WIDTH = 4, 8


def tokens(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal((*shape, GRID**2, WIDTH), dtype=np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.mark.parametrize("block_bytes", [1, 3 * 4 * GRID**4, 2**20])
@pytest.mark.parametrize("position_weight", [0.0, 0.3])
def test_scores_equal_those_of_torch(make_config, monkeypatch, position_weight, block_bytes):
    monkeypatch.setattr(late_interaction, "BLOCK_BYTES", block_bytes)
    sketches, photos = tokens(3), tokens(11, seed=1)
    sketches[0, 2:9] = 0
    sketches[2] = 0  # a sketch without any ink
    config = make_config(
        local_matching="late_interaction", local_grid=GRID, local_dim=WIDTH, local_position_weight=position_weight
    )
    torch_scores = CaanLateInteraction(config)(torch.from_numpy(sketches), torch.from_numpy(photos))
    found = late_interaction_scores(sketches, photos, position_weight)
    np.testing.assert_allclose(found, torch_scores.numpy(), atol=1e-6)
    assert (found[2] == 0).all()


def test_an_image_scores_one_with_itself_wherever_its_sketch_has_ink():
    photos = tokens(2)
    sketch = photos[:1].copy()
    sketch[:, [0, 5]] = 0
    same, other = late_interaction_scores(sketch, photos, position_weight=0.5)[0]
    assert same == pytest.approx(1, abs=1e-6)
    assert other < 0.9


def test_the_position_prior_lowers_distant_matches_by_its_formula():
    sketch, photo = np.zeros((2, GRID**2, WIDTH), np.float32)
    sketch[0, 0] = photo[5, 0] = 1  # one cell to the right and one down
    (score,) = late_interaction_scores(sketch[None], photo[None], position_weight=0.2)[0]
    assert score == pytest.approx(1 - 0.2 * (2 / GRID**2) / (2 * 0.25**2), abs=1e-6)


@pytest.mark.parametrize(("sketches", "photos"), [(0, 3), (2, 0)])
def test_no_images_give_an_empty_matrix(sketches, photos):
    assert late_interaction_scores(tokens(sketches), tokens(photos)).shape == (sketches, photos)
