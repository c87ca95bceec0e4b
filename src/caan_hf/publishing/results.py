"""`metrics.json` of `caan evaluate`: reading it, publishing it, and the metrics that model cards show."""

import math
import shlex
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

from huggingface_hub import EvalResult
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter

from caan_hf.benchmarks.protocols import PROTOCOLS
from caan_hf.utils.files import write_json
from caan_hf.utils.records import Record

from .provenance import BENCHMARK_NAMES, benchmark_of

METRICS_FILE = "metrics.json"
TASK = "image-feature-extraction"
TASK_NAME = "Zero-shot sketch-based image retrieval"
DEFAULT_CONVENTION = "standard"
METRIC_TYPES = {
    "mAP@all": "map_at_all",
    "mAP@200": "map_at_200",
    "P@100": "precision_at_100",
    "P@200": "precision_at_200",
}
# Published fields of metrics.json, besides checkpoint, data and command. None of them contains a path.
PUBLIC_KEYS = (
    "protocol",
    "split",
    "notes",
    "removed_categories",
    "model",
    "num_queries",
    "num_left_out",
    "num_gallery",
    "gallery",
    "chance",
    "conventions",
    "confidence",
    "averages",
    "by_category",
    "confusions",
    "precision_at_recall",
    "reranked",
    "expanded",
    "deduplicated",
    "seconds",
    "seconds_by_stage",
    "versions",
)
Metrics = dict[str, float]


def _numbers(conventions: dict[str, dict[str, Any]]) -> dict[str, Metrics]:
    """The finite numbers of each convention, the default convention and the usual metrics first."""
    order = [*METRIC_TYPES]
    found = {}
    for convention in sorted(conventions, key=lambda name: (name != DEFAULT_CONVENTION, name)):
        metrics = conventions[convention]
        names = sorted(metrics, key=lambda name: order.index(name) if name in order else len(order))
        found[convention] = {name: float(metrics[name]) for name in names if _is_number(metrics[name])}
    return {convention: metrics for convention, metrics in found.items() if metrics}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


Line = Annotated[str, AfterValidator(_in_one_line)]
Conventions = Annotated[dict[str, dict[str, Any]], AfterValidator(_numbers)]


class Ranking(Record):
    """Metrics of a ranking with `k` re-ranked photos, or with query expansion by the first `k` photos."""

    model_config = ConfigDict(extra="ignore", strict=True)
    k: int | None = None
    conventions: Conventions = Field(default_factory=dict)


class Deduplicated(Record):
    """Metrics without the duplicate photos of the gallery."""

    model_config = ConfigDict(extra="ignore", strict=True)
    num_duplicates: int = 0
    conventions: Conventions = Field(default_factory=dict)


