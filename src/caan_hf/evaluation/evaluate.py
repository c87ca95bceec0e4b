"""Evaluate a model on a benchmark: `caan_hf.evaluate`, and what `caan evaluate` runs."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.load import load_encoder
from caan_hf.utils.files import require_writable

from .conventions import CONVENTIONS
from .evaluator import ZeroShotEvaluator
from .options import EvaluationOptions
from .rankings import EvaluationResult
from .setting import generalized, plain, without_seen

if TYPE_CHECKING:
    from datasets import DatasetDict

DEFAULTS = EvaluationOptions()
UNNAMED_DATA = "a DatasetDict in memory"


def evaluate(
    encoder: Encoder | str | os.PathLike[str],
    data: "DatasetDict | str | os.PathLike[str]",
    options: EvaluationOptions = DEFAULTS,
    *,
    out: str | os.PathLike[str] | None = None,
) -> EvaluationResult:
    """Evaluate zero-shot retrieval in every metric convention: encode each image once, rank, and re-rank on request.

    Args:
        encoder: An encoder, or the folder or Hub id of a CAAN checkpoint, an ONNX export, or any vision model of
            `transformers` or timm, which is then evaluated without training.
        data: Folder of a benchmark that `caan prepare` wrote, or splits with the columns `image`, `modality`
            (ClassLabel "sketch", "photo"), `category` (ClassLabel) and `source`.
        options: What to evaluate, and how.
        out: Folder in which the report is written; none by default.

    Raises:
        CaanError: The model, the data or the options cannot be used.

    Example:
        ```python
        result = caan_hf.evaluate("runs/quickstart/model", "runs/quickstart/data")
        result.conventions["standard"]["mAP@all"]
        ```
    """
    if out is not None:
        require_writable(Path(out))
    splits, info = load_benchmark(os.fspath(data)) if isinstance(data, (str, os.PathLike)) else (data, None)
    setting = plain(splits, info, options.split)
    given = encoder
    encoder = given if isinstance(given, Encoder) else load_encoder(given, device=options.device, dtype=options.dtype)
    setting = without_seen(setting, options.trained_on, encoder.training_data)
    if options.generalized:
        setting = generalized(setting, splits)
    evaluator = ZeroShotEvaluator(
        setting.rows,
        options,
        protocol=setting.protocol,
        split=setting.split,
        conventions=tuple(CONVENTIONS),
        deduplicate=True,
    )
    result = replace(
        evaluator(encoder),
        model=encoder.name if isinstance(given, Encoder) else os.fspath(given),
        notes=setting.notes,
        removed_categories=setting.removed,
    )
    if out is not None:
        from .report import write_report  # noqa: PLC0415 - matplotlib

        name = os.fspath(data) if isinstance(data, (str, os.PathLike)) else UNNAMED_DATA
        write_report(result, evaluator, Path(out), data=name)
    return result
