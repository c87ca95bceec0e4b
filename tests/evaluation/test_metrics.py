"""Metrics against cases worked by hand, a naive reference, scikit-learn, and properties that must hold."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from caan_hf.evaluation.conventions import CONVENTIONS, Hits
from caan_hf.evaluation.metrics import MetricAccumulator, chance_map, retrieval_metrics
from caan_hf.retrieval.ranking import stable_order


def naive_query(ranked, convention, cutoffs, map_cutoffs):
    """The definitions of docs/protocols.md for one query, one rank at a time."""
    relevant = sum(ranked)

    def precision(i):
        return sum(ranked[:i]) / i

    def envelope(i, end):
        return max(precision(j) for j in range(i, end + 1))

    def average_precision(k):
        end = len(ranked) if k is None else min(k, len(ranked))
        hits = [i for i in range(1, end + 1) if ranked[i - 1]]
        curve = [envelope(i, end) if convention in ("sake", "zse") else precision(i) for i in hits]
        if convention == "hits" and k is not None:
            return sum(curve) / len(hits) if hits else 0.0
        return sum(curve) / (relevant if k is None else min(k, relevant))

    def precision_at(k):
        k = {"zse": min(k, relevant), "sake": min(k, len(ranked))}.get(convention, k)
        return sum(ranked[:k]) / k

    values = {"mAP@all": average_precision(None)}
    values |= {f"mAP@{k}": average_precision(k) for k in map_cutoffs}
    return values | {f"P@{k}": precision_at(k) for k in cutoffs}


def naive(scores, query_labels, gallery_labels, convention="standard", cutoffs=(100, 200), map_cutoffs=(200,)):
    """One query at a time, averaged over queries or, for `sake`, over categories."""
    of_category = {}
    for row, label in zip(scores, query_labels, strict=True):
        ranked = [gallery_labels[i] == label for i in sorted(range(len(row)), key=lambda i: -row[i])]
        if any(ranked):
            of_category.setdefault(label, []).append(naive_query(ranked, convention, cutoffs, map_cutoffs))
    groups = list(of_category.values()) if convention == "sake" else [list(chain.from_iterable(of_category.values()))]
    metrics = groups[0][0]
    return {name: float(np.mean([np.mean([query[name] for query in group]) for group in groups])) for name in metrics}


def standard(*args, **kwargs):
    return retrieval_metrics(*args, **kwargs).conventions["standard"]


def random_problem(queries, gallery, categories, seed=0):
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((queries, gallery), np.float32)
    return scores, generator.integers(categories, size=queries), generator.integers(categories, size=gallery)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("gallery", [30, 60, 100])  # below, between and above the cutoffs
def test_equals_the_naive_reference(gallery, convention):
    scores, queries, labels = random_problem(12, gallery, 3)
    queries[:5] = 0  # so that macro and micro averages differ
    cutoffs = {"cutoffs": (40, 80), "map_cutoffs": (80,)}
    expected = naive(scores.tolist(), queries.tolist(), labels.tolist(), convention, **cutoffs)
    found = retrieval_metrics(scores, queries, labels, **cutoffs).conventions
    assert list(found) == list(CONVENTIONS)
    assert found[convention] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        # hits at ranks 2, 3 and 6 of 8: precisions 1/2, 2/3, 1/2; the envelope is 2/3, 2/3, 1/2
        ("standard", {"mAP@all": (1 / 2 + 2 / 3 + 1 / 2) / 3, "mAP@4": (1 / 2 + 2 / 3) / 3, "P@4": 2 / 4}),
        ("sake", {"mAP@all": (2 / 3 + 2 / 3 + 1 / 2) / 3, "mAP@4": (2 / 3 + 2 / 3) / 3, "P@4": 2 / 4}),
        ("zse", {"mAP@all": (2 / 3 + 2 / 3 + 1 / 2) / 3, "mAP@4": (2 / 3 + 2 / 3) / 3, "P@4": 2 / 3}),
        ("hits", {"mAP@all": (1 / 2 + 2 / 3 + 1 / 2) / 3, "mAP@4": (1 / 2 + 2 / 3) / 2, "P@4": 2 / 4}),
    ],
)
def test_conventions_by_hand(convention, expected):
    scores = np.arange(8.0, 0, -1)[None]
    labels = np.array([0, 1, 1, 0, 0, 1, 0, 0])
    found = retrieval_metrics(scores, np.array([1]), labels, cutoffs=(4,), map_cutoffs=(4,))
    assert found.conventions[convention] == pytest.approx(expected)


def test_no_hit_within_the_cutoff_gives_zero():
    labels = np.array([0, 0, 0, 1])
    found = retrieval_metrics(np.array([[4.0, 3, 2, 1]]), np.array([1]), labels, cutoffs=(2,), map_cutoffs=(2,))
    assert all(values["mAP@2"] == values["P@2"] == 0 for values in found.conventions.values())


def test_values_of_queries_and_categories_and_the_query_that_is_left_out():
    scores = np.array([[3.0, 2, 1], [1, 2, 3], [1, 3, 2], [3, 2, 1]])
    queries, labels = np.array([1, 1, 5, 9]), np.array([1, 5, 5])
    metrics = retrieval_metrics(scores, queries, labels, cutoffs=(1,), map_cutoffs=())
    assert (metrics.num_queries, metrics.num_left_out) == (4, 1)
    assert metrics.queries.tolist() == [0, 1, 2]
    assert metrics.labels.tolist() == [1, 1, 5]
    assert metrics.per_query["standard"]["mAP@all"].tolist() == pytest.approx([1, 1 / 3, 1])
    assert metrics.by_category("standard")[1] == pytest.approx({"mAP@all": 2 / 3, "P@1": 1 / 2})
    assert metrics.conventions["standard"]["mAP@all"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert metrics.conventions["sake"]["mAP@all"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("convention", ["standard", "sake"])
def test_the_interval_holds_the_average_and_narrows_with_more_queries(convention):
    def interval(queries):
        found = retrieval_metrics(*random_problem(queries, 40, 4), cutoffs=(), map_cutoffs=())
        low, high = found.confidence(convention, resamples=300)["mAP@all"]
        assert low < found.conventions[convention]["mAP@all"] < high
        assert found.confidence(convention, resamples=300)["mAP@all"] == (low, high)
        return high - low

    assert interval(1600) == pytest.approx(interval(100) / 4, rel=0.35)


def test_equals_scikit_learn():
    scores, queries, labels = random_problem(20, 300, 4, seed=1)
    expected = [average_precision_score(labels == label, row) for row, label in zip(scores, queries, strict=True)]
    assert standard(scores, queries, labels)["mAP@all"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_ties_keep_the_order_of_the_gallery():
    scores = np.zeros((1, 50), np.float32)
    assert stable_order(scores).tolist() == [list(range(50))]
    first, last = np.zeros(50, int), np.zeros(50, int)
    first[0], last[-1] = 1, 1
    assert standard(scores, np.array([1]), first)["mAP@all"] == 1
    assert standard(scores, np.array([1]), last)["mAP@all"] == pytest.approx(1 / 50)


def test_scores_and_settings_without_a_defined_metric_are_errors():
    scores, labels = np.zeros((1, 2)), np.array([0, 0])
    with pytest.raises(ValueError, match="none of the 1 queries"):
        retrieval_metrics(scores, np.array([1]), labels)
    with pytest.raises(ValueError, match="NaN"):
        retrieval_metrics(scores * np.nan, np.array([0]), labels)
    with pytest.raises(ValueError, match="unknown metric conventions"):
        MetricAccumulator(["mine"])
    metrics = retrieval_metrics(scores, np.array([0]), labels)
    for method in (metrics.by_category, metrics.confidence, lambda name: metrics.averages(name, macro=False)):
        with pytest.raises(ValueError, match=r"'mine'.*standard"):
            method("mine")
    with pytest.raises(ValueError, match="cutoffs"):
        MetricAccumulator(cutoffs=[0])
    with pytest.raises(ValueError, match="cutoffs"):
        MetricAccumulator(map_cutoffs=2.5)


def test_a_single_convention_or_cutoff_needs_no_list():
    problem = random_problem(4, 30, 2)
    found = retrieval_metrics(*problem, conventions="sake", cutoffs=10, map_cutoffs=5)
    expected = retrieval_metrics(*problem, conventions=["sake"], cutoffs=[10], map_cutoffs=[5])
    assert list(found.conventions) == ["sake"]
    assert list(found.metrics) == ["mAP@all", "mAP@5", "P@10"]
    assert found.conventions == expected.conventions


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_chunks_of_queries_give_the_same_metrics(size):
    scores, queries, labels = random_problem(40, 230, 9, seed=2)
    queries[:5] = 99  # some chunks hold only queries that are left out
    expected = retrieval_metrics(scores, queries, labels)
    accumulator = MetricAccumulator()
    relevance = labels[stable_order(scores)] == queries[:, None]
    for start in range(0, 40, size):
        rows = slice(start, start + size)
        accumulator.update(Hits.from_relevance(relevance[rows]), queries[rows])
    found = accumulator.compute()
    assert (found.num_queries, found.num_left_out) == (expected.num_queries, expected.num_left_out)
    np.testing.assert_array_equal(found.queries, expected.queries)
    for convention, values in expected.conventions.items():
        assert found.conventions[convention] == pytest.approx(values, abs=1e-12)


def test_truncated_ranking_is_divided_by_all_relevant_photos():
    accumulator = MetricAccumulator()
    accumulator.update(Hits(np.array([[1.0]]), np.array([4.0]), num_photos=9), np.array([0]))
    assert accumulator.compute().conventions["standard"]["mAP@all"] == 1 / 4


def test_categories_may_be_names_and_scores_may_be_tensors_or_lists():
    scores, queries, labels = random_problem(12, 40, 3)
    names = np.array(["car (sedan)", "cup", "tree"])
    expected = retrieval_metrics(scores, queries, labels)
    named = retrieval_metrics(torch.tensor(scores), names[queries].tolist(), names[labels])
    assert named.conventions == expected.conventions
    assert set(named.by_category("standard")) == set(names)
    tensors = retrieval_metrics(torch.tensor(scores, requires_grad=True), torch.tensor(queries), labels.tolist())
    assert tensors.conventions == expected.conventions
    assert retrieval_metrics(scores.tolist(), queries, labels).conventions == expected.conventions


def test_scores_in_double_precision_are_not_rounded():
    scores = [[1.0, 1.0 + 1e-12]]
    assert standard(scores, [1], [0, 1])["mAP@all"] == 1


@pytest.mark.parametrize("queries, gallery", [(3, 6), (4, 5), (2, 5)])
def test_lengths_that_do_not_match_are_named(queries, gallery):
    with pytest.raises(ValueError, match=rf"\({queries}, {gallery}\), got \(3, 5\)"):
        retrieval_metrics(np.zeros((3, 5)), [0] * queries, [0] * gallery)


def test_names_and_integers_cannot_be_mixed():
    with pytest.raises(ValueError, match="query labels are names and gallery labels are integers"):
        retrieval_metrics(np.zeros((1, 2)), ["1"], [1, 2])


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
    scores = np.array([random.sample(range(1000), len(gallery)) for _ in queries], float)
    shuffle = np.array(random.sample(range(len(gallery)), len(gallery)))
    queries, gallery = np.array(queries), np.array(gallery)
    found = standard(scores, queries, gallery, cutoffs=(3,), map_cutoffs=(3,))
    moved = standard(scores[:, shuffle], queries, gallery[shuffle], cutoffs=(3,), map_cutoffs=(3,))
    assert moved == pytest.approx(found, abs=1e-12)
    assert all(0 <= value <= 1 for value in found.values())
    assert found == pytest.approx(
        naive(scores.tolist(), queries.tolist(), gallery.tolist(), cutoffs=(3,), map_cutoffs=(3,)), abs=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(problems)
def test_a_perfect_ranking_gives_one(problem):
    queries, gallery, _ = problem
    queries, gallery = np.array([gallery[0], *queries]), np.array(gallery)
    scores = (queries[:, None] == gallery).astype(float)
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
    gallery = np.array([0] * 5 + [1] * 15 + [2] * 30)
    queries = np.array([0, 1, 1, 2, 7])
    generator = np.random.default_rng(0)
    runs = [standard(generator.random((5, 50)), queries, gallery)["mAP@all"] for _ in range(600)]
    error = np.std(runs) / np.sqrt(len(runs))
    assert chance_map(queries, gallery) == pytest.approx(np.mean(runs), abs=4 * error)


def test_precision_at_recall_equals_a_naive_one():
    scores, queries, labels = random_problem(12, 90, 3, seed=4)
    expected = np.zeros(101)
    for row, label in zip(scores, queries, strict=True):
        ranked = labels[np.argsort(-row)] == label
        precision, recall = ranked.cumsum() / np.arange(1, 91), ranked.cumsum() / ranked.sum()
        expected += [precision[recall >= level / 100 - 1e-9].max() for level in range(101)]
    found = retrieval_metrics(scores, queries, labels).precision_at_recall
    assert found.shape == (101,)
    assert found == pytest.approx(expected / 12)


def test_micro_and_macro_averages_are_available_for_every_convention():
    scores, queries, labels = random_problem(30, 40, 3)
    metrics = retrieval_metrics(scores, queries, labels)
    assert metrics.averages("standard", macro=False) == pytest.approx(metrics.conventions["standard"])
    assert metrics.averages("sake", macro=True) == pytest.approx(metrics.conventions["sake"])
    by_category = metrics.by_category("standard").values()
    assert metrics.averages("standard", macro=True)["P@100"] == pytest.approx(
        np.mean([c["P@100"] for c in by_category])
    )
