"""Evaluation: rank every photo for every sketch, and report metrics that name their convention."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conventions import CONVENTIONS
    from .embeddings import evaluate_embeddings
    from .evaluator import ZeroShotEvaluator
    from .metrics import MetricAccumulator, RetrievalMetrics, chance_map, retrieval_metrics
    from .options import EvaluationOptions
    from .rankings import EvaluationResult, RankingResult

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
_MODULES = {
    "EvaluationOptions": "options",
    "EvaluationResult": "rankings",
    "RankingResult": "rankings",
    "ZeroShotEvaluator": "evaluator",
    "evaluate_embeddings": "embeddings",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts quickly."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'metrics')}", __name__), name)
