"""Evaluation of embeddings against the metrics of the complete score matrix."""

import numpy as np
import pytest
import torch

from caan_hf.errors import CaanError
from caan_hf.evaluation import evaluate_embeddings, retrieval_metrics
from caan_hf.retrieval.expansion import PHOTO_WEIGHT, expand_queries
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.retrieval.smoothing import smooth_photos


class Oracle:
    """An encoder whose local score of two local embeddings (1, R) is their negative dot product."""

    local_weight = None

    def local_scores(self, sketches, photos):
        return -np.einsum("smr,pmr->sp", sketches, photos)

    def paired_local_scores(self, sketches, photos):
        return -np.einsum("smr,skmr->sk", sketches, photos)


@pytest.fixture
def problem():
    generator = np.random.default_rng(0)
    queries, gallery = (generator.standard_normal((n, 8), np.float32) for n in (30, 70))
    queries, gallery = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (queries, gallery))
    return queries, gallery, generator.integers(5, size=30), generator.integers(5, size=70)


@pytest.fixture
def local(problem):
    return {"encoder": Oracle(), "sketch_local": problem[0][:, None], "photo_local": problem[1][:, None]}


def test_arrays_mapped_from_disk_are_evaluated_as_the_score_matrix(problem, tmp_path):
    for name, values in zip(("queries", "gallery"), problem[:2], strict=True):
        np.save(tmp_path / f"{name}.npy", values)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("queries", "gallery")]
    found = evaluate_embeddings(*mapped, *problem[2:], byte_budget=5000)
    scores = problem[0] @ problem[1].T
    expected = retrieval_metrics(scores, *problem[2:])
    for convention, metrics in expected.conventions.items():
        assert found.conventions[convention] == pytest.approx(metrics)
    np.testing.assert_allclose(found.precision_at_recall, expected.precision_at_recall)
    np.testing.assert_array_equal(found.top, np.argsort(-scores, axis=1)[:, :10])
    assert (found.num_queries, found.num_gallery, found.reranked) == (30, 70, None)
    assert set(found.seconds) == {"rank"}


def test_categories_may_be_names_and_embeddings_may_be_tensors_in_half_precision(problem):
    names = np.array(["axe", "cat", "cup", "dog", "tree"])
    halves = [torch.tensor(values).half() for values in problem[:2]]
    found = evaluate_embeddings(*halves, names[problem[2]].tolist(), names[problem[3]])
    expected = retrieval_metrics(halves[0].float() @ halves[1].float().T, *problem[2:])
    assert found.metrics == pytest.approx(expected.metrics)
    assert set(found.labels) <= set(names)


def test_metrics_without_duplicates_equal_those_of_a_gallery_without_them(problem):
    queries, gallery, query_labels, labels = problem
    twice = [np.concatenate([values[10:25], values]) for values in (gallery, labels)]
    duplicates = np.arange(85) < 15
    found = evaluate_embeddings(queries, twice[0], query_labels, twice[1], duplicates=duplicates)
    alone = evaluate_embeddings(*problem)
    assert found.num_duplicates == 15
    for convention, metrics in alone.conventions.items():
        assert found.deduplicated.conventions[convention] == pytest.approx(metrics)
    assert found.conventions != alone.conventions
    assert evaluate_embeddings(*problem, duplicates=np.zeros(70, bool)).deduplicated is None


@pytest.mark.parametrize("k", [1, 7, 70, 1000])
def test_reranking_reorders_the_first_photos_and_keeps_the_rest(problem, local, k):
    found = evaluate_embeddings(*problem, rerank=k, **local, byte_budget=3000)
    scores = problem[0] @ problem[1].T
    order = np.argsort(-scores, axis=1)
    expected_scores = np.empty_like(scores)
    for row, photos in enumerate(order):
        reordered = [*sorted(photos[:k], key=lambda photo, row=row: scores[row, photo]), *photos[k:]]
        expected_scores[row, reordered] = -np.arange(70)
    expected = retrieval_metrics(expected_scores, *problem[2:])
    assert found.reranked.k == min(k, 70)
    for convention, metrics in expected.conventions.items():
        assert found.reranked.conventions[convention] == pytest.approx(metrics)
    np.testing.assert_array_equal(found.reranked.top, np.argsort(-expected_scores, axis=1)[:, :10])
    assert set(found.seconds) == {"rank", "rerank"}


def test_exhaustive_ranking_orders_all_photos_by_the_local_score(problem, local):
    found = evaluate_embeddings(*problem, exhaustive=True, **local, byte_budget=2000)
    expected = retrieval_metrics(-problem[0] @ problem[1].T, *problem[2:])
    assert found.reranked.k == 70
    assert found.reranked.metrics == pytest.approx(expected.metrics)


