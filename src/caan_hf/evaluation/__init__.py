"""How CAAN is judged: embed each image once, rank, re-rank, and report metrics that name their convention."""

from typing import TYPE_CHECKING

from .metrics import CONVENTIONS, MetricAccumulator, RetrievalMetrics, chance_map, retrieval_metrics

if TYPE_CHECKING:
    from .evaluator import EvaluationResult, ZeroShotEvaluator

__all__ = [
    "CONVENTIONS",
    "EvaluationResult",
    "MetricAccumulator",
    "RetrievalMetrics",
    "ZeroShotEvaluator",
    "chance_map",
    "retrieval_metrics",
]


def __getattr__(name: str):
    """Load the evaluator, and with it datasets, only where it is used: the metrics stand on torch alone."""
    if name in ("EvaluationResult", "ZeroShotEvaluator"):
        from . import evaluator  # noqa: PLC0415

        return getattr(evaluator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
