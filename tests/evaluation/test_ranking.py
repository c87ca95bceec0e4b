"""Global ranking in chunks, and the re-ordering of its best photos by relation."""

import pytest
import torch

from caan_hf.evaluation.ranking import query_chunks, rank_gallery, relation_logits, rerank_top

QUERIES, GALLERY, TOKENS, WIDTH = 5, 12, 4, 3


@pytest.fixture
def order():
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randperm(GALLERY, generator=generator) for _ in range(QUERIES)])


@pytest.fixture
def local():
    generator = torch.Generator().manual_seed(1)
    draw = lambda n: torch.randn(n, TOKENS, WIDTH, generator=generator).half()  # noqa: E731
    return draw(QUERIES), draw(GALLERY)


def relation(sketches, photos):
    """Any function of the pair that is not symmetric in the tokens."""
    weights = torch.arange(1, TOKENS + 1).float()
    return torch.einsum("bmr,bkmr,m->bk", sketches, photos, weights)


def test_chunks_cover_all_queries_within_the_budget():
    chunks = list(query_chunks(10, 1000, byte_budget=150_000))
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert len(list(query_chunks(10, 1000, byte_budget=1))) == 10


def test_ranks_by_dot_product():
    queries, gallery = torch.eye(3), torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert rank_gallery(queries, gallery).tolist() == [[1, 0, 2, 3], [0, 2, 1, 3], [3, 0, 1, 2]]


def test_reranking_reorders_the_best_k_and_leaves_the_rest(order, local):
    found = rerank_top(order, *local, relation, 4)
    assert torch.equal(found[:, 4:], order[:, 4:])
    scores = torch.einsum("bmr,nmr,m->bn", local[0].float(), local[1].float(), torch.arange(1, TOKENS + 1).float())
    for query in range(QUERIES):
        expected = sorted(order[query, :4].tolist(), key=lambda photo: -scores[query, photo])
        assert found[query, :4].tolist() == expected


def test_k_of_one_changes_nothing(order, local):
    assert torch.equal(rerank_top(order, *local, relation, 1), order)


def test_k_beyond_the_gallery_reorders_all_of_it(order, local):
    found = rerank_top(order, *local, relation, 10 * GALLERY)
    assert torch.equal(found, rerank_top(order, *local, relation, GALLERY))
    assert found.sort().values.tolist() == [list(range(GALLERY))] * QUERIES


def test_ties_keep_the_global_order(order, local):
    found = rerank_top(order, *local, lambda sketches, photos: torch.zeros(photos.shape[:2]), 6)
    assert torch.equal(found, order)


@pytest.mark.parametrize("pairs", [1, 2, 3, 5, 8, 1000])
def test_small_budgets_give_the_same_logits(order, local, pairs):
    calls = []

    def counted(sketches, photos):
        calls.append(photos.shape[:2].numel())
        return relation(sketches, photos)

    budget = pairs * (10 * TOKENS * WIDTH + 8 * TOKENS * TOKENS)
    found = relation_logits(order[:, :5], *local, counted, byte_budget=budget)
    torch.testing.assert_close(found, relation_logits(order[:, :5], *local, relation))
    assert max(calls) <= pairs
    assert sum(calls) == QUERIES * 5
