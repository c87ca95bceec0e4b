"""Candidates are re-ordered by the fused score, in any number of calls, and every pair can be ranked."""

import numpy as np
import pytest

from caan_hf.retrieval.reranking import candidate_cosines, rank_all_pairs, rerank


class SumOfProducts:
    """Scores a pair by the sum of the dot products of their local tokens, so that the expected order is known."""

    def __init__(self, weight=None):
        self.local_weight = weight

    def local_scores(self, sketch_local, photo_local):
        return np.einsum("smr,pnr->sp", sketch_local, photo_local).astype(np.float32)

    def paired_local_scores(self, sketch_local, photo_local):
        return np.einsum("bmr,bknr->bk", sketch_local, photo_local).astype(np.float32)


def local_embeds(count, seed):
    return np.random.default_rng(seed).standard_normal((count, 4, 3)).astype(np.float16)


def global_embeds(count, seed):
    return np.random.default_rng(seed).standard_normal((count, 5)).astype(np.float32)


def naive_scores(weight, queries, gallery, query_local, gallery_local):
    local = SumOfProducts().local_scores(query_local.astype(np.float32), gallery_local.astype(np.float32))
    return local if weight is None else (1 - weight) * queries @ gallery.T + weight * local


@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("byte_budget", [1, 2**28])
def test_candidates_are_ordered_by_the_fused_score(byte_budget, weight):
    embeds = global_embeds(5, seed=4), global_embeds(40, seed=5)
    local = local_embeds(5, seed=0), local_embeds(40, seed=1)
    candidates = np.stack([np.random.default_rng(row).permutation(40)[:7] for row in range(5)]).astype(np.uint32)
    cosines = candidate_cosines(*embeds, candidates, byte_budget=byte_budget)
    np.testing.assert_allclose(cosines, np.take_along_axis(embeds[0] @ embeds[1].T, candidates, axis=1), rtol=1e-5)
    order, scores = rerank(SumOfProducts(weight), candidates, cosines, *local, byte_budget=byte_budget)
    expected = naive_scores(weight, *embeds, *local)
    for row in range(5):
        assert set(order[row]) == set(candidates[row])
        np.testing.assert_allclose(scores[row], expected[row][order[row]], rtol=1e-4, atol=1e-5)
        assert (np.diff(scores[row]) <= 0).all()


def test_equal_scores_keep_the_order_of_the_candidates():
    queries, gallery = np.ones((1, 2, 2), np.float16), np.ones((3, 2, 2), np.float16)
    order, _ = rerank(SumOfProducts(), np.array([[2, 0, 1]], np.uint32), np.zeros((1, 3), np.float32), queries, gallery)
    assert order.tolist() == [[2, 0, 1]]


@pytest.mark.parametrize("weight", [None, 0.3])
def test_ranking_all_pairs_equals_reranking_the_whole_gallery(weight):
    embeds, local = (global_embeds(5, 6), global_embeds(11, 7)), (local_embeds(5, seed=2), local_embeds(11, seed=3))
    everything = np.tile(np.arange(11, dtype=np.uint32), (5, 1))
    expected, _ = rerank(SumOfProducts(weight), everything, candidate_cosines(*embeds, everything), *local)
    chunks = rank_all_pairs(SumOfProducts(weight), *embeds, *local, byte_budget=1)
    np.testing.assert_array_equal(np.concatenate([order for _, order in chunks]), expected)
