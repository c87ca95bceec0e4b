"""`metrics.json` of `caan evaluate`, as tables and as the model-index that the Hub shows beside a model."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from caan_hf.benchmarks.protocols import PROTOCOLS
from caan_hf.errors import CaanError

TASK = "image-feature-extraction"
TASK_NAME = "Zero-shot sketch-based image retrieval"
PRIMARY = "standard"
DATASET_NAMES = {
    "sketchy-25": "Sketchy, 100 seen and 25 unseen categories",
    "sketchy-21": "Sketchy, 104 seen and 21 unseen categories",
    "tuberlin-30": "TU-Berlin, 220 seen and 30 unseen categories",
    "quickdraw-30": "QuickDraw-Extended, 80 seen and 30 unseen categories",
    "sample": "caan-hf sample, drawn by the package",
}
METRIC_TYPES = {
    "mAP@all": "map_at_all",
    "mAP@200": "map_at_200",
    "P@100": "precision_at_100",
    "P@200": "precision_at_200",
}
Conventions = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Results:
    """One evaluation.

    Attributes:
        protocol: id with version, such as "sketchy-25@1".
        split: which split was ranked.
        conventions: convention -> metric -> value in [0, 1], of the ranking by global features.
        reranked: the same after re-ranking the best `rerank_k` photos; empty without.
        rerank_k: how many photos were re-ranked.
        num_queries: sketches.
        num_gallery: photos.
        chance: mAP@all of a random ranking, where it was noted.
        interval: 95 % interval of the mAP@all in the first convention, global features, where it was noted.
        notes: what a reader must know, in sentences.
        removed: category that was left out, since training saw it elsewhere -> its name there.
        num_left_out: sketches without a right photo in the gallery, which no metric counts.
        num_duplicates: photos of the gallery that stand there twice.
        deduplicated: the conventions once these are left out; empty where nothing was.
        expanded: the conventions with query expansion by the first `expand_k` photos; empty without.
        expand_k: how many photos.
    """

    protocol: str
    split: str
    conventions: Conventions
    reranked: Conventions
    rerank_k: int | None
    num_queries: int
    num_gallery: int
    chance: float | None
    notes: tuple[str, ...] = ()
    removed: dict[str, str] = field(default_factory=dict)
    num_left_out: int = 0
    num_duplicates: int = 0
    deduplicated: Conventions = field(default_factory=dict)
    expanded: Conventions = field(default_factory=dict)
    expand_k: int | None = None
    interval: tuple[float, float] | None = None

    @property
    def is_zero_shot(self) -> bool:
        """Whether no category that was ranked was trained on, as far as the evaluation could tell."""
        return not any(note.casefold().startswith("not zero-shot") for note in self.notes)

    @property
    def to_know(self) -> list[str]:
        """What to know before citing a figure, in sentences of Markdown."""
        said = [*self.notes]
        if self.removed:
            pairs = (name if name == seen else f"{name} (there: {seen})" for name, seen in self.removed.items())
            said.append(f"categories left out, since training saw them: {', '.join(pairs)}")
        if self.num_left_out:
            said.append(f"{self.num_left_out:,} sketches have no right photo in the gallery and are not counted")
        if self.deduplicated:
            convention = next(iter(self.deduplicated))
            values = ", ".join(f"{name} {value:.4f}" for name, value in self.deduplicated[convention].items())
            said.append(
                f"{self.num_duplicates:,} photos of the gallery are duplicates; without them `{convention}` is {values}"
            )
        return said

    @property
    def is_worse_reranked(self) -> bool:
        """Whether re-ranking lowers the mAP@all, in the first convention."""
        first = next(iter(self.conventions))
        before, after = self.conventions[first].get("mAP@all"), self.reranked.get(first, {}).get("mAP@all")
        return before is not None and after is not None and after < before

    @property
    def published_size(self) -> tuple[int, int] | None:
        """Sketches and photos of the published benchmark, where this evaluation saw others than those."""
        protocol = PROTOCOLS.get(self.benchmark)
        size = protocol and protocol.published
        return None if self.split != "test" or size == (self.num_queries, self.num_gallery) else size

    @property
    def benchmark(self) -> str:
        """The protocol without its version and suffix."""
        return self.protocol.partition("@")[0].partition("/")[0]

    @property
    def suffix(self) -> str:
        """How the evaluation differs from the protocol, such as "from-tuberlin-30@1"; empty if it does not."""
        return self.protocol.partition("/")[2]

    @property
    def benchmark_name(self) -> str:
        """For people."""
        name = DATASET_NAMES.get(self.benchmark, self.benchmark)
        return f"{name} ({self.suffix})" if self.suffix else name


def read_results(file: Path) -> Results:
    """Read `metrics.json`; what a later version may add to it is passed over.

    Raises:
        CaanError: it is missing, damaged or something else.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaanError(f"{file}: no such file; give the metrics.json that `caan evaluate` wrote") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CaanError(f"{file}: not a metrics.json ({' '.join(str(error).split())})") from error
    try:
        return _results(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CaanError(f"{file}: not a metrics.json of `caan evaluate` ({type(error).__name__}: {error})") from error


def _results(document: dict[str, Any]) -> Results:
    reranked, deduplicated = document.get("reranked") or {}, document.get("deduplicated") or {}
    rerank_k, notes, removed = reranked.get("k"), document.get("notes") or [], document.get("removed_categories") or {}
    expanded = document.get("expanded") or {}
    for name, k in (("reranked", rerank_k), ("expanded", expanded.get("k"))):
        if not (k is None or type(k) is int):
            raise TypeError(f"{name}.k is {k!r}")
    if not isinstance(notes, list) or not isinstance(removed, dict):
        raise TypeError("notes or removed_categories are of another kind")
    chance = (document.get("chance") or {}).get("mAP@all")
    conventions = _conventions(document["conventions"])
    if not conventions:
        raise ValueError("it holds no metric")
    return Results(
        protocol=str(document["protocol"] or "unnamed"),
        split=str(document["split"] or "test"),
        conventions=conventions,
        reranked=_conventions(reranked.get("conventions") or {}),
        rerank_k=rerank_k,
        num_queries=int(document["num_queries"]),
        num_gallery=int(document["num_gallery"]),
        chance=float(chance) if _is_number(chance) else None,
        notes=tuple(_in_a_line(note) for note in notes),
        removed={_in_a_line(name): _in_a_line(seen) for name, seen in removed.items()},
        num_left_out=int(document.get("num_left_out") or 0),
        num_duplicates=int(deduplicated.get("num_duplicates") or 0),
        deduplicated=_conventions(deduplicated.get("conventions") or {}),
        expanded=_conventions(expanded.get("conventions") or {}),
        expand_k=expanded.get("k"),
        interval=_interval(document.get("confidence") or {}, next(iter(conventions))),
    )


def _interval(confidence: dict[str, dict[str, Any]], convention: str) -> tuple[float, float] | None:
    found = (confidence.get(convention) or {}).get("mAP@all")
    if not found:
        return None
    low, high = found
    return float(low), float(high)


def _conventions(found: dict[str, dict[str, Any]]) -> Conventions:
    """The plain numbers of each convention: `standard` first, and mAP@all first in each."""
    order = [*METRIC_TYPES]
    numbers = {}
    for convention in sorted(found, key=lambda name: (name != PRIMARY, name)):
        names = sorted(found[convention], key=lambda name: order.index(name) if name in order else len(order))
        numbers[convention] = {
            name: float(found[convention][name]) for name in names if _is_number(found[convention][name])
        }
    return {convention: metrics for convention, metrics in numbers.items() if metrics}


def _in_a_line(text: Any) -> str:
    return " ".join(str(text).split())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def eval_results(results: Results) -> list[EvalResult]:
    """The entries of the model-index: the convention `standard` (or the first one), of each ranking."""
    convention = PRIMARY if PRIMARY in results.conventions else next(iter(results.conventions))
    rankings = [(results.conventions[convention], "", None)]
    if convention in results.reranked:
        arguments = {"rerank": results.rerank_k}
        rankings.append((results.reranked[convention], f", best {results.rerank_k} re-ranked", arguments))
    if convention in results.expanded:
        arguments = {"expand": results.expand_k}
        rankings.append((results.expanded[convention], f", expanded by the first {results.expand_k}", arguments))
    return [
        EvalResult(
            task_type=TASK,
            task_name=TASK_NAME,
            dataset_type=results.benchmark,
            dataset_name=results.benchmark_name,
            dataset_config=results.suffix or None,
            dataset_split=results.split,
            dataset_args=_dataset_arguments(results),
            metric_type=METRIC_TYPES.get(name, name.lower().replace("@", "_at_")),
            metric_name=f"{name} ({convention}{how})",
            metric_value=round(value, 4),
            metric_config=convention,
            metric_args=arguments,
        )
        for metrics, how, arguments in rankings
        for name, value in metrics.items()
    ]


def _dataset_arguments(results: Results) -> dict[str, Any]:
    """What the Hub has no field for; its names of datasets cannot hold the version of a protocol."""
    arguments = {"protocol": results.protocol, "queries": results.num_queries, "gallery": results.num_gallery}
    return arguments if results.chance is None else arguments | {"chance_mAP@all": round(results.chance, 4)}


def results_table(conventions: Conventions) -> str:
    """A row a convention, in Markdown."""
    names = list(dict.fromkeys(name for metrics in conventions.values() for name in metrics))
    lines = ["| convention | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for convention, metrics in conventions.items():
        cells = [f"{metrics[name]:.4f}" if name in metrics else "" for name in names]
        lines.append(f"| `{convention}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
