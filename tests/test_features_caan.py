import pytest
import torch
from torch.nn import functional as F

from caan_hf.features_caan import CaanCenter, CaanHubBank, CaanLocalTokens, CaanWhitening
from caan_hf.retrieval.hubs import HubCorrection


def test_center_changes_nothing_until_its_mean_is_measured():
    center, features = CaanCenter(4), F.normalize(torch.randn(3, 4), dim=-1)
    torch.testing.assert_close(center(features), features)
    center.mean.copy_(torch.tensor([1.0, 0, 0, 0]))
    shifted = center(torch.tensor([[0.0, 1, 0, 0]]))
    torch.testing.assert_close(shifted, torch.tensor([[-(2**-0.5), 2**-0.5, 0, 0]]))


def test_whitening_changes_nothing_until_its_matrix_is_measured():
    whitening, features = CaanWhitening(2), F.normalize(torch.randn(3, 2), dim=-1)
    torch.testing.assert_close(whitening(features), features)
    whitening.matrix.copy_(torch.tensor([[1.0, 0], [0, 0.5]]))
    expected = F.normalize(torch.tensor([[0.6, 0.4]]), dim=-1)
    torch.testing.assert_close(whitening(torch.tensor([[0.6, 0.8]])), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(whitening.half()(torch.tensor([[0.6, 0.8]])), expected)


def test_hub_bank_gives_the_mean_cosine_to_the_nearest_sketches():
    bank, photos = CaanHubBank(30, 4), F.normalize(torch.randn(5, 4), dim=-1)
    assert not bank(photos).any()  # until it is measured
    bank.sketches.copy_(F.normalize(torch.randn(30, 4), dim=-1))
    torch.testing.assert_close(bank(photos), (photos @ bank.sketches.T).sort(dim=1).values[:, -10:].mean(dim=1))
    correction = HubCorrection(bank.sketches.numpy(), 1.0)
    torch.testing.assert_close(bank(photos), torch.from_numpy(correction.lowered(photos.numpy())))


def test_local_tokens_are_normalised_2x2_convolutions_in_row_major_order(make_config):
    layer = CaanLocalTokens(make_config(local_grid=3), 5)
    patches = torch.randn(2, 36, 5)
    local = layer(patches, (6, 6))
    assert local.shape == (2, 9, 8)
    torch.testing.assert_close(local.norm(dim=-1), torch.ones(2, 9))
    for row in range(3):
        for column in range(3):
            window = patches.view(2, 6, 6, 5)[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]  # (B, 2, 2, D)
            expected = torch.einsum("bhwd,rdhw->br", window, layer.convolution.weight) + layer.convolution.bias
            torch.testing.assert_close(local[:, 3 * row + column], F.normalize(expected, dim=-1))


@pytest.mark.parametrize("grid", [(8, 8), (5, 7), (1, 1), (3, 12)])
def test_every_patch_grid_gives_the_configured_number_of_local_tokens(make_config, grid):
    layer = CaanLocalTokens(make_config(local_grid=4), 5)
    assert layer(torch.randn(1, grid[0] * grid[1], 5), grid).shape == (1, 16, 8)
