"""Compares what a checkpoint and its graphs retrieve on a prepared benchmark."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.encoder import Encoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator

from .manifest import Agreement


def load_split(data: Path, split: str) -> ZeroShotEvaluator:
    """Queries and gallery of a prepared benchmark.

    Raises:
        CaanError: There is no such benchmark or split.
    """
    benchmark, info = load_benchmark(data)
    if split not in benchmark:
        raise CaanError(f"{data}: no split '{split}'. Choose one of {', '.join(benchmark)}.")
    options = EvaluationOptions(no_cache=True, no_rerank=True, progress=False)
    return ZeroShotEvaluator(benchmark[split], options, protocol=info.protocol, split=split)


def measure_agreement(split: ZeroShotEvaluator, checkpoint: Encoder, onnx: Encoder) -> Agreement:
    """Encode the split with both encoders, each with its own preprocessing, and compare the rankings."""
    by_torch, by_onnx = split(checkpoint), split(onnx)
    return Agreement(
        protocol=split.protocol or "",
        split=split.split or "",
        sketches=len(split.sketches),
        photos=len(split.photos),
        top10_overlap=top10_overlap(by_torch.top, by_onnx.top),
        map_torch=by_torch.metrics["mAP@all"],
        map_onnx=by_onnx.metrics["mAP@all"],
    )


def require_agreement(agreement: Agreement, min_overlap: float, max_map_difference: float) -> None:
    """Check that two rankings are similar enough.

    Raises:
        CaanError: They have too few photos in common, or their mAP differs too much.
    """
    where = f"on {agreement.protocol}, split {agreement.split}"
    overlap, difference = agreement.top10_overlap, abs(agreement.map_onnx - agreement.map_torch)
    if overlap < min_overlap:
        raise CaanError(
            f"torch and ONNX have only {overlap:.3f} of the ten best photos {where} in common. Choose another --dtype, "
            f"or lower --min-overlap {min_overlap}."
        )
    if difference > max_map_difference:
        raise CaanError(
            f"mAP@all {where} is {agreement.map_onnx:.4f} with ONNX and {agreement.map_torch:.4f} with torch. Choose "
            f"another --dtype, or raise --max-map-difference {max_map_difference}."
        )


def top10_overlap(one: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    """Mean share of the photos of each query that two rankings (Q, K) have in common."""
    return float((one[:, :, None] == other[:, None, :]).any(axis=2).mean())
