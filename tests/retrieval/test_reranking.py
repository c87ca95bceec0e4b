"""Candidates are re-ordered by relation logit, in any number of calls, and every pair can be ranked."""

import numpy as np
import pytest

from caan_hf.retrieval.reranking import rank_all_pairs, rerank


class MeanCosine:
    """Scores a pair by the mean cosine of their local tokens, so that the expected order is known."""

    def local_scores(self, sketch_local, photo_local):
        return np.einsum("smr,pnr->sp", sketch_local, photo_local).astype(np.float32)

    def paired_local_scores(self, sketch_local, photo_local):
        return np.einsum("bmr,bknr->bk", sketch_local, photo_local).astype(np.float32)


def local_embeds(count, seed):
    return np.random.default_rng(seed).standard_normal((count, 4, 3)).astype(np.float16)


@pytest.mark.parametrize("byte_budget", [1, 2**28])
def test_candidates_are_ordered_by_logit(byte_budget):
    queries, gallery = local_embeds(5, seed=0), local_embeds(40, seed=1)
    candidates = np.stack([np.random.default_rng(row).permutation(40)[:7] for row in range(5)]).astype(np.uint32)
    order, logits = rerank(MeanCosine(), candidates, queries, gallery, byte_budget=byte_budget)
    expected = MeanCosine().local_scores(queries.astype(np.float32), gallery.astype(np.float32))
    for row in range(5):
        assert set(order[row]) == set(candidates[row])
        np.testing.assert_allclose(logits[row], expected[row][order[row]], rtol=1e-5)
        assert (np.diff(logits[row]) <= 0).all()


def test_equal_logits_keep_the_order_of_the_candidates():
    queries, gallery = np.ones((1, 2, 2), np.float16), np.ones((3, 2, 2), np.float16)
    order, _ = rerank(MeanCosine(), np.array([[2, 0, 1]], np.uint32), queries, gallery)
    assert order.tolist() == [[2, 0, 1]]


def test_ranking_all_pairs_equals_reranking_the_whole_gallery():
    queries, gallery = local_embeds(5, seed=2), local_embeds(11, seed=3)
    everything = np.tile(np.arange(11, dtype=np.uint32), (5, 1))
    expected, _ = rerank(MeanCosine(), everything, queries, gallery)
    found = np.concatenate([order for _, order in rank_all_pairs(MeanCosine(), queries, gallery, byte_budget=1)])
    np.testing.assert_array_equal(found, expected)
