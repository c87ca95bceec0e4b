import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from caan_hf import local_matching_caan
from caan_hf.local_matching_caan import CaanRelationNetwork


class LargestTensor(TorchDispatchMode):
    """Records the size in bytes of the largest tensor that an operation inside the `with` block returns."""

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
    """Naive reference: MLP(flatten(cosine matrix)) of one pair at a time."""
    return torch.tensor([[network.layers((s @ p.T).reshape(1, -1)).item() for p in photos] for s in sketches])


@pytest.mark.parametrize("budget_in_pairs", [0, 1, 2, 3, 5, 7, 100])
def test_chunked_logits_equal_a_loop_over_pairs(network, monkeypatch, budget_in_pairs):
    sketches, photos = local_tokens(5), local_tokens(7)
    expected = one_by_one(network, sketches, photos)
    monkeypatch.setattr(local_matching_caan, "PAIRS_BUDGET", budget_in_pairs * network.bytes_per_pair)
    with torch.no_grad():
        torch.testing.assert_close(network(sketches, photos), expected)
    torch.testing.assert_close(network(sketches, photos).detach(), expected)


def test_candidate_scores_equal_those_of_the_full_matrix(network):
    sketches, photos = local_tokens(3), local_tokens(6)
    candidates = torch.tensor([[0, 5], [2, 2], [4, 1]])
    logits = network.score_candidates(sketches, photos[candidates])
    torch.testing.assert_close(logits, network(sketches, photos).gather(1, candidates))


def test_largest_intermediate_tensor_does_not_grow_with_the_gallery(network, monkeypatch):
    budget = 50 * network.bytes_per_pair
    monkeypatch.setattr(local_matching_caan, "PAIRS_BUDGET", budget)
    sketches, photos = local_tokens(4), local_tokens(1600)
    with torch.no_grad(), LargestTensor() as largest:
        network(sketches, photos)
    assert largest.nbytes <= budget
    assert 50 * budget < 4 * 1600 * 16 * 16 * 4  # size of the cosine matrices of all pairs


def test_chunked_scoring_saves_no_cosine_matrix_for_the_backward_pass(network, monkeypatch):
    sketches, photos = local_tokens(4).requires_grad_(), local_tokens(60).requires_grad_()
    network(sketches, photos).square().sum().backward()
    expected = [sketches.grad.clone(), photos.grad.clone(), *(p.grad.clone() for p in network.parameters())]
    for tensor in (sketches, photos, *network.parameters()):
        tensor.grad = None
    monkeypatch.setattr(local_matching_caan, "PAIRS_BUDGET", 10 * network.bytes_per_pair)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes) or tensor, lambda t: t):
        logits = network(sketches, photos)
    assert max(kept) < 10 * 16 * 16 * 4  # smaller than the matrices of one chunk
    logits.square().sum().backward()
    for tensor, gradient in zip((sketches, photos, *network.parameters()), expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sketches", "photos"), [(0, 3), (2, 0), (0, 0)])
def test_no_images_give_an_empty_matrix(network, sketches, photos):
    with torch.no_grad():
        assert network(local_tokens(sketches), local_tokens(photos)).shape == (sketches, photos)
