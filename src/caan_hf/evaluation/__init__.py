"""Evaluation: rank every photo for every sketch, and report metrics that name their convention."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conventions import CONVENTIONS
    from .embeddings import evaluate_embeddings
    from .evaluator import ZeroShotEvaluator
    from .metrics import MetricAccumulator, RetrievalMetrics, chance_map, retrieval_metrics
    from .options import EvaluationOptions
    from .result import EvaluationResult, RankingResult

_MODULES = {
    "CONVENTIONS": "conventions",
    "EvaluationOptions": "options",
    "EvaluationResult": "result",
    "MetricAccumulator": "metrics",
    "RankingResult": "result",
    "RetrievalMetrics": "metrics",
    "ZeroShotEvaluator": "evaluator",
    "chance_map": "metrics",
    "evaluate_embeddings": "embeddings",
    "retrieval_metrics": "metrics",
}

__all__ = [
    "CONVENTIONS",
    "EvaluationOptions",
    "EvaluationResult",
    "MetricAccumulator",
    "RankingResult",
    "RetrievalMetrics",
    "ZeroShotEvaluator",
    "chance_map",
    "evaluate_embeddings",
    "retrieval_metrics",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts quickly."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
