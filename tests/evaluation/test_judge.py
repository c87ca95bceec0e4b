"""From embeddings to metrics: arrays on disk, duplicates, and the relation of all pairs."""

import numpy as np
import pytest
import torch

from caan_hf.evaluation import judge_embeddings, retrieval_metrics
from caan_hf.evaluation.expansion import PHOTO_WEIGHT


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(30, 8, generator=generator), torch.randn(70, 8, generator=generator)
    return queries, gallery, torch.randint(5, (30,), generator=generator), torch.randint(5, (70,), generator=generator)


def test_arrays_mapped_from_disk(problem, tmp_path):
    for name, values in zip(("queries", "gallery"), problem[:2], strict=True):
        np.save(tmp_path / f"{name}.npy", values.numpy())
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("queries", "gallery")]
    found = judge_embeddings(*mapped, *(labels.numpy() for labels in problem[2:]), byte_budget=5000)
    expected = retrieval_metrics(problem[0] @ problem[1].T, *problem[2:])
    for convention, metrics in expected.conventions.items():
        assert found.conventions[convention] == pytest.approx(metrics)
    torch.testing.assert_close(found.by_global.measured.precision_at_recall, expected.precision_at_recall)


def test_half_precision_embeddings_are_ranked_in_single(problem):
    halves = problem[0].half(), problem[1].half()
    found = judge_embeddings(*halves, *problem[2:])
    expected = retrieval_metrics(halves[0].float() @ halves[1].float().T, *problem[2:])
    assert found.metrics == pytest.approx(expected.conventions["standard"])


def test_without_duplicates_is_a_gallery_that_never_had_them(problem):
    queries, gallery, query_labels, labels = problem
    twice = [torch.cat([values, values[10:25]]) for values in (gallery, labels)]
    duplicates = torch.arange(85) >= 70
    found = judge_embeddings(queries, twice[0], query_labels, twice[1], duplicates=duplicates)
    alone = judge_embeddings(queries, gallery, query_labels, labels)
    assert found.deduplicated.num_duplicates == 15
    assert found.deduplicated.measured.conventions == alone.conventions
    assert found.conventions != alone.conventions
    assert judge_embeddings(*problem, duplicates=torch.zeros(70, dtype=torch.bool)).deduplicated is None


def test_the_relation_of_all_pairs(problem):
    local = [values[:, None] for values in problem[:2]]
    found = judge_embeddings(
        *problem,
        pair_relation=lambda sketches, photos: -torch.einsum("smr,pmr->sp", sketches, photos),
        sketch_local=local[0],
        photo_local=local[1],
        byte_budget=2000,
    )
    expected = retrieval_metrics(-problem[0] @ problem[1].T, *problem[2:])
    assert found.reranked.k == 70
    assert found.reranked.conventions["standard"] == pytest.approx(expected.conventions["standard"])


@pytest.mark.parametrize(("k", "taken"), [(1, 1), (4, 4), (15, 15), (1000, 70)])
def test_expansion_ranks_by_the_sketch_and_its_first_photos(problem, k, taken):
    queries, gallery = (torch.nn.functional.normalize(values) for values in problem[:2])
    expanded = []
    for query in queries:
        first = (gallery @ query).argsort(descending=True)[:k]
        mean = gallery[first].mean(0)
        expanded.append(query + PHOTO_WEIGHT * mean / mean.norm())
    expected = retrieval_metrics(torch.stack(expanded) @ gallery.T, *problem[2:])
    found = judge_embeddings(queries, gallery, *problem[2:], expand=k, byte_budget=3000)
    assert found.expanded.k == taken
    assert found.expanded.conventions["standard"] == pytest.approx(expected.conventions["standard"])
    assert found.expanded.top.shape == (30, 10)
    assert found.conventions == judge_embeddings(queries, gallery, *problem[2:]).conventions


@pytest.mark.parametrize("budget", [1, 3000, 10**8])
def test_the_budget_changes_nothing(problem, budget):
    found = judge_embeddings(*problem, byte_budget=budget)
    assert found.conventions == judge_embeddings(*problem).conventions
    assert torch.equal(found.top, judge_embeddings(*problem).top)


def test_sizes_must_fit_together(problem):
    queries, gallery, query_labels, labels = problem
    with pytest.raises(ValueError, match="need a category each"):
        judge_embeddings(queries, gallery, query_labels[:3], labels)
    with pytest.raises(ValueError, match=r"must be \(Q, D\) and \(N, D\)"):
        judge_embeddings(queries[:, :4], gallery, query_labels, labels)
    with pytest.raises(ValueError, match="duplicates must be"):
        judge_embeddings(*problem, duplicates=torch.ones(3, dtype=torch.bool))
