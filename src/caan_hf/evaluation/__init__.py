"""Evaluation: rank every photo for every sketch, and report metrics that name their convention."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conventions import CONVENTIONS
    from .embeddings import evaluate_embeddings
    from .evaluator import ZeroShotEvaluator
    from .fine_grained import FineGrainedResult, evaluate_instance_embeddings
    from .metrics import MetricAccumulator, RetrievalMetrics, chance_map, retrieval_metrics
    from .options import EvaluationOptions
    from .rankings import EvaluationResult, RankingResult

__all__ = [
    "CONVENTIONS",
    "EvaluationOptions",
    "EvaluationResult",
    "FineGrainedResult",
    "MetricAccumulator",
    "RankingResult",
    "RetrievalMetrics",
    "ZeroShotEvaluator",
    "chance_map",
    "evaluate_embeddings",
    "evaluate_instance_embeddings",
    "retrieval_metrics",
]
_MODULES = {
    "EvaluationOptions": "options",
    "EvaluationResult": "rankings",
    "FineGrainedResult": "fine_grained",
    "RankingResult": "rankings",
    "ZeroShotEvaluator": "evaluator",
    "evaluate_embeddings": "embeddings",
    "evaluate_instance_embeddings": "fine_grained",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts quickly."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'metrics')}", __name__), name)
