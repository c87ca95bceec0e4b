"""Global ranking in chunks, and the re-ordering of its best photos by relation."""

import pytest
import torch

from caan_hf.evaluation.conventions import RankedHits
from caan_hf.evaluation.hits import stable_order
from caan_hf.evaluation.ranking import RankedChunk, query_chunks, rank_hits, relation_logits, rerank

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
    chunks = list(query_chunks(10, 12_000, byte_budget=36_000))
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert len(list(query_chunks(10, 12_000, byte_budget=1))) == 10


LABELS = torch.tensor([0, 1] * (GALLERY // 2))


def ranked(order, label=0):
    """The chunk that a full order means."""
    relevance = LABELS[order] == label
    return RankedChunk(torch.arange(QUERIES), RankedHits.from_relevance(relevance, relevance.sum(1)), order)


def reranked(order, local, k, relation=relation):
    chunk = ranked(order)
    best = RankedChunk(chunk.queries, chunk.hits, order[:, :k])
    found = rerank(best, *local, LABELS, 0, relation)
    full = torch.cat([found.top, order[:, k:]], dim=1)
    assert torch.equal(found.hits.ranks, ranked(full).hits.ranks)  # whatever k, the ranks are those of the new order
    return full


def test_ranks_by_dot_product():
    queries, gallery = torch.eye(3), torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    chunks = list(rank_hits(queries, gallery, torch.tensor([7, 8, 7]), torch.tensor([7, 8, 7, 9]), top=4))
    assert [chunk.queries.tolist() for chunk in chunks] == [[0, 2], [1]]
    assert chunks[0].top.tolist() == [[1, 0, 2, 3], [3, 0, 1, 2]]
    assert chunks[0].hits.ranks.tolist() == [[2, 3], [2, 4]]
    assert chunks[1].top.tolist() == [[0, 2, 1, 3]]
    assert chunks[1].hits.ranks.tolist() == [[3]]


@pytest.mark.parametrize("byte_budget", [1, 500, 10**6])
def test_chunks_give_what_the_whole_gives(byte_budget):
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(9, 4, generator=generator), torch.randn(14, 4, generator=generator)
    query_labels, gallery_labels = torch.arange(9) % 4, torch.arange(14) % 3  # category 3 has no photo
    order = stable_order(queries @ gallery.T)
    found = list(rank_hits(queries, gallery, query_labels, gallery_labels, top=3, byte_budget=byte_budget))
    assert sorted(torch.cat([chunk.queries for chunk in found]).tolist()) == list(range(9))
    for chunk in found:
        relevance = gallery_labels[order[chunk.queries]] == query_labels[chunk.queries, None]
        assert torch.equal(chunk.hits.ranks, RankedHits.from_relevance(relevance, relevance.sum(1)).ranks)
        assert torch.equal(chunk.top, order[chunk.queries, :3])


def test_reranking_reorders_the_best_k_and_leaves_the_rest(order, local):
    found = reranked(order, local, 4)
    scores = torch.einsum("bmr,nmr,m->bn", local[0].float(), local[1].float(), torch.arange(1, TOKENS + 1).float())
    for query in range(QUERIES):
        expected = sorted(order[query, :4].tolist(), key=lambda photo: -scores[query, photo])
        assert found[query, :4].tolist() == expected


def test_k_of_one_changes_nothing(order, local):
    assert torch.equal(reranked(order, local, 1), order)


def test_k_of_the_gallery_reorders_all_of_it(order, local):
    assert reranked(order, local, GALLERY).sort().values.tolist() == [list(range(GALLERY))] * QUERIES


def test_ties_keep_the_global_order(order, local):
    found = reranked(order, local, 6, lambda sketches, photos: torch.zeros(photos.shape[:2]))
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
