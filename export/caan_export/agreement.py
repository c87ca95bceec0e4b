"""Compares what a checkpoint and its graphs retrieve on a prepared benchmark."""

from pathlib import Path

import datasets
import torch

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Features, Modality
from caan_hf.errors import CaanError
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.evaluation.result import EvaluationResult

from .manifest import Agreement


def load_split(data: Path, split: str) -> ZeroShotEvaluator:
    """Queries and gallery of a prepared benchmark.

    Raises:
        CaanError: There is no such benchmark or split.
    """
    benchmark, info = load_benchmark(data)
    if split not in benchmark:
        raise CaanError(f"{data}: no split '{split}'. Choose one of {', '.join(benchmark)}.")
    return ZeroShotEvaluator(benchmark[split], protocol=info.protocol, split=split, progress=False)


def measure_agreement(split: ZeroShotEvaluator, checkpoint: Encoder, onnx: Encoder) -> Agreement:
    """Encode the split with both encoders, each with its own preprocessing, and compare the rankings."""
    by_torch, by_onnx = _evaluate(split, checkpoint), _evaluate(split, onnx)
    return Agreement(
        protocol=split.protocol or "",
        split=split.split or "",
        sketches=len(split.sketches),
        photos=len(split.photos),
        top10_overlap=_overlap(by_torch.top, by_onnx.top),
        map_torch=by_torch.metrics["mAP@all"],
        map_onnx=by_onnx.metrics["mAP@all"],
    )


def require_agreement(agreement: Agreement, min_overlap: float, max_map_difference: float) -> None:
    """Accept rankings that are similar enough.

    Raises:
        CaanError: The rankings differ too much.
    """
    where = f"on {agreement.protocol}, split {agreement.split}"
    if agreement.top10_overlap < min_overlap:
        raise CaanError(
            f"torch and ONNX have only {agreement.top10_overlap:.3f} of the ten best photos {where} in common; at "
            f"least {min_overlap} is required (--min-overlap)"
        )
    if abs(agreement.map_onnx - agreement.map_torch) > max_map_difference:
        raise CaanError(
            f"mAP@all {where} is {agreement.map_onnx:.4f} with ONNX and {agreement.map_torch:.4f} with torch; a "
            f"difference of {max_map_difference} is accepted (--max-map-difference)"
        )


def _evaluate(split: ZeroShotEvaluator, encoder: Encoder) -> EvaluationResult:
    def encoded(rows: datasets.Dataset, modality: Modality) -> torch.Tensor:
        batches = encoder.stream(DatasetPictures(rows), modality, local=False)
        return torch.from_numpy(Features.joined([batch.features for batch in batches]).global_embeds)

    sketches, photos = encoded(split.sketches, "sketch"), encoded(split.photos, "photo")
    return split.evaluate_embeddings(sketches, photos, split.sketch_categories, split.photo_categories)


def _overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean share of the (Q, K) positions of each row that are in both."""
    return (one[:, :, None] == other[:, None, :]).any(dim=2).double().mean().item()
