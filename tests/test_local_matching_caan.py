import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from caan_hf import local_matching_caan
from caan_hf.local_matching_caan import CaanLateInteraction, CaanRelationNetwork, inked_regions


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


# Late interaction

GRID, WIDTH = 4, 16


@pytest.fixture
def make_late(make_config):
    def make(**settings) -> CaanLateInteraction:
        config = make_config(local_matching="late_interaction", local_grid=GRID, local_dim=WIDTH, **settings)
        return CaanLateInteraction(config)

    return make


def orthogonal_tokens() -> torch.Tensor:
    """An image (1, 16, 16) whose tokens have cosines of 0 with each other."""
    return torch.linalg.qr(torch.randn(GRID**2, WIDTH))[0][None]


@pytest.mark.parametrize("weight", [0, 0.3])
def test_late_interaction_equals_a_loop_over_tokens(make_late, weight):
    sketches = torch.nn.functional.normalize(torch.randn(3, 16, WIDTH), dim=-1)
    sketches[:, [0, 5]] = 0  # without ink
    photos = torch.nn.functional.normalize(torch.randn(4, 16, WIDTH), dim=-1)
    places = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID)) / GRID
    penalty = weight * torch.cdist(places, places) ** 2 / (2 * 0.25**2)
    expected = [
        [float((sketch @ photo.T - penalty).amax(dim=1)[sketch.any(dim=1)].mean()) for photo in photos]
        for sketch in sketches
    ]
    torch.testing.assert_close(make_late(local_position_weight=weight)(sketches, photos), torch.tensor(expected))


def test_a_changed_photo_token_changes_the_shares_of_its_matches_only(make_late):
    tokens, late = orthogonal_tokens(), make_late()
    photo = tokens.clone()
    photo[:, 7] = -tokens[:, 7]
    cosines = torch.einsum("smr,pnr->spmn", tokens, photo)
    shares = late.shares(cosines, tokens)[0, 0]
    torch.testing.assert_close(shares.sum(), late(tokens, photo)[0, 0])
    expected = torch.full((16,), 1 / 16)
    expected[7] = 0  # its best remaining cosine
    torch.testing.assert_close(shares, expected, atol=1e-5, rtol=0)


def test_a_sketch_without_ink_scores_zero_and_has_gradients(make_late):
    photo = orthogonal_tokens().requires_grad_()
    score = make_late()(torch.zeros(1, 16, WIDTH), photo)
    score.sum().backward()
    assert score == 0
    assert photo.grad.isfinite().all()


@pytest.mark.parametrize(("size", "grid"), [(32, 4), (32, 5), (30, 12), (9, 12)])
def test_regions_of_any_grid_equal_adaptive_pooling(size, grid):
    grey = torch.randint(0, 256, (8, 1, size, size)).where(torch.rand(8, 1, size, size) < 0.02, 255).float()
    grey[0] = 255  # no ink
    darkness = torch.nn.functional.adaptive_max_pool2d(255 - grey, grid).flatten(1)
    expected = darkness >= darkness.amax(dim=1, keepdim=True) / 4
    torch.testing.assert_close(inked_regions(grey.expand(-1, 3, -1, -1) / 127.5 - 1, grid), expected)


@pytest.mark.parametrize("lightest", range(200, 256, 5))
def test_a_pixel_of_exactly_a_quarter_of_the_range_is_ink(lightest):
    pixels = torch.full((1, 3, 32, 32), float(lightest))
    pixels[:, :, 0, 0], pixels[:, :, 0, 9] = lightest - 200, lightest - 50
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert inked_regions((pixels / 255 - mean) / std, GRID).nonzero().tolist() == [[0, 0], [0, 1]]