class Results(Record):
    """The part of `metrics.json` that model cards show; fields that later versions add are ignored.

    Attributes:
        protocol: Id with version, such as "sketchy-25@1".
        split: Split that was ranked.
        conventions: Metrics by convention, in [0, 1], of the ranking by global features.
        confidence: 95 % intervals by convention and metric.
        reranked: Metrics after re-ranking the best photos.
        expanded: Metrics with query expansion.
        deduplicated: Metrics without duplicate photos.
        num_queries: Number of sketches.
        num_gallery: Number of photos.
        num_left_out: Number of sketches without a relevant photo in the gallery, which no metric includes.
        chance: Metrics of a random ranking.
        notes: What a reader must know, in sentences.
        removed_categories: Categories left out because training saw them, with their names in the training data.
        checkpoint: Folder or Hub id of the model.
    """

    model_config = ConfigDict(extra="ignore", strict=True)
    protocol: Annotated[str, BeforeValidator(lambda name: name or "unnamed")]
    split: Annotated[str, BeforeValidator(lambda name: name or "test")]
    conventions: Annotated[Conventions, Field(min_length=1)]
    confidence: dict[str, dict[str, tuple[float, float] | None]] | None = None
    reranked: Ranking | None = None
    expanded: Ranking | None = None
    deduplicated: Deduplicated | None = None
    num_queries: int
    num_gallery: int
    num_left_out: int | None = None
    chance: dict[str, float | None] | None = None
    notes: tuple[Line, ...] | None = None
    removed_categories: dict[Line, Line] | None = None
    checkpoint: str | None = None

    @property
    def convention(self) -> str:
        """The convention of the figures that a card names in its text and its model-index."""
        return next(iter(self.conventions))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mAP@all, if recorded."""
        return ((self.confidence or {}).get(self.convention) or {}).get("mAP@all")

    @property
    def chance_map(self) -> float | None:
        """mAP@all of a random ranking, if recorded."""
        return (self.chance or {}).get("mAP@all")

    @property
    def is_zero_shot(self) -> bool:
        """Whether training saw none of the ranked categories, as far as the evaluation could check."""
        return not any(note.casefold().startswith("not zero-shot") for note in self.notes or ())

    @property
    def caveats(self) -> list[str]:
        """What a reader should know before citing a figure, as Markdown sentences."""
        found = [*(self.notes or ())]
        if self.removed_categories:
            pairs = (
                f"{name} (there: {seen})" if name != seen else name for name, seen in self.removed_categories.items()
            )
            found.append(f"categories left out because training saw them: {', '.join(pairs)}")
        if self.num_left_out:
            found.append(f"{self.num_left_out:,} sketches have no relevant photo in the gallery and are not counted")
        if self.deduplicated and self.deduplicated.conventions:
            convention, metrics = next(iter(self.deduplicated.conventions.items()))
            values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            count = self.deduplicated.num_duplicates
            found.append(f"{count:,} photos of the gallery are duplicates; without them, `{convention}` is {values}")
        return found

    @property
    def is_worse_reranked(self) -> bool:
        """Whether re-ranking lowers the mAP@all."""
        before = self.conventions[self.convention].get("mAP@all")
        after = (self.reranked.conventions if self.reranked else {}).get(self.convention, {}).get("mAP@all")
        return before is not None and after is not None and after < before

    @property
    def published_size(self) -> tuple[int, int] | None:
        """Numbers of sketches and photos of the published benchmark, if this evaluation used other numbers."""
        protocol = PROTOCOLS.get(self.benchmark)
        size = protocol.published if protocol else None
        return None if self.split != "test" or size == (self.num_queries, self.num_gallery) else size

    @property
    def benchmark(self) -> str:
        """The protocol without version and suffix."""
        return benchmark_of(self.protocol)

    @property
    def suffix(self) -> str:
        """How the evaluation differs from the protocol, such as "from-tuberlin-30@1"; usually empty."""
        return self.protocol.partition("/")[2]

    @property
    def benchmark_name(self) -> str:
        """Display name of the benchmark."""
        name = BENCHMARK_NAMES.get(self.benchmark, self.benchmark)
        return f"{name} ({self.suffix})" if self.suffix else name


def read_results(file: Path) -> Results:
    """Read a `metrics.json`.

    Raises:
        CaanError: The file is missing, damaged, or not a metrics.json.
    """
    return Results.read(file, f"Give the {METRICS_FILE} that `caan evaluate` wrote.")


def write_public_metrics(file: Path, repo_id: str, folder: Path) -> None:
    """Write the public part of a valid `metrics.json` into a folder; see [`public_metrics`]."""
    document = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
    write_json(folder / METRICS_FILE, public_metrics(document, repo_id), sort_keys=True)


def public_metrics(document: dict[str, Any], repo_id: str) -> dict[str, Any]:
    """The content of `metrics.json` without unknown fields and without the folders of the machine.

    Args:
        document: Content of the file.
        repo_id: Repository id of the model, which replaces the folder of the checkpoint.
    """
    public = {key: document[key] for key in PUBLIC_KEYS if key in document}
    public["checkpoint"] = repo_id
    if isinstance(document.get("data"), str):
        public["data"] = PureWindowsPath(document["data"]).name  # splits at slashes and at backslashes
    command = _public_command(document.get("command"), repo_id)
    return public | ({"command": command} if command else {})


def _public_command(command: Any, repo_id: str) -> str | None:
    """A `caan evaluate` command with the model's id and only the names of other paths; None for other commands."""
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # an open quote
        return None
    if words[:2] != ["caan", "evaluate"] or len(words) < 3:
        return None
    return shlex.join([*words[:2], repo_id, *(PureWindowsPath(word).name for word in words[3:])])


def eval_results(results: Results) -> list[EvalResult]:
    """The entries of the model-index: the first convention of each ranking."""
    rankings: list[tuple[dict[str, Metrics], str, dict[str, Any] | None]] = [(results.conventions, "", None)]
    if results.reranked:
        k = results.reranked.k
        rankings.append((results.reranked.conventions, f", best {k} re-ranked", {"rerank": k}))
    if results.expanded:
        k = results.expanded.k
        rankings.append((results.expanded.conventions, f", expanded by the first {k}", {"expand": k}))
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
            metric_name=f"{name} ({results.convention}{how})",
            metric_value=round(value, 4),
            metric_config=results.convention,
            metric_args=arguments,
        )
        for conventions, how, arguments in rankings
        for name, value in conventions.get(results.convention, {}).items()
    ]


def _dataset_arguments(results: Results) -> dict[str, Any]:
    """Facts that have no field in a model-index; dataset types on the Hub cannot contain a protocol's version."""
    arguments = {"protocol": results.protocol, "queries": results.num_queries, "gallery": results.num_gallery}
    return arguments if results.chance_map is None else arguments | {"chance_mAP@all": round(results.chance_map, 4)}


def results_table(conventions: dict[str, Metrics]) -> str:
    """A Markdown table with one row per convention."""
    names = list(dict.fromkeys(name for metrics in conventions.values() for name in metrics))
    lines = ["| convention | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for convention, metrics in conventions.items():
        cells = [f"{metrics[name]:.4f}" if name in metrics else "" for name in names]
        lines.append(f"| `{convention}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
