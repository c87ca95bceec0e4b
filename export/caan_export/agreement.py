"""Whether the graphs retrieve what torch retrieves, on a prepared benchmark."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError
from caan_hf.evaluation.embedding import embed_images
from caan_hf.evaluation.evaluator import ZeroShotEvaluator

from .runtime import CaanOnnx

MIN_OVERLAP = 0.9
MAX_MAP_DIFFERENCE = 0.01


@dataclass(frozen=True)
class Agreement:
    """Two rankings of the same photos for the same sketches, by global features.

    Attributes:
        protocol: the benchmark.
        split: which split.
        sketches: queries.
        photos: gallery.
        top10_overlap: mean share of a sketch's ten best photos that both have.
        map_torch: mAP@all in the convention `standard`.
        map_onnx: the same of the graphs.
    """

    protocol: str
    split: str
    sketches: int
    photos: int
    top10_overlap: float
    map_torch: float
    map_onnx: float

    def as_row(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def load_split(data: Path, split: str) -> ZeroShotEvaluator:
    """Queries and gallery of a prepared benchmark.

    Raises:
        CaanError: there is no such benchmark or split.
    """
    benchmark, info = load_benchmark(data)
    if split not in benchmark:
        raise CaanError(f"{data}: no split '{split}'; there are {', '.join(benchmark)}")
    return ZeroShotEvaluator(benchmark[split], protocol=info.protocol, split=split)


def measure_agreement(evaluator: ZeroShotEvaluator, model: torch.nn.Module, processor, caan: CaanOnnx) -> Agreement:
    """Encodes the split with both, each with its own preprocessing, and compares the rankings."""
    expected = [
        embed_images(model, processor, images, modality).global_embeds
        for modality, images in (("sketch", evaluator.sketches), ("photo", evaluator.photos))
    ]
    found = [
        torch.cat([torch.from_numpy(batch.features.global_embeds) for batch in stream])
        for stream in (
            caan.stream_sketches(row["image"] for row in evaluator.sketches),
            caan.stream_photos(row["image"] for row in evaluator.photos),
        )
    ]
    labels = evaluator.sketch_categories, evaluator.photo_categories
    by_torch, by_onnx = (evaluator.evaluate_embeddings(*embeds, *labels) for embeds in (expected, found))
    return Agreement(
        protocol=evaluator.protocol,
        split=evaluator.split,
        sketches=len(labels[0]),
        photos=len(labels[1]),
        top10_overlap=_overlap(by_torch.top, by_onnx.top),
        map_torch=by_torch.metrics["mAP@all"],
        map_onnx=by_onnx.metrics["mAP@all"],
    )


def require_agreement(agreement: Agreement, min_overlap: float, max_map_difference: float) -> None:
    """Lets rankings pass that are close enough.

    Raises:
        CaanError: the graphs retrieve too much else than torch does.
    """
    difference = abs(agreement.map_onnx - agreement.map_torch)
    where = f"on {agreement.protocol}, {agreement.split}"
    if agreement.top10_overlap < min_overlap:
        raise CaanError(
            f"only {agreement.top10_overlap:.3f} of the ten best photos {where} are torch's; at least {min_overlap} "
            "are wanted (--min-overlap)"
        )
    if difference > max_map_difference:
        raise CaanError(
            f"mAP@all {where} is {agreement.map_onnx:.4f}, torch's {agreement.map_torch:.4f}; they may differ by "
            f"{max_map_difference} (--max-map-difference)"
        )


def _overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean share of the (Q, K) positions of each row that are in both."""
    return (one[:, :, None] == other[:, None, :]).any(dim=2).double().mean().item()
