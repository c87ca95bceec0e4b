"""Evaluate text queries: rank photos and sketches by descriptions of categories, alone and beside a sketch."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from caan_hf.benchmarks import load_benchmark
from caan_hf.descriptions.prompts import PLAIN
from caan_hf.encoding.features import PLURAL, Modality
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.retrieval.words import TEXT_WEIGHT, with_words
from caan_hf.utils.files import make_folder, require_writable, write_whole_text
from caan_hf.utils.records import Record

from .embeddings import evaluate_embeddings
from .evaluator import ZeroShotEvaluator, column_of
from .options import EvaluationOptions
from .setting import mixed, plain, without_seen

if TYPE_CHECKING:
    import datasets

TEXT_REPORT = "text.json"
TextQuery = Literal["none", "name", "description"]


class TextRow(Record):
    """Metrics of one kind of query.

    Attributes:
        text: "name" for the template "a photo of a ...", "description" for the mean of all descriptions of a category,
            "none" for a sketch alone.
        with_sketch: Whether a query is a sketch, to whose feature that of its category's text is added.
        gallery: What is ranked.
        num_queries: Number of queries.
        metrics: Metric to value in [0, 1], convention `standard`.
        confidence: Metric to 95 % bootstrap interval over the queries.
        chance: mAP@all of a random ranking.
        by_category: Category to mAP@all.
    """

    text: TextQuery
    with_sketch: bool
    gallery: Modality
    num_queries: int
    metrics: dict[str, float]
    confidence: dict[str, tuple[float, float]]
    chance: float
    by_category: dict[str, float]


class TextReport(Record):
    """The contents of `text.json`.

    Attributes:
        protocol: Protocol id.
        split: Split that was evaluated.
        model: Folder or Hub id of the model.
        text_weight: Weight of the text feature beside that of a sketch.
        rows: Metrics by kind of query.
    """

    protocol: str
    split: str
    model: str
    text_weight: float
    rows: list[TextRow]


@dataclass(frozen=True)
class _Side:
    """Embeddings (N, D) and categories (N,) of one modality."""

    embeds: NDArray[np.float32]
    categories: NDArray[np.str_]


def evaluate_text(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    options: EvaluationOptions,
    *,
    text_weight: float = TEXT_WEIGHT,
    out: Path | None = None,
) -> TextReport:
    """Rank the photos and the sketches of a split by the text of each of its categories.

    A query beside a sketch s is the L2-normalised sum s + w t of both features, with the text t of the sketch's own
    category: what a user would get who also names what was drawn.

    Args:
        model: Folder or Hub id of a CAAN that was trained with `text_negatives="all"`.
        data: Folder of a benchmark.
        options: Split, seen categories to leave out, photos of seen categories to add, seed, cache, device and
            precision; other options are not used.
        text_weight: Weight w, 0 or positive.
        out: Folder in which `text.json` is written; none by default.

    Raises:
        CaanError: The model has no text side, the data cannot be used, the weight is out of range, or an option
            excludes text queries.
    """
    options.check_alone("--text", allowed="mixed")
    if not 0 <= text_weight < np.inf:
        raise CaanError(f"--text-weight: must be 0 or a positive number, got {text_weight}.")
    if out is not None:
        require_writable(out)
    splits, info = load_benchmark(os.fspath(data))
    encoder = load_encoder(model, device=options.device, dtype=options.dtype)
    encoder.encode_text(["a photo"])  # fails before the images are encoded
    setting = without_seen(plain(splits, info, options.split), options.trained_on, encoder.training_data)
    described = setting.rows
    if options.mixed:
        setting = mixed(setting, splits)
    evaluator = ZeroShotEvaluator(setting.rows, options, protocol=setting.protocol, split=setting.split)
    names = np.array(evaluator.category_names)
    with evaluator.encoded(encoder, {}, local=False) as (sketches, photos):
        sketch = _Side(np.asarray(sketches.global_embeds), names[evaluator.sketch_categories])
        photo = _Side(np.asarray(photos.global_embeds), names[evaluator.photo_categories])
    rows = [_row("none", True, sketch, "photo", photo, evaluator)]
    for kind, texts in _texts(described, names).items():
        text = _Side(encoder.encode_text(list(texts.values())), np.array(list(texts)))
        rows.append(_row(kind, False, text, "photo", photo, evaluator))
        rows.append(_row(kind, False, text, "sketch", sketch, evaluator))
        rows.append(_row(kind, True, _added(sketch, text, text_weight), "photo", photo, evaluator))
    report = TextReport(
        protocol=setting.protocol, split=setting.split, model=os.fspath(model), text_weight=text_weight, rows=rows
    )
    if out is not None:
        make_folder(out)
        write_whole_text(out / TEXT_REPORT, report.model_dump_json(indent=2) + "\n")
    return report


def text_table(report: TextReport) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the printed table."""
    precision = next(metric for metric in report.rows[0].metrics if metric.startswith("P@"))
    rows = [
        [
            " + ".join([*(["sketch"] if row.with_sketch else []), *([row.text] if row.text != "none" else [])]),
            PLURAL[row.gallery],
            f"{row.num_queries:,}",
            f"{row.metrics['mAP@all']:.4f}",
            "{:.3f} to {:.3f}".format(*row.confidence["mAP@all"]),
            f"{row.metrics[precision]:.4f}",
            f"{row.chance:.4f}",
        ]
        for row in report.rows
    ]
    return ["query", "ranks", "queries", "mAP@all", "95 %", precision, "chance"], rows


def _texts(rows: "datasets.Dataset", names: NDArray[np.str_]) -> dict[TextQuery, dict[str, list[str]]]:
    """For each kind of text, the sentences of each category of a split; without descriptions, only the names."""
    numbers, first = np.unique(column_of(rows, "category"), return_index=True)
    categories = names[numbers].tolist()
    texts: dict[TextQuery, dict[str, list[str]]] = {"name": {name: [PLAIN.ask(name)] for name in categories}}
    if "descriptions" in rows.column_names:
        described = zip(categories, rows.select(first)["descriptions"], strict=True)
        texts["description"] = {name: list(sentences) for name, sentences in described if sentences}
    return {kind: sentences for kind, sentences in texts.items() if sentences}


def _added(sketch: _Side, text: _Side, weight: float) -> _Side:
    """The sketches whose category has a text, with that text added to their features."""
    place = {category: row for row, category in enumerate(text.categories.tolist())}
    rows = [row for row, category in enumerate(sketch.categories.tolist()) if category in place]
    texts = text.embeds[[place[category] for category in sketch.categories[rows].tolist()]]
    return _Side(with_words(sketch.embeds[rows], texts, text_weight=weight), sketch.categories[rows])


def _row(
    text: TextQuery, with_sketch: bool, query: _Side, modality: Modality, gallery: _Side, evaluator: ZeroShotEvaluator
) -> TextRow:
    embeds, categories = (query.embeds, gallery.embeds), (query.categories, gallery.categories)
    result = evaluate_embeddings(*embeds, *categories, conventions="standard", cutoffs=evaluator.cutoffs)
    return TextRow(
        text=text,
        with_sketch=with_sketch,
        gallery=modality,
        num_queries=result.num_queries,
        metrics=result.metrics,
        confidence=result.confidence("standard", seed=evaluator.options.seed),
        chance=result.chance,
        by_category={name: values["mAP@all"] for name, values in result.by_category("standard").items()},
    )
