"""Fine-grained ranking: ranks and chance by hand and against a naive ranking, and the whole evaluation."""

import itertools

import datasets
import numpy as np
import pytest
import torch

import caan_hf
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import EvaluationOptions, evaluate_instance_embeddings
from caan_hf.evaluation.fine_grained import chance_of

QUIET = EvaluationOptions(progress=False, no_cache=True)


def unit(values):
    values = np.asarray(values, np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_ranks_and_metrics_by_hand():
    photos = unit([[1, 0], [0, 1], [1, 1], [1, 0.1]])  # the last is of another category
    sketches = unit([[1, 0.2], [0, 1], [1, 0]])
    result = evaluate_instance_embeddings(
        sketches, photos, ["a", "a", "b"], ["a", "a", "a", "b"], ["x", "z", "x"], ["x", "y", "z", "x"]
    )
    # The first sketch has cosines of x 0.98, z 0.83 and y 0.20, the second y, z, x. The third has one photo.
    assert result.rankings["global"].ranks.tolist() == [1, 2, 1]
    assert result.metrics == pytest.approx({"Acc@1": 2 / 3, "Acc@5": 1, "MRR": 5 / 6})
    assert result.rankings["global"].top[:, :4].tolist() == [[0, 2, 1, -1], [1, 2, 0, -1], [3, -1, -1, -1]]
    assert result.rankings["global"].by_category()["a"] == pytest.approx({"Acc@1": 0.5, "Acc@5": 1, "MRR": 0.75})
    assert (result.num_queries, result.num_left_out, result.num_gallery) == (3, 0, 4)
    assert list(result.rankings) == ["global"]
    assert result.chance == pytest.approx({"Acc@1": (1 / 3 + 1 / 3 + 1) / 3, "Acc@5": 1, "MRR": (2 * 11 / 18 + 1) / 3})


def test_ties_keep_the_order_of_the_gallery():
    photos = unit([[1, 0], [1, 0], [1, 0]])
    result = evaluate_instance_embeddings(photos, photos, [0] * 3, [0] * 3, [0, 1, 2], [0, 1, 2])
    assert result.rankings["global"].ranks.tolist() == [1, 2, 3]


def test_the_best_of_several_photos_of_one_instance_counts():
    photos = unit([[0, 1], [1, 1], [1, 0], [1, 0.1]])
    result = evaluate_instance_embeddings(unit([[1, 0]]), photos, [0], [0] * 4, ["x"], ["x", "x", "y", "z"])
    assert result.rankings["global"].ranks.tolist() == [3]
    assert result.chance == pytest.approx(chance_of(4, 2))


def test_sketches_without_their_photo_are_counted():
    photos = unit([[1, 0], [0, 1]])
    result = evaluate_instance_embeddings(unit([[1, 0], [0, 1], [1, 1]]), photos, [0, 0, 1], [0, 0], [7, 1, 0], [0, 1])
    assert (result.num_queries, result.num_left_out) == (3, 2)
    assert (result.queries.tolist(), result.labels.tolist()) == ([1], [0])
    with pytest.raises(CaanError, match="No sketch has the photo"):
        evaluate_instance_embeddings(photos, photos, [0, 0], [0, 0], [5, 6], [0, 1])


def test_sizes_are_checked():
    photos = unit([[1, 0], [0, 1]])
    with pytest.raises(ValueError, match="2 sketches with 1 instances"):
        evaluate_instance_embeddings(photos, photos, [0, 0], [0, 0], [0], [0, 1])
    with pytest.raises(ValueError, match="NaN"):
        evaluate_instance_embeddings(photos, photos * np.nan, [0, 0], [0, 0], [0, 1], [0, 1])


@pytest.mark.parametrize(("photos", "right"), [(1, 1), (2, 1), (4, 1), (6, 1), (6, 2), (7, 3), (4, 4)])
def test_chance_is_the_mean_over_all_orders(photos, right):
    """The right photos are at every set of places equally often."""
    best = np.array([min(places) + 1 for places in itertools.combinations(range(photos), right)])
    expected = {"Acc@1": (best <= 1).mean(), "Acc@5": (best <= 5).mean(), "MRR": (1 / best).mean()}
    assert chance_of(photos, right) == pytest.approx(expected)


def random_embeddings(seed=0, sketches=40, photos=60, width=8):
    generator = np.random.default_rng(seed)
    embeds = unit(generator.standard_normal((sketches + photos, width)))
    categories = generator.integers(0, 4, sketches + photos)
    instances = generator.integers(0, 30, sketches + photos)
    return (
        *(part[rows] for part in (embeds, categories, instances) for rows in (slice(sketches), slice(sketches, None))),
    )


def naive_ranks(scores, sketch_categories, photo_categories, sketch_instances, photo_instances):
    """Rank of the best right photo, with a loop over the sketches that have one."""
    ranks = []
    for row, category, instance in zip(scores, sketch_categories, sketch_instances, strict=True):
        own = np.flatnonzero(photo_categories == category)
        order = own[np.argsort(-row[own], kind="stable")]
        right = np.flatnonzero(photo_instances[order] == instance)
        ranks += [right[0] + 1] if len(right) else []
    return ranks


def test_ranking_equals_a_naive_one_for_any_memory():
    sketches, photos, sketch_categories, photo_categories, sketch_instances, photo_instances = random_embeddings()
    labels = sketch_categories, photo_categories, sketch_instances, photo_instances
    expected = naive_ranks(sketches @ photos.T, *labels)
    for byte_budget in (1, 10_000, 2**28):
        result = evaluate_instance_embeddings(sketches, photos, *labels, byte_budget=byte_budget)
        assert result.rankings["global"].ranks.tolist() == expected
    tensors = evaluate_instance_embeddings(*map(torch.from_numpy, (sketches, photos, *labels)))
    assert tensors.rankings["global"].ranks.tolist() == expected
    assert result.num_left_out == len(sketches) - len(expected) > 0


def test_intervals_hold_the_average_and_depend_on_the_seed():
    sketches, photos, *labels = random_embeddings(sketches=200)
    ranking = evaluate_instance_embeddings(sketches, photos, *labels).rankings["global"]
    intervals = ranking.confidence(seed=1)
    for name, value in ranking.metrics.items():
        low, high = intervals[name]
        assert low < value < high
    assert intervals == ranking.confidence(seed=1) != ranking.confidence(seed=2)


@pytest.fixture
def benchmark(split):
    """Sketch C-N has the name of photo C-N."""
    return datasets.DatasetDict(test=split)


def test_all_scores_of_a_model_are_ranked(late_caan, benchmark):
    encoder = CheckpointEncoder(*late_caan)
    result = caan_hf.evaluate(encoder, benchmark, QUIET, fine_grained=True)
    assert (result.protocol, result.split, result.local_weight) == ("unnamed-fine", "test", 0.25)
    assert (result.num_queries, result.num_left_out, result.num_gallery) == (12, 0, 20)
    assert result.chance["Acc@1"] == pytest.approx(0.2)
    rows = benchmark["test"]
    is_sketch = np.array(rows["modality"]) == 0
    images = rows["image"]
    features = [
        encoder.encode([images[row] for row in np.flatnonzero(chosen)], modality)
        for modality, chosen in (("sketch", is_sketch), ("photo", ~is_sketch))
    ]
    cosines = features[0].global_embeds @ features[1].global_embeds.T
    halves = [one.local_embeds.astype(np.float16).astype(np.float32) for one in features]  # as the cache keeps them
    local = encoder.local_scores(*halves)
    scores = {"global": cosines, "local": local, "fused": 0.75 * cosines + 0.25 * local}
    categories, sources = np.array(rows["category"]), np.array([name.split("/")[1] for name in rows["source"]])
    labels = (labels[chosen] for labels in (categories, sources) for chosen in (is_sketch, ~is_sketch))
    labels = list(labels)
    assert list(result.rankings) == list(scores)
    for name, ranking in result.rankings.items():
        assert ranking.ranks.tolist() == naive_ranks(scores[name], *labels)


def test_a_relation_network_without_a_weight_has_no_fused_ranking(tiny_caan, benchmark, tmp_path):
    options = EvaluationOptions(progress=False, cache=tmp_path)
    result = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, options, fine_grained=True)
    assert list(result.rankings) == ["global", "local"]
    again = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, options, fine_grained=True)
    assert again.rankings["local"].ranks.tolist() == result.rankings["local"].ranks.tolist()


