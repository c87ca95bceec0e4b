import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from caan_hf import relation_caan
from caan_hf.relation_caan import CaanLocalTokens, CaanRelationNetwork


class LargestTensor(TorchDispatchMode):
    """Records the most bytes that any one operation inside the `with` block gives."""

    def __init__(self):
        super().__init__()
        self.nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.nbytes = max(self.nbytes, result.nbytes)
        return result


@pytest.fixture
def network(make_config) -> CaanRelationNetwork:
    return CaanRelationNetwork(make_config())


def local_tokens(images: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(images, 16, 8), dim=-1)


def one_by_one(network, sketches, photos):
    """The formula of the method: MLP(flatten(cosine matrix)) of one pair after the other."""
    return torch.tensor([[network.layers((s @ p.T).reshape(1, -1)).item() for p in photos] for s in sketches])


@pytest.mark.parametrize("budget_in_pairs", [0, 1, 2, 3, 5, 7, 100])
def test_chunked_logits_equal_a_loop_over_pairs(network, monkeypatch, budget_in_pairs):
    sketches, photos = local_tokens(5), local_tokens(7)
    expected = one_by_one(network, sketches, photos)
    monkeypatch.setattr(relation_caan, "PAIRS_BUDGET", budget_in_pairs * network.bytes_per_pair)
    with torch.no_grad():
        torch.testing.assert_close(network(sketches, photos), expected)
    torch.testing.assert_close(network(sketches, photos).detach(), expected)


def test_candidates_of_each_sketch_are_scored_as_in_the_full_matrix(network):
    sketches, photos = local_tokens(3), local_tokens(6)
    candidates = torch.tensor([[0, 5], [2, 2], [4, 1]])
    logits = network.score_candidates(sketches, photos[candidates])
    torch.testing.assert_close(logits, network(sketches, photos).gather(1, candidates))


def test_largest_intermediate_does_not_grow_with_the_gallery(network, monkeypatch):
    budget = 50 * network.bytes_per_pair
    monkeypatch.setattr(relation_caan, "PAIRS_BUDGET", budget)
    sketches, photos = local_tokens(4), local_tokens(1600)
    with torch.no_grad(), LargestTensor() as largest:
        network(sketches, photos)
    assert largest.nbytes <= budget
    assert 50 * budget < 4 * 1600 * 16 * 16 * 4  # what all pairs at once would have taken


def test_backward_keeps_no_cosine_matrices_beyond_the_budget(network, monkeypatch):
    sketches, photos = local_tokens(4).requires_grad_(), local_tokens(60).requires_grad_()
    network(sketches, photos).square().sum().backward()
    expected = [sketches.grad.clone(), photos.grad.clone(), *(p.grad.clone() for p in network.parameters())]
    for tensor in (sketches, photos, *network.parameters()):
        tensor.grad = None
    monkeypatch.setattr(relation_caan, "PAIRS_BUDGET", 10 * network.bytes_per_pair)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes) or tensor, lambda t: t):
        logits = network(sketches, photos)
    assert max(kept) < 10 * 16 * 16 * 4  # not even the matrices of one chunk
    logits.square().sum().backward()
    for tensor, gradient in zip((sketches, photos, *network.parameters()), expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sketches", "photos"), [(0, 3), (2, 0), (0, 0)])
def test_no_images_give_an_empty_matrix(network, sketches, photos):
    with torch.no_grad():
        assert network(local_tokens(sketches), local_tokens(photos)).shape == (sketches, photos)


def test_local_tokens_are_unit_vectors_of_2x2_patches_row_by_row(make_config):
    layer = CaanLocalTokens(make_config(relation_grid=3), 5)
    patches = torch.randn(2, 36, 5)
    local = layer(patches, (6, 6))
    assert local.shape == (2, 9, 8)
    torch.testing.assert_close(local.norm(dim=-1), torch.ones(2, 9))
    for row in range(3):
        for column in range(3):
            window = patches.view(2, 6, 6, 5)[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]  # (B, 2, 2, D)
            expected = torch.einsum("bhwd,rdhw->br", window, layer.convolution.weight) + layer.convolution.bias
            expected = torch.nn.functional.normalize(expected, dim=-1)
            torch.testing.assert_close(local[:, 3 * row + column], expected)


@pytest.mark.parametrize("grid", [(8, 8), (5, 7), (1, 1), (3, 12)])
def test_every_patch_grid_gives_the_configured_number_of_local_tokens(make_config, grid):
    layer = CaanLocalTokens(make_config(relation_grid=4), 5)
    assert layer(torch.randn(1, grid[0] * grid[1], 5), grid).shape == (1, 16, 8)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 6), (5, 2), (7, 7)])
def test_one_changed_patch_changes_the_local_token_at_its_place_only(make_config, row, column):
    layer = CaanLocalTokens(make_config(), 32)
    patches = torch.randn(1, 64, 32)
    changed = patches.clone()
    changed[0, 8 * row + column] += 1
    differs = (layer(patches, (8, 8)) != layer(changed, (8, 8))).any(dim=-1)[0]
    assert differs.nonzero().flatten().tolist() == [4 * (row // 2) + column // 2]
