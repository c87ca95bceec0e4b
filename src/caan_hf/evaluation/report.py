"""Write an evaluation down: `metrics.json` for programs, `report.md` and `top10.png` for people."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from caan_hf.whole_file import write_whole, write_whole_text

from .evaluator import EvaluationResult


@dataclass(frozen=True)
class Provenance:
    """What was evaluated, and how to do it again: the checkpoint, the benchmark folder and the command."""

    checkpoint: str
    data: str
    command: str


def write_report(result: EvaluationResult, figure: Image.Image, provenance: Provenance, folder: Path) -> None:
    """Fill a folder with `metrics.json`, `report.md` and `top10.png`; none of them is ever half-written.

    Args:
        result: what an evaluator returned.
        figure: the retrieval grid.
        provenance: what goes into the report beside the result.
        folder: made where it is missing; older reports in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = metrics_document(result, provenance)
    write_whole(folder / "top10.png", lambda path: figure.save(path, format="PNG", optimize=True))
    write_whole_text(folder / "report.md", report_text(result, provenance))
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole_text(folder / "metrics.json", text)


def metrics_document(result: EvaluationResult, provenance: Provenance) -> dict[str, Any]:
    """The content of `metrics.json`; scores are fractions, times are seconds."""
    reranked = result.reranked
    return {
        "protocol": result.protocol,
        "split": result.split,
        "checkpoint": provenance.checkpoint,
        "conventions": result.conventions,
        "reranked": reranked and {"k": reranked.k, "conventions": reranked.conventions},
        "chance": {"mAP@all": result.chance},
        "num_queries": result.num_queries,
        "num_left_out": result.num_left_out,
        "num_gallery": result.num_gallery,
        "seconds": round(sum(result.seconds.values()), 3),
        "seconds_by_stage": {stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
    }


def result_rows(result: EvaluationResult, convention: str) -> list[list[str]]:
    """A row a metric: its name, its value in the global ranking and, where there is one, in the re-ranking."""
    rankings = [result, *filter(None, [result.reranked])]
    names = result.conventions[convention]
    return [[name, *(f"{ranking.conventions[convention][name]:.4f}" for ranking in rankings)] for name in names]


def result_header(result: EvaluationResult) -> list[str]:
    """Column names of `result_rows`."""
    return ["metric", "global", *([f"rerank@{result.reranked.k}"] if result.reranked else [])]


def report_text(result: EvaluationResult, provenance: Provenance) -> str:
    """The content of `report.md`."""
    tables = [_convention_table(result, convention) for convention in result.conventions]
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items())
    left_out = f"; {result.num_left_out} sketches have no photo of their category and are left out"
    shown = f"the best {result.reranked.k} re-ranked by relation" if result.reranked else "the global ranking"
    return "\n".join(
        [
            f"# Zero-shot retrieval: {result.protocol or 'unnamed protocol'}, {result.split or 'unnamed'} split",
            "",
            f"- checkpoint: `{provenance.checkpoint}`",
            f"- data: `{provenance.data}`",
            f"- queries: {result.num_queries:,} sketches{left_out if result.num_left_out else ''}",
            f"- gallery: {result.num_gallery:,} photos",
            f"- chance: mAP@all {result.chance:.4f} (expected of a random ranking)",
            f"- time: {times}" if times else "- time: not measured",
            "",
            *tables,
            "## Ten best photos",
            "",
            f"Query sketch, then its ten best photos ({shown}): right ones framed green, wrong ones red.",
            "",
            "![query sketches and their ten best photos](top10.png)",
            "",
            "## Command",
            "",
            "```bash",
            provenance.command,
            "```",
            "",
        ]
    )


def _convention_table(result: EvaluationResult, convention: str) -> str:
    header = result_header(result)
    rows = [header, ["---", *["---:"] * (len(header) - 1)], *result_rows(result, convention)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"## Convention `{convention}`", "", *lines, ""])
