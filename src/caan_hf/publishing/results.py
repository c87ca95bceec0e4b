"""What a model card shows of an evaluation, and the form in which its `metrics.json` is published."""

import re
import shlex
from math import nan
from pathlib import PureWindowsPath
from typing import Any

from huggingface_hub import EvalResult

from caan_hf.benchmarks.protocols import PROTOCOLS
from caan_hf.evaluation.metrics import Conventions
from caan_hf.evaluation.record import OTHER_RANKINGS, EvaluationRecord, RankingRecord

from .provenance import BENCHMARK_NAMES, benchmark_of

TASK = "image-feature-extraction"
TASK_NAME = "Zero-shot sketch-based image retrieval"


def public_results(results: EvaluationRecord, repo_id: str) -> EvaluationRecord:
    """The results without paths of the machine.

    Args:
        results: Content of `metrics.json`.
        repo_id: Repository id of the model, which replaces the folder of the checkpoint.
    """
    names = [PureWindowsPath(word).name for word in shlex.split(results.command)[3:]]  # splits at / and \
    public = {
        "seen": results.seen and public_results(results.seen, repo_id),
        "checkpoint": repo_id,
        "data": PureWindowsPath(results.data).name,
        "command": shlex.join(["caan", "evaluate", repo_id, *names]),
    }
    return results.model_copy(update=public)


def results_view(results: EvaluationRecord) -> dict[str, Any]:
    """What the template of the card shows of an evaluation, besides the fields of the record itself."""
    convention, reranked = next(iter(results.conventions)), results.reranked

    def score(ranking: RankingRecord) -> float:
        return ranking.conventions.get(convention, {}).get("mAP@all", nan)  # NaN is not less than any score

    rankings = {name: getattr(results, name) for name in OTHER_RANKINGS.values()}
    published = PROTOCOLS[name].published if (name := _benchmark(results)) in PROTOCOLS else None
    is_other_size = results.split == "test" and published != (results.num_queries, results.num_gallery)
    return {
        "convention": convention,
        "benchmark": _display_name(results),
        "published_size": published if is_other_size else None,
        "caveats": _caveats(results),
        "interval": results.confidence.get(convention, {}).get("mAP@all"),
        "is_worse_reranked": reranked is not None and score(reranked) < score(results.adjusted or results),
        "table": results_table(results.conventions),
        "other_tables": {name: results_table(one.conventions) for name, one in rankings.items() if one},
    }


def _caveats(results: EvaluationRecord) -> list[str]:
    """What a reader should know before citing a figure, as Markdown sentences."""
    found = [" ".join(note.split()) for note in results.notes]
    if results.removed_categories:
        pairs = results.removed_categories.items()
        names = (name if name == seen else f"{name} (there: {seen})" for name, seen in pairs)
        found.append(f"categories left out because training saw them: {', '.join(names)}")
    if results.num_left_out:
        found.append(f"{results.num_left_out:,} sketches have no relevant photo in the gallery and are not counted")
    if results.deduplicated:
        convention, metrics = next(iter(results.deduplicated.conventions.items()))
        values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        count = results.deduplicated.num_duplicates
        found.append(f"{count:,} photos of the gallery are duplicates; without them, `{convention}` is {values}")
    return found


def eval_results(results: EvaluationRecord) -> list[EvalResult]:
    """The entries of the model-index: each ranking in the first convention. Empty if training saw these categories."""
    if any(note.casefold().startswith("not zero-shot") for note in results.notes):
        return []
    convention = next(iter(results.conventions))
    # Facts that have no field in a model-index. Dataset types on the Hub cannot contain a protocol's version.
    facts = {
        "protocol": results.protocol,
        "queries": results.num_queries,
        "gallery": results.num_gallery,
        "chance_mAP@all": round(results.chance["mAP@all"], 4),
    }
    rankings: list[tuple[Conventions, str, dict[str, Any] | None]] = [(results.conventions, "", None)]
    if results.adjusted:
        arguments = {"smooth": results.adjusted.k, "hub_weight": results.hub_weight}
        arguments = {name: value for name, value in arguments.items() if value}
        rankings.append((results.adjusted.conventions, f", {results.adjustment}", arguments))
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
            dataset_type=_benchmark(results),
            dataset_name=_display_name(results),
            dataset_config=_suffix(results) or None,
            dataset_split=results.split or "test",
            dataset_args=facts,
            metric_type=_metric_type(name),
            metric_name=f"{name} ({convention}{how})",
            metric_value=round(value, 4),
            metric_config=convention,
            metric_args=arguments,
        )
        for conventions, how, arguments in rankings
        for name, value in conventions.get(convention, {}).items()
    ]


def _metric_type(name: str) -> str:
    """Id of a metric on the Hub: "map_at_all" for "mAP@all", "precision_at_100" for "P@100"."""
    return re.sub("^p@", "precision@", name.lower()).replace("@", "_at_")


def _benchmark(results: EvaluationRecord) -> str:
    return benchmark_of(results.protocol or "unnamed")


def _suffix(results: EvaluationRecord) -> str:
    """How the evaluation differs from the protocol, such as "from-tuberlin-30@1"; usually empty."""
    return (results.protocol or "").partition("/")[2]


def _display_name(results: EvaluationRecord) -> str:
    name = BENCHMARK_NAMES.get(_benchmark(results), _benchmark(results))
    return f"{name} ({suffix})" if (suffix := _suffix(results)) else name


def results_table(conventions: Conventions) -> str:
    """A Markdown table with one row per convention."""
    names = list(dict.fromkeys(name for metrics in conventions.values() for name in metrics))
    lines = ["| convention | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for convention, metrics in conventions.items():
        cells = [f"{metrics[name]:.4f}" if name in metrics else "" for name in names]
        lines.append(f"| `{convention}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