@pytest.mark.parametrize(("k", "taken"), [(1, 1), (4, 4), (15, 15), (1000, 70)])
def test_expansion_ranks_by_the_sketch_and_its_first_photos(problem, k, taken):
    queries, gallery = problem[:2]
    expanded = []
    for query in queries:
        mean = gallery[np.argsort(-(gallery @ query))[:k]].mean(0)
        expanded.append(query + PHOTO_WEIGHT * mean / np.linalg.norm(mean))
    expected = retrieval_metrics(np.stack(expanded) @ gallery.T, *problem[2:])
    found = evaluate_embeddings(queries, gallery, *problem[2:], expand=k, byte_budget=3000)
    assert found.expanded.k == taken
    assert found.expanded.metrics == pytest.approx(expected.metrics)
    assert found.expanded.top.shape == (30, 10)
    assert found.conventions == evaluate_embeddings(queries, gallery, *problem[2:]).conventions


def test_smoothed_photos_are_ranked_beside_the_plain_ones(problem, local):
    queries, gallery, *labels = problem
    smoothed = smooth_photos(gallery, 3)
    found = evaluate_embeddings(*problem, smooth=3, rerank=7, expand=4, **local)
    assert found.conventions == evaluate_embeddings(*problem).conventions
    alone = evaluate_embeddings(queries, smoothed, *labels, rerank=7, expand=4, **local)
    assert found.adjusted.k == 3
    assert found.adjusted.conventions == alone.conventions
    assert found.adjusted.conventions != found.conventions
    assert found.reranked.conventions == alone.reranked.conventions
    assert found.expanded.conventions == alone.expanded.conventions
    assert alone.adjusted is None
    assert set(found.seconds) == {"adjust", "rank", "rerank", "expand"}


def test_scores_of_hubs_are_lowered_beside_the_plain_ones(problem, local):
    queries, gallery, *labels = problem
    hubs = HubCorrection(queries[:12], 0.8)
    found = evaluate_embeddings(*problem, hubs=hubs, rerank=7, expand=4, **local)
    amounts = 0.8 * np.sort(gallery @ queries[:12].T, axis=1)[:, -10:].mean(axis=1)
    scores = queries @ gallery.T - amounts
    assert (found.adjusted.k, found.hub_weight) == (None, 0.8)
    assert found.conventions == evaluate_embeddings(*problem).conventions
    assert found.adjusted.metrics == pytest.approx(retrieval_metrics(scores, *labels).metrics)
    first = gallery[np.argsort(-scores, axis=1)[:, :4]]
    expanded = expand_queries(queries, first) @ gallery.T - amounts
    assert found.expanded.metrics == pytest.approx(retrieval_metrics(expanded, *labels).metrics)
    order = np.argsort(-scores, axis=1)
    np.testing.assert_array_equal(np.sort(found.reranked.top[:, :7]), np.sort(order[:, :7]))
    smoothed = smooth_photos(gallery, 3)
    both = evaluate_embeddings(*problem, hubs=hubs, smooth=3)
    assert both.adjusted.conventions == evaluate_embeddings(queries, smoothed, *labels, hubs=hubs).adjusted.conventions


def test_duplicates_are_no_neighbours_of_smoothed_photos(problem):
    queries, gallery, query_labels, labels = problem
    twice = [np.concatenate([values, values[:40]]) for values in (gallery, labels)]
    found = evaluate_embeddings(queries, twice[0], query_labels, twice[1], duplicates=np.arange(110) >= 70, smooth=3)
    smoothed = smooth_photos(gallery, 3)
    expected = evaluate_embeddings(queries, np.concatenate([smoothed, smoothed[:40]]), query_labels, twice[1])
    assert found.adjusted.conventions == expected.conventions


def test_sketches_without_a_photo_are_left_out_and_counted():
    found = evaluate_embeddings(np.eye(3)[:, :2], np.eye(2), [0, 1, 9], [0, 1])
    assert (found.metrics["mAP@all"], found.num_queries, found.num_left_out) == (1, 3, 1)
    assert found.top.shape == (3, 2)
    with pytest.raises(CaanError, match="No sketch has a photo of its category"):
        evaluate_embeddings(np.eye(2), np.eye(2), [0, 1], [2, 3])


def test_arguments_that_do_not_fit_each_other_are_named(problem, local):
    queries, gallery, query_labels, labels = problem
    with pytest.raises(ValueError, match="30 sketches with 3 categories"):
        evaluate_embeddings(queries, gallery, query_labels[:3], labels)
    with pytest.raises(ValueError, match=r"\(30, 4\) and \(70, 8\)"):
        evaluate_embeddings(queries[:, :4], gallery, query_labels, labels)
    with pytest.raises(ValueError, match=r"duplicates must be \(70,\)"):
        evaluate_embeddings(*problem, duplicates=np.ones(3, bool))
    with pytest.raises(ValueError, match="needs encoder, sketch_local and photo_local"):
        evaluate_embeddings(*problem, rerank=3)
    with pytest.raises(ValueError, match="mutually exclusive"):
        evaluate_embeddings(*problem, rerank=3, exhaustive=True, **local)


def test_embeddings_that_are_not_normalised_are_a_warning():
    embeds = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    with pytest.warns(UserWarning, match="photo embeddings are not L2-normalised"):
        evaluate_embeddings(embeds, 3 * embeds, ["cup", "tree"], ["cup", "tree"])
