"""How CAAN is judged: embed each image once, rank, re-rank, and report metrics that name their convention."""

from importlib import import_module
from typing import TYPE_CHECKING

from .metrics import CONVENTIONS, MetricAccumulator, RetrievalMetrics, chance_map, retrieval_metrics

if TYPE_CHECKING:
    from .evaluator import ZeroShotEvaluator
    from .judge import judge_embeddings
    from .result import EvaluationResult

__all__ = [
    "CONVENTIONS",
    "EvaluationResult",
    "MetricAccumulator",
    "RetrievalMetrics",
    "ZeroShotEvaluator",
    "chance_map",
    "judge_embeddings",
    "retrieval_metrics",
]
_LATER = {"EvaluationResult": "result", "ZeroShotEvaluator": "evaluator", "judge_embeddings": "judge"}


def __getattr__(name: str):
    """Load the evaluator, and with it datasets, only where it is used: the metrics stand on torch alone."""
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
