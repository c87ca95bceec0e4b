"""The evaluator against the metrics of a full score matrix, and re-ranking by an oracle."""

import pytest
import torch

from caan_hf import CaanError
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.evaluation.metrics import chance_map, retrieval_metrics

SKETCHES, PHOTOS = 12, 20


def oracle_local(categories):
    """Local embeddings that hold nothing but the category: (rows, 1, 4)."""
    return torch.nn.functional.one_hot(categories, 4).float()[:, None, :]


class Oracle(torch.nn.Linear):
    """A model whose relation is that of the categories."""

    def __init__(self):
        super().__init__(1, 1)

    def get_paired_relation_logits(self, sketches, photos):
        return torch.einsum("bmr,bkmr->bk", sketches, photos)

    def get_relation_logits(self, sketches, photos):
        return torch.einsum("bmr,kmr->bk", sketches, photos)


def test_equals_the_metrics_of_the_full_matrix(tiny_caan, split):
    model, processor = tiny_caan
    evaluator = ZeroShotEvaluator(split, protocol="colours", byte_budget=1, batch_size=7, progress=False)
    result = evaluator(model, processor)
    sketches = [row for row in split if row["modality"] == 0]
    photos = [row for row in split if row["modality"] == 1]
    queries = model.get_sketch_features(**processor(sketches=[row["image"] for row in sketches])).global_embeds
    gallery = model.get_photo_features(**processor(photos=[row["image"] for row in photos])).global_embeds
    labels = [torch.tensor([row["category"] for row in rows]) for rows in (sketches, photos)]
    expected = retrieval_metrics(queries @ gallery.T, *labels).conventions
    assert result.conventions["standard"] == pytest.approx(expected["standard"], abs=1e-6)
    assert result.metrics[evaluator.primary_metric] == result.conventions["standard"]["mAP@all"]
    assert (result.num_queries, result.num_gallery, result.num_left_out) == (SKETCHES, PHOTOS, 0)
    assert (result.protocol, result.split) == ("colours", "test")
    assert result.chance == chance_map(*labels)
    assert result.top.shape == (SKETCHES, 10)
    assert torch.equal(result.top[:, 0], (queries @ gallery.T).argmax(1))
    assert result.reranked is None
    assert set(result.seconds) == {"encode", "rank"}


def test_reranks_with_the_model(tiny_caan, split):
    model, processor = tiny_caan
    result = ZeroShotEvaluator(split, rerank=6)(model, processor)
    sketches = [row["image"] for row in split if row["modality"] == 0]
    photos = [row["image"] for row in split if row["modality"] == 1]
    queries = model.get_sketch_features(**processor(sketches=sketches))
    gallery = model.get_photo_features(**processor(photos=photos))
    logits = model.get_relation_logits(queries.local_embeds, gallery.local_embeds)  # (12, 20)
    for query in range(SKETCHES):
        before = result.top[query, :6]
        after = result.reranked.top[query, :6]
        assert sorted(after.tolist()) == sorted(before.tolist())
        assert logits[query, after].diff().max() < 1e-3  # falling, but for half precision
    assert torch.equal(result.reranked.top[:, 6:], result.top[:, 6:])
    assert set(result.seconds) == {"encode", "rank", "rerank"}


@pytest.mark.parametrize(("k", "expected"), [(1, "unchanged"), (5, "head"), (PHOTOS, "perfect"), (999, "perfect")])
def test_an_oracle_puts_the_right_photos_first(split, k, expected):
    evaluator = ZeroShotEvaluator(split, rerank=k)
    generator = torch.Generator().manual_seed(0)
    result = evaluator.evaluate_embeddings(
        torch.randn(SKETCHES, 8, generator=generator),
        torch.randn(PHOTOS, 8, generator=generator),
        evaluator.sketch_categories,
        evaluator.photo_categories,
        sketch_local=oracle_local(evaluator.sketch_categories),
        photo_local=oracle_local(evaluator.photo_categories),
        model=Oracle(),
    )
    assert result.reranked.k == min(k, PHOTOS)
    if expected == "unchanged":
        assert result.reranked.conventions == result.conventions
        assert torch.equal(result.reranked.top, result.top)
    elif expected == "head":
        right = evaluator.photo_categories[result.reranked.top[:, :k]] == evaluator.sketch_categories[:, None]
        assert (right.int().diff(dim=1) <= 0).all()  # no right photo after a wrong one
        assert result.reranked.conventions["standard"]["mAP@all"] > result.metrics["mAP@all"]
    else:
        assert result.reranked.conventions["standard"]["mAP@all"] == 1


def test_embeddings_computed_elsewhere_need_no_relation(split):
    evaluator = ZeroShotEvaluator(split, rerank=3)
    queries, gallery = torch.tensor([0, 1, 9]), torch.tensor([0, 1])
    result = evaluator.evaluate_embeddings(torch.eye(3)[:, :2], torch.eye(2), queries, gallery)
    assert result.reranked is None
    assert result.metrics["mAP@all"] == 1
    assert (result.num_queries, result.num_left_out) == (3, 1)
    assert result.top.shape == (3, 2)


@pytest.mark.parametrize(("kept", "missing"), [(0, "photos"), (1, "sketches")])
def test_a_split_needs_both_modalities(split, kept, missing):
    rows = [row for row, modality in enumerate(split["modality"]) if modality == kept]
    with pytest.raises(CaanError, match=f"split 'test' has no {missing}"):
        ZeroShotEvaluator(split.select(rows))


def test_refuses_what_cannot_be_measured(split):
    with pytest.raises(CaanError, match="at least 1"):
        ZeroShotEvaluator(split, rerank=0)
    with pytest.raises(CaanError, match="no sketch of the split has a photo"):
        ZeroShotEvaluator(split).evaluate_embeddings(
            torch.ones(1, 2), torch.ones(1, 2), torch.tensor([0]), torch.tensor([1])
        )
