"""The text projection that is fitted to photos before training."""

import numpy as np
import pytest
import torch
from tiny_recipe import NO_VALIDATION
from torch import nn

from caan_hf.training.text_projection import RIDGE, fit_text_projection


def test_it_is_ridge_regression_from_mean_sentences_to_mean_photos():
    generator = torch.Generator().manual_seed(0)
    sentences = torch.randn(6, 2, 5, generator=generator)
    is_sentence = torch.tensor([[True, True], [True, False], [True, True], [True, True], [False, False], [True, True]])
    categories = np.array([0, 0, 1, 2, 3, 3, 4])  # category 4 has no sentence, and 5 no photo
    photos = torch.randn(7, 3, generator=generator)
    projection = nn.Linear(5, 3)
    fit_text_projection(projection, sentences, is_sentence, photos, categories)
    texts = np.stack([sentences[c][is_sentence[c]].mean(dim=0).numpy() for c in range(4)]).astype(float)
    means = np.stack([photos.numpy()[categories == c].mean(axis=0) for c in range(4)]).astype(float)
    centred = texts - texts.mean(axis=0)
    covariance = centred.T @ centred
    covariance += RIDGE * np.trace(covariance) / 5 * np.eye(5)
    weight = np.linalg.solve(covariance, centred.T @ (means - means.mean(axis=0))).T
    np.testing.assert_allclose(projection.weight.detach(), weight, rtol=1e-4, atol=1e-5)
    at_mean = projection(torch.from_numpy(texts.mean(axis=0)).float()).detach()
    np.testing.assert_allclose(at_mean, means.mean(axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text_init", ["random", "photos"])
def test_a_recipe_starts_with_it(make_trainer, text_init):
    changes = {"model.negatives": "in_batch", "model.lambda_txt": 1.0, "model.text_negatives": "all"}
    changes |= {"model.lambda_dis": 1.0, "model.text_init": text_init}
    model = make_trainer(NO_VALIDATION | changes).caan
    is_default = bool((model.text_projection.bias == 0).all())
    assert is_default == (text_init == "random")