def test_no_pairs_is_a_one_line_error_before_anything_is_encoded(tiny_caan, benchmark, monkeypatch):
    renamed = benchmark.map(lambda row: {"source": row["source"].replace("sketch/", "sketch/other ")})
    encoder = CheckpointEncoder(*tiny_caan)
    monkeypatch.setattr(encoder, "encode_prepared", None)
    with pytest.raises(CaanError, match=r"no sketch whose photo is in the gallery.*NAME-1\.png") as error:
        caan_hf.evaluate(encoder, renamed, QUIET, fine_grained=True)
    assert "\n" not in str(error.value)


def test_sketches_without_a_photo_are_left_out_and_counted(tiny_caan, benchmark):
    changed = benchmark.map(lambda row: {"source": row["source"].replace("sketch/0-", "sketch/other ")})
    result = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), changed, QUIET, fine_grained=True)
    assert (result.num_queries, result.num_left_out) == (12, 3)
    assert "blue" not in result.labels


@pytest.mark.parametrize("name", ["rerank", "smooth", "expand", "exhaustive", "generalized"])
def test_options_of_the_whole_gallery_are_refused(name):
    with pytest.raises(CaanError, match=f"--fine-grained and --{name} are mutually exclusive"):
        caan_hf.evaluate("model", "data", EvaluationOptions(**{name: 3}), fine_grained=True)


def test_categories_that_training_saw_are_left_out(tiny_caan, benchmark, tmp_path):
    (tmp_path / "seen.txt").write_text("Red\n")
    options = EvaluationOptions(progress=False, no_cache=True, trained_on=str(tmp_path / "seen.txt"))
    result = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, options, fine_grained=True)
    assert result.protocol == "unnamed-fine/from-seen"
    assert (result.num_queries, result.num_gallery) == (9, 15)
