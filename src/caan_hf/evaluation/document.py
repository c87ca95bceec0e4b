"""`metrics.json`: all that an evaluation found, for programs and for the reports made of it."""

import hashlib
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from .confusion import retrieved_shares, worst_confusions
from .evaluator import ZeroShotEvaluator
from .metrics import RetrievalMetrics
from .result import EvaluationResult, JudgedRanking


@dataclass(frozen=True)
class Provenance:
    """What was evaluated, and how to do it again.

    Attributes:
        checkpoint: folder or Hub id.
        data: the benchmark's folder.
        command: measures the same again.
        notes: what a reader must know, in sentences.
        removed: category left out of a cross-dataset evaluation -> the name under which training saw it.
        seed: of the bootstrap.
    """

    checkpoint: str
    data: str
    command: str
    notes: tuple[str, ...] = ()
    removed: dict[str, str] = field(default_factory=dict)
    seed: int = 0


def metrics_document(result: EvaluationResult, evaluator: ZeroShotEvaluator, provenance: Provenance) -> dict[str, Any]:
    """The content of `metrics.json`; scores are fractions, times are seconds."""
    reranked, expanded, deduplicated = result.reranked, result.expanded, result.deduplicated
    return {
        "protocol": result.protocol,
        "split": result.split,
        "notes": list(provenance.notes),
        "removed_categories": provenance.removed,
        "checkpoint": provenance.checkpoint,
        "data": provenance.data,
        "command": provenance.command,
        "num_queries": result.num_queries,
        "num_left_out": result.num_left_out,
        "num_gallery": result.num_gallery,
        "gallery": gallery_hash(evaluator),
        "chance": {"mAP@all": result.chance, "precision": _relevant_share(evaluator)},
        **_ranking(result.by_global, evaluator, provenance.seed),
        "reranked": reranked and {"k": reranked.k, **_ranking(reranked, evaluator, provenance.seed)},
        "expanded": expanded and {"k": expanded.k, **_ranking(expanded, evaluator, provenance.seed)},
        "deduplicated": deduplicated
        and {
            "num_duplicates": deduplicated.num_duplicates,
            "num_gallery": result.num_gallery - deduplicated.num_duplicates,
            "conventions": deduplicated.measured.conventions,
        },
        "seconds": round(sum(result.seconds.values()), 3),
        "seconds_by_stage": {stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        "versions": {name: version(name) for name in ("caan-hf", "torch", "transformers")},
    }


def gallery_hash(evaluator: ZeroShotEvaluator) -> str:
    """SHA-256 of the sources and categories of all photos, in order: equal for two evaluations on one gallery."""
    names = evaluator.category_names
    sources = evaluator.photos["source"]
    lines = (f"{source}\t{names[label]}\n" for source, label in zip(sources, evaluator.photo_categories, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def shares_of(ranking: JudgedRanking, evaluator: ZeroShotEvaluator) -> tuple[Tensor, list[str]]:
    """(C, C) shares of the ten best photos by category, and the names of the C categories that occur."""
    occurring = torch.cat([evaluator.sketch_categories, evaluator.photo_categories]).unique()  # (C,) ascending
    sketches, photos = (
        torch.searchsorted(occurring, labels) for labels in (evaluator.sketch_categories, evaluator.photo_categories)
    )
    names = [evaluator.category_names[label] for label in occurring.tolist()]
    return retrieved_shares(ranking.top, sketches, photos, len(names)), names


def _ranking(ranking: JudgedRanking, evaluator: ZeroShotEvaluator, seed: int) -> dict[str, Any]:
    measured = ranking.measured
    shares, names = shares_of(ranking, evaluator)
    return {
        "conventions": measured.conventions,
        "confidence": {name: measured.confidence(name, seed=seed) for name in measured.conventions},
        "averages": {
            name: {way: measured.averages(name, macro=way == "macro") for way in ("micro", "macro")}
            for name in measured.conventions
        },
        "by_category": _by_category(measured, evaluator, dict(zip(names, shares, strict=True)), names),
        "confusions": [asdict(confusion) for confusion in worst_confusions(shares, names)],
        "precision_at_recall": [round(value, 6) for value in measured.precision_at_recall.tolist()],
    }


def _by_category(
    measured: RetrievalMetrics, evaluator: ZeroShotEvaluator, shares: dict[str, Tensor], names: list[str]
) -> dict[str, dict[str, Any]]:
    """Category -> its counts, its metrics in the first convention, and the wrong category that comes up most."""
    convention = next(iter(measured.conventions))
    rows = {}
    for label, metrics in measured.by_category(convention).items():
        name = evaluator.category_names[label]
        wrong = shares[name].clone()
        wrong[names.index(name)] = 0
        rows[name] = {
            "sketches": int((evaluator.sketch_categories == label).sum()),
            "photos": int((evaluator.photo_categories == label).sum()),
            **metrics,
            "most_confused_with": names[int(wrong.argmax())] if wrong.max() > 0 else None,
        }
    return rows


def _relevant_share(evaluator: ZeroShotEvaluator) -> float:
    """Precision of a random ranking: the mean share of relevant photos, over the queries that have any."""
    counts = torch.bincount(evaluator.photo_categories, minlength=len(evaluator.category_names))
    relevant = counts[evaluator.sketch_categories].double()
    return float((relevant[relevant > 0] / len(evaluator.photo_categories)).mean())
