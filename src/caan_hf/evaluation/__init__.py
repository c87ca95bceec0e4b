"""Evaluation: rank every photo for every sketch, and report metrics that name their convention."""

from .embeddings import evaluate_embeddings
from .evaluate import evaluate
from .evaluator import ZeroShotEvaluator
from .metrics import CONVENTIONS, MetricAccumulator, RetrievalMetrics, chance_map, retrieval_metrics
from .options import EvaluationOptions
from .result import EvaluationResult, RankingResult

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
