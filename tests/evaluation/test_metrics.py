"""The metrics against hand-worked cases, a naive reference, scikit-learn, and properties that must hold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from caan_hf.evaluation.metrics import (
    MetricAccumulator,
    RankedHits,
    chance_map,
    count_relevant,
    retrieval_metrics,
    stable_order,
)


def naive(scores, query_labels, gallery_labels, cutoffs=(100, 200), map_cutoffs=(200,)):
    """The definitions of docs/protocols.md, one query and one rank at a time."""
    per_query = []
    for row, label in zip(scores, query_labels, strict=True):
        ranked = [gallery_labels[i] == label for i in sorted(range(len(row)), key=lambda i: -row[i])]
        relevant = sum(ranked)
        if not relevant:
            continue
        precisions = [(i, sum(ranked[:i]) / i) for i in range(1, len(ranked) + 1) if ranked[i - 1]]
        values = {"mAP@all": sum(p for _, p in precisions) / relevant}
        values |= {f"mAP@{k}": sum(p for i, p in precisions if i <= k) / min(k, relevant) for k in map_cutoffs}
        values |= {f"P@{k}": sum(ranked[:k]) / k for k in cutoffs}
        per_query.append(values)
    return {name: float(np.mean([values[name] for values in per_query])) for name in per_query[0]}


def standard(*args, **kwargs):
    return retrieval_metrics(*args, **kwargs).conventions["standard"]


def random_problem(queries, gallery, categories, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(queries, gallery, generator=generator),
        torch.randint(categories, (queries,), generator=generator),
        torch.randint(categories, (gallery,), generator=generator),
    )


def test_one_query_by_hand():
    # ranks:            1    2    3    4    5
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    gallery = torch.tensor([1, 0, 1, 0, 1])  # hits at 1, 3, 5: precisions 1, 2/3, 3/5
    found = standard(scores, torch.tensor([1]), gallery, cutoffs=(2, 4), map_cutoffs=(2, 4))
    assert found == pytest.approx(
        {"mAP@all": (1 + 2 / 3 + 3 / 5) / 3, "mAP@2": 1 / 2, "mAP@4": (1 + 2 / 3) / 3, "P@2": 1 / 2, "P@4": 1 / 2}
    )


def test_precision_divides_by_the_cutoff_even_in_a_small_gallery():
    found = standard(torch.tensor([[0.9, 0.8]]), torch.tensor([1]), torch.tensor([1, 1]))
    assert found == pytest.approx({"mAP@all": 1.0, "mAP@200": 1.0, "P@100": 0.02, "P@200": 0.01})


@pytest.mark.parametrize("gallery", [30, 150, 450])  # below, between and above the cutoffs
def test_equals_the_naive_reference(gallery):
    scores, queries, labels = random_problem(12, gallery, 3)
    expected = naive(scores.tolist(), queries.tolist(), labels.tolist())
    assert standard(scores, queries, labels) == pytest.approx(expected, abs=1e-12)


def test_equals_scikit_learn():
    scores, queries, labels = random_problem(20, 300, 4, seed=1)
    expected = [average_precision_score(labels == label, row) for row, label in zip(scores, queries, strict=True)]
    assert standard(scores, queries, labels)["mAP@all"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_ties_keep_the_order_of_the_gallery():
    scores = torch.zeros(1, 50)
    assert stable_order(scores).tolist() == [list(range(50))]
    first, last = torch.zeros(50, dtype=torch.long), torch.zeros(50, dtype=torch.long)
    first[0], last[-1] = 1, 1
    assert standard(scores, torch.tensor([1]), first)["mAP@all"] == 1
    assert standard(scores, torch.tensor([1]), last)["mAP@all"] == pytest.approx(1 / 50)


def test_queries_without_a_relevant_photo_are_left_out_and_counted():
    scores, _, _ = random_problem(3, 5, 2)
    labels = torch.tensor([0, 1, 0, 1, 0])
    metrics = retrieval_metrics(scores, torch.tensor([0, 9, 1]), labels)
    assert (metrics.num_queries, metrics.num_left_out) == (3, 1)
    assert metrics.conventions["standard"] == standard(scores[[0, 2]], torch.tensor([0, 1]), labels)


def test_refuses_what_cannot_be_measured():
    scores, labels = torch.zeros(1, 2), torch.tensor([0, 0])
    with pytest.raises(ValueError, match="none of the 1 queries"):
        retrieval_metrics(scores, torch.tensor([1]), labels)
    with pytest.raises(ValueError, match="NaN"):
        retrieval_metrics(scores * torch.nan, torch.tensor([0]), labels)
    with pytest.raises(ValueError, match="unknown metric conventions \\['mine'\\]"):
        MetricAccumulator(["mine"])
    with pytest.raises(ValueError, match="cutoffs must be positive"):
        MetricAccumulator(cutoffs=[0])


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_chunks_give_what_the_whole_gives(size):
    scores, queries, labels = random_problem(40, 230, 9, seed=2)
    queries[:5] = 99  # some chunks hold only queries that are left out
    whole = retrieval_metrics(scores, queries, labels)
    accumulator = MetricAccumulator()
    relevance = labels[stable_order(scores)] == queries[:, None]
    relevant = count_relevant(queries, labels)
    for start in range(0, 40, size):
        accumulator.update(relevance[start : start + size], relevant[start : start + size])
    chunked = accumulator.compute()
    assert (chunked.num_queries, chunked.num_left_out) == (whole.num_queries, whole.num_left_out)
    assert chunked.conventions["standard"] == pytest.approx(whole.conventions["standard"], abs=1e-12)


def test_a_truncated_ranking_still_divides_by_all_relevant_photos():
    hits = RankedHits.from_relevance(torch.tensor([[True, False]]), torch.tensor([4]))
    assert hits.ranks.tolist() == [[1.0]]
    accumulator = MetricAccumulator()
    accumulator.update(torch.tensor([[True, False]]), torch.tensor([4]))
    assert accumulator.compute().conventions["standard"]["mAP@all"] == 1 / 4


problems = st.integers(1, 4).flatmap(
    lambda categories: st.tuples(
        st.lists(st.integers(0, categories), min_size=1, max_size=6),
        st.lists(st.integers(0, categories), min_size=1, max_size=30),
        st.randoms(use_true_random=False),
    )
)


@settings(max_examples=60, deadline=None)
@given(problems)
def test_the_order_of_the_gallery_is_irrelevant_without_ties(problem):
    queries, gallery, random = problem
    queries = [gallery[0], *queries]  # one query can be answered
    scores = torch.tensor([random.sample(range(1000), len(gallery)) for _ in queries]).float()
    shuffle = torch.tensor(random.sample(range(len(gallery)), len(gallery)))
    queries, gallery = torch.tensor(queries), torch.tensor(gallery)
    found = standard(scores, queries, gallery, cutoffs=(3,), map_cutoffs=(3,))
    moved = standard(scores[:, shuffle], queries, gallery[shuffle], cutoffs=(3,), map_cutoffs=(3,))
    assert moved == pytest.approx(found, abs=1e-12)
    assert all(0 <= value <= 1 for value in found.values())
    assert found == pytest.approx(naive(scores.tolist(), queries.tolist(), gallery.tolist(), (3,), (3,)), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(problems)
def test_a_perfect_ranking_gives_one(problem):
    queries, gallery, _ = problem
    queries, gallery = torch.tensor([gallery[0], *queries]), torch.tensor(gallery)
    scores = (queries[:, None] == gallery).float()
    found = standard(scores, queries, gallery, cutoffs=(1,), map_cutoffs=(2,))
    assert found == pytest.approx({"mAP@all": 1, "mAP@2": 1, "P@1": 1})


def test_chance_by_hand():
    assert chance_map([1], [1]) == 1
    assert chance_map([1], [1, 0]) == pytest.approx((1 + 1 / 2) / 2)
    # relevant at ranks (1, 2), (1, 3), (2, 3); the query of category 5 is left out
    orders = [1, (1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2]
    assert chance_map([1, 5], [1, 1, 0]) == pytest.approx(sum(orders) / 3)
    with pytest.raises(ValueError, match="no query"):
        chance_map([5], [1])


def test_chance_equals_a_simulation():
    gallery = torch.tensor([0] * 5 + [1] * 15 + [2] * 30)
    queries = torch.tensor([0, 1, 1, 2, 7])
    generator = torch.Generator().manual_seed(0)
    runs = [standard(torch.rand(5, 50, generator=generator), queries, gallery)["mAP@all"] for _ in range(600)]
    error = np.std(runs) / np.sqrt(len(runs))
    assert chance_map(queries, gallery) == pytest.approx(np.mean(runs), abs=4 * error)
