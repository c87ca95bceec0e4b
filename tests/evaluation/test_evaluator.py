"""The evaluator on a split: encoding, caching, re-ranking with the model, duplicates, and refusals."""

import datasets
import numpy as np
import pytest

from caan_hf import CaanError
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator, chance_map, retrieval_metrics

SKETCHES, PHOTOS = 12, 20
QUIET = {"progress": False, "no_cache": True}


@pytest.fixture
def encoder(tiny_caan):
    return CheckpointEncoder(*tiny_caan, name="tiny")


def images(split, modality):
    return [row["image"] for row in split if row["modality"] == modality]


def test_result_is_that_of_the_score_matrix(encoder, split):
    options = EvaluationOptions(batch_size=7, **QUIET)
    evaluator = ZeroShotEvaluator(split, options, protocol="colours", byte_budget=1)
    result = evaluator(encoder)
    scores = encoder.encode_sketches(images(split, 0)) @ encoder.encode_photos(images(split, 1)).T
    labels = [[row["category"] for row in split if row["modality"] == modality] for modality in (0, 1)]
    expected = retrieval_metrics(scores, *labels)
    assert list(result.conventions) == ["standard"]
    assert result.metrics == pytest.approx(expected.metrics, abs=1e-6)
    assert result.metrics[evaluator.primary_metric] == result.conventions["standard"]["mAP@all"]
    assert (result.num_queries, result.num_gallery, result.num_left_out) == (SKETCHES, PHOTOS, 0)
    assert (result.protocol, result.split) == ("colours", "test")
    assert (result.model, result.model_kind, result.precision) == ("tiny", "checkpoint", "float32")
    assert result.chance == chance_map(*labels)
    np.testing.assert_array_equal(result.top[:, 0], scores.argmax(1))
    assert set(result.by_category("standard")) == {"blue", "green", "red", "yellow bird"}
    assert set(result.seconds) == {"encode", "rank"}


@pytest.mark.parametrize("cached", [False, True])
def test_reranking_uses_the_relation_network_of_the_model(encoder, split, tmp_path, cached):
    cache = {"cache": tmp_path} if cached else {"no_cache": True}
    result = ZeroShotEvaluator(split, EvaluationOptions(rerank=6, progress=False, **cache))(encoder)
    sketches, photos = encoder.encode(images(split, 0), "sketch"), encoder.encode(images(split, 1), "photo")
    logits = encoder.local_scores(sketches.local_embeds, photos.local_embeds)  # (12, 20)
    for query in range(SKETCHES):
        before, after = result.top[query, :6], result.reranked.top[query, :6]
        assert sorted(after) == sorted(before)
        assert np.diff(logits[query, after]).max() < 1e-3  # descending, up to half precision
    np.testing.assert_array_equal(result.reranked.top[:, 6:], result.top[:, 6:])
    assert set(result.seconds) == {"encode", "rank", "rerank"}


@pytest.mark.parametrize(
    ("model", "options", "k"),
    [
        ("late", {}, 20),  # 100, of which there are 20
        ("late", {"rerank": 6}, 6),
        ("late", {"rerank": 0}, None),
        ("late", {"no_rerank": True}, None),
        ("late", {"exhaustive": True}, 20),
        ("late", {"exhaustive": True, "rerank": 0}, 20),
        ("tiny", {}, None),
        ("tiny", {"rerank": 6}, 6),
    ],
)
def test_photos_are_reranked_by_default_where_the_model_has_a_weight_for_it(
    tiny_caan, late_caan, split, model, options, k
):
    encoder = CheckpointEncoder(*(late_caan if model == "late" else tiny_caan))
    result = ZeroShotEvaluator(split, EvaluationOptions(**QUIET, **options))(encoder)
    assert (result.reranked and result.reranked.k) == k
    assert result.local_weight == (0.25 if k and model == "late" else None)


def test_evaluations_in_training_do_not_rerank(late_caan, split):
    result = ZeroShotEvaluator(split)(CheckpointEncoder(*late_caan))
    assert (result.reranked, result.local_weight) == (None, None)


