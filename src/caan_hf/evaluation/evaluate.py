"""Evaluate a model on a benchmark: `caan_hf.evaluate`, and what `caan evaluate` runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.pairs import RULE, WITHOUT_PHOTO, row_instances
from caan_hf.benchmarks.prepared import checked_split, require_splits
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.utils.files import require_writable

from .conventions import CONVENTIONS
from .evaluator import ZeroShotEvaluator
from .fine_grained import FineGrainedResult, evaluate_instance_embeddings
from .options import EvaluationOptions
from .rankings import EvaluationResult
from .seen_queries import seen_queries
from .setting import Setting, generalized, mixed, plain, without_seen
from .setting import fine_grained as as_fine_grained

if TYPE_CHECKING:
    from datasets import DatasetDict

DEFAULTS = EvaluationOptions()
UNNAMED_DATA = "a DatasetDict in memory"
PathLike = str | os.PathLike[str]


@overload
def evaluate(
    encoder: Encoder | PathLike,
    data: "DatasetDict | PathLike",
    options: EvaluationOptions = DEFAULTS,
    *,
    out: PathLike | None = None,
    fine_grained: Literal[False] = False,
) -> EvaluationResult: ...


@overload
def evaluate(
    encoder: Encoder | PathLike,
    data: "DatasetDict | PathLike",
    options: EvaluationOptions = DEFAULTS,
    *,
    out: PathLike | None = None,
    fine_grained: Literal[True],
) -> FineGrainedResult: ...


def evaluate(
    encoder: Encoder | PathLike,
    data: "DatasetDict | PathLike",
    options: EvaluationOptions = DEFAULTS,
    *,
    out: PathLike | None = None,
    fine_grained: bool = False,
) -> EvaluationResult | FineGrainedResult:
    """Evaluate zero-shot retrieval: encode each image once, rank, and report metrics.

    Args:
        encoder: An encoder, or the folder or Hub id of a CAAN checkpoint, an ONNX export, or any vision model of
            `transformers` or timm, which is then evaluated without training.
        data: Folder of a benchmark that `caan prepare` wrote, or splits with the columns `image`, `modality` and
            `category`, see [`checked_split`].
        options: What to evaluate, and how.
        out: Folder in which the report is written; none by default.
        fine_grained: Rank the photos of each sketch's own category, where only the photo that it was drawn from is
            right, instead of all photos in every metric convention.

    Raises:
        CaanError: The model, the data or the options cannot be used.

    Example:
        ```python
        result = caan_hf.evaluate("runs/quickstart/model", "runs/quickstart/data")
        result.conventions["standard"]["mAP@all"]
        fine = caan_hf.evaluate("runs/sketchy/model", "data/sketchy-25", fine_grained=True)
        fine.rankings["fused"].metrics["Acc@1"]
        ```
    """
    if fine_grained:
        options.check_alone("--fine-grained")
    if out is not None:
        require_writable(Path(out))
    if isinstance(data, (str, os.PathLike)):
        name, (splits, info) = os.fspath(data), load_benchmark(os.fspath(data))
    else:
        require_splits(data)
        name, splits, info = UNNAMED_DATA, {split: checked_split(rows) for split, rows in data.items()}, None
    setting = plain(splits, info, options.split)
    given = encoder
    encoder = given if isinstance(given, Encoder) else load_encoder(given, device=options.device, dtype=options.dtype)
    setting = without_seen(setting, options.trained_on, encoder.training_data)
    if fine_grained:
        setting = as_fine_grained(setting)
    if options.generalized:
        setting = generalized(setting, splits)
    if options.mixed:
        setting = mixed(setting, splits)
    evaluator = _evaluator(setting, options)
    found: dict[str, Any] = {
        "model": encoder.name if isinstance(given, Encoder) else os.fspath(given),
        "notes": setting.notes,
        "removed_categories": setting.removed,
    }
    if fine_grained:
        fine = replace(evaluate_fine_grained(encoder, evaluator), **found)
        if out is not None:
            from .fine_report import write_fine_report  # noqa: PLC0415 - matplotlib

            write_fine_report(fine, evaluator, Path(out), data=name)
        return fine
    if options.seen_queries is None:
        seen_evaluator = None
        result = replace(evaluator(encoder), **found)
    else:
        seen_setting = seen_queries(setting, splits, options.seen_queries)
        with _shared_cache(options) as shared:
            evaluator, seen_evaluator = _evaluator(setting, shared), _evaluator(seen_setting, shared)
            result = replace(evaluator(encoder), seen=seen_evaluator(encoder), **found)
    if out is not None:
        from .report import write_report  # noqa: PLC0415 - matplotlib

        write_report(result, evaluator, Path(out), data=name, seen_evaluator=seen_evaluator)
    return result


def _evaluator(setting: Setting, options: EvaluationOptions) -> ZeroShotEvaluator:
    return ZeroShotEvaluator(
        setting.rows,
        options,
        protocol=setting.protocol,
        split=setting.split,
        conventions=tuple(CONVENTIONS),
        deduplicate=True,
    )


@contextmanager
def _shared_cache(options: EvaluationOptions) -> Iterator[EvaluationOptions]:
    """Options with a cache, so that two evaluations encode the photos of their gallery once."""
    if not options.no_cache:
        yield options
        return
    with TemporaryDirectory(prefix="caan-embeddings-") as folder:
        yield replace(options, no_cache=False, cache=Path(folder))


def evaluate_fine_grained(encoder: Encoder, evaluator: ZeroShotEvaluator) -> FineGrainedResult:
    """Evaluate fine-grained retrieval on the split of an evaluator, by all scores that the encoder has.

    Which photo a sketch was drawn from is read off the column `source`; see `benchmarks/pairs.py`.

    Raises:
        CaanError: An image cannot be read, or no sketch has its photo in the split.
    """
    sketch_instances, photo_instances = row_instances(
        evaluator.sketches, evaluator.photos, evaluator.sketch_categories, evaluator.photo_categories
    )
    if (sketch_instances == WITHOUT_PHOTO).all():
        raise CaanError(f"The {evaluator.split or 'given'} split has no sketch whose photo is in the gallery. {RULE}")
    names, seconds = np.array(evaluator.category_names), dict[str, float]()
    with evaluator.encoded(encoder, seconds, local=encoder.has_local) as (sketch_features, photo_features):
        result = evaluate_instance_embeddings(
            sketch_features.global_embeds,
            photo_features.global_embeds,
            names[evaluator.sketch_categories],
            names[evaluator.photo_categories],
            sketch_instances,
            photo_instances,
            encoder=encoder if encoder.has_local else None,
            sketch_local=sketch_features.local_embeds,
            photo_local=photo_features.local_embeds,
            byte_budget=evaluator.byte_budget,
            seconds=seconds,
            progress=evaluator.options.progress,
        )
    return replace(
        result,
        protocol=evaluator.protocol,
        split=evaluator.split,
        model=encoder.name,
        model_kind=encoder.kind,
        precision=encoder.identity.precision,
    )