def test_second_evaluation_encodes_nothing(encoder, split, tmp_path, monkeypatch):
    evaluator = ZeroShotEvaluator(split, EvaluationOptions(cache=tmp_path, progress=False))
    first = evaluator(encoder)
    monkeypatch.setattr(encoder, "encode_prepared", None)
    assert evaluator(encoder).conventions == first.conventions


def test_duplicate_photos_are_found_by_content_and_category(encoder, split):
    photo = split.select([0])  # the first row is a photo of category 0
    other = photo.map(lambda row: {"category": 1}, features=split.features)
    rows = datasets.concatenate_datasets([split, photo, other])
    result = ZeroShotEvaluator(rows, EvaluationOptions(**QUIET), deduplicate=True)(encoder)
    expected = ZeroShotEvaluator(datasets.concatenate_datasets([split, other]), EvaluationOptions(**QUIET))(encoder)
    assert (result.num_duplicates, result.num_gallery) == (1, PHOTOS + 2)
    assert result.deduplicated.metrics == pytest.approx(expected.metrics)


def test_embeddings_of_another_process_are_evaluated(split):
    evaluator = ZeroShotEvaluator(split, protocol="colours")
    sketches, photos = np.eye(4)[evaluator.sketch_categories], np.eye(4)[evaluator.photo_categories]
    result = evaluator.evaluate_embeddings(sketches, photos)
    assert (result.metrics["mAP@all"], result.protocol) == (1, "colours")


@pytest.mark.parametrize(("kept", "missing"), [(0, "photos"), (1, "sketches")])
def test_split_needs_both_modalities(split, kept, missing):
    rows = [row for row, modality in enumerate(split["modality"]) if modality == kept]
    with pytest.raises(CaanError, match=f"test split has no {missing}"):
        ZeroShotEvaluator(split.select(rows))


def test_an_unreadable_image_is_a_one_line_error_with_its_name(encoder, split):
    rows = split.cast_column("image", datasets.Image(decode=False)).to_list()
    rows[4]["image"] = {"bytes": b"not an image", "path": None}
    broken = datasets.Dataset.from_list(rows, features=split.features)
    with pytest.raises(CaanError, match=f"^{rows[4]['source']}: .* prepare the benchmark again") as error:
        ZeroShotEvaluator(broken, EvaluationOptions(**QUIET))(encoder)
    assert "\n" not in str(error.value)


def test_exhaustive_ranking_is_limited(split):
    with pytest.raises(CaanError, match=r"240 pairs, more than 200\. .*--max-pairs"):
        ZeroShotEvaluator(split, EvaluationOptions(exhaustive=True, max_pairs=200))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rerank": -1}, "--rerank.* 0 or"),
        ({"rerank": "x"}, "--rerank.*'x'"),
        ({"batch_size": 1.5}, "--batch-size.*1.5"),
        ({"rerank": 3, "no_rerank": True}, "--rerank and --no-rerank"),
        ({"expand": -1}, "--expand"),
        ({"smooth": 0}, "--smooth"),
        ({"smooth": 101}, "--smooth.*100"),
        ({"num_workers": 0}, "--num-workers"),
        ({"rerank": 3, "exhaustive": True}, "--rerank and --exhaustive"),
        ({"cache": "x", "no_cache": True}, "--cache and --no-cache"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, named):
    with pytest.raises(CaanError, match=named):
        EvaluationOptions(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rerank": 5, "generalized": True, "seed": 3, "batch_size": 8}, " --rerank 5 --generalized --seed 3"),
        ({"rerank": 0}, " --rerank 0"),
        ({"no_rerank": True}, " --no-rerank"),
        ({}, ""),
    ],
)
def test_command_names_the_options_that_change_the_metrics(options, words):
    command = EvaluationOptions(**QUIET, **options).command("my model", "data")
    assert command == f"caan evaluate 'my model' --data data --split test{words}"
