"""Two evaluations on the same data: is one better, or were the sketches kind to it?"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor

from caan_hf.errors import CaanError
from caan_hf.whole_file import write_whole_text

from .bootstrap import RESAMPLES, interval, resampled_averages
from .conventions import CONVENTIONS
from .metrics import average, category_means

OTHER_RANKINGS = {"rerank": "reranked", "expand": "expanded"}
"""Ranking, as columns of `queries.parquet` begin -> its place in `metrics.json`, which holds how deep it went."""
MOST_CATEGORIES = 5


@dataclass(frozen=True)
class Run:
    """A report on disk: `metrics.json`, and a row a sketch from `queries.parquet`."""

    name: str
    document: dict[str, Any]
    queries: pyarrow.Table

    def values(self, columns: list[str]) -> Tensor:
        """(A, V) float64."""
        return torch.stack([torch.tensor(self.queries[name].to_numpy()) for name in columns], dim=1)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a report of `caan evaluate`."""
    return (folder / "metrics.json").is_file()


def load_run(folder: Path, name: str | None = None) -> Run:
    """Read a report.

    Args:
        folder: that `caan evaluate` wrote.
        name: what to call it; the folder by default.

    Raises:
        CaanError: the folder is not a report, or was written before reports kept their queries.
    """
    try:
        document = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        queries = pyarrow.parquet.read_table(folder / "queries.parquet")
        _check(document, queries)
    except (OSError, ValueError, TypeError, pyarrow.ArrowException) as error:
        raise CaanError(f"{folder}: not a whole report of `caan evaluate` ({error}); evaluate again") from None
    return Run(name or str(folder), document, queries)


def compare_runs(first: Run, second: Run, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Paired bootstrap over the queries of the difference second - first, in every ranking and metric that both have.

    The p-value is two-sided: twice the share of resampled differences on the wrong side of 0, itself counted once.

    Raises:
        CaanError: the two did not rank the same photos for the same sketches, or have no metric in common.
    """
    _require_same_data(first, second)
    depths = {ranking: (_depth(first, ranking), _depth(second, ranking)) for ranking in OTHER_RANKINGS}
    unequal = [ranking for ranking, (one, other) in depths.items() if one != other]
    common = [name for name in first.queries.column_names[2:] if name in second.queries.column_names]
    columns = [name for name in common if _parts(name)[0] not in unequal]
    if not columns:
        raise CaanError(f"{first.name} and {second.name} cannot be compared: they have no metric in common")
    notes = [_not_compared(ranking, depths[ranking]) for ranking in unequal]
    names = sorted(set(first.queries["category"].to_pylist()))
    labels = torch.tensor([names.index(name) for name in first.queries["category"].to_pylist()])  # (A,)
    values = first.values(columns), second.values(columns)  # (A, V) each
    rows = [row for macro in (False, True) for row in _rows(columns, values, labels, macro, resamples, seed)]
    by_category = category_means(values[1][:, 0] - values[0][:, 0], labels).tolist()
    changes = [{"category": name, "difference": change} for name, change in zip(names, by_category, strict=True)]
    return {
        "first": first.name,
        "second": second.name,
        "protocol": first.document["protocol"],
        "split": first.document["split"],
        "num_queries": len(first.queries),
        **{OTHER_RANKINGS[ranking]: None if ranking in unequal else depths[ranking][0] for ranking in OTHER_RANKINGS},
        "notes": notes,
        "resamples": resamples,
        "seed": seed,
        "rows": sorted(rows, key=lambda row: columns.index(_column(row))),
        "by_category": {"metric": columns[0], "changes": sorted(changes, key=lambda change: -change["difference"])},
    }


def _depth(run: Run, ranking: str) -> int | None:
    """How many photos a ranking other than the global one began with; None where it was not asked for."""
    measured = run.document.get(OTHER_RANKINGS[ranking])
    return measured and measured["k"]


def _not_compared(ranking: str, depths: tuple[int | None, int | None]) -> str:
    sides = ["none" if depth is None else f"the best {depth:,}" for depth in depths]
    return f"{ranking} rankings are not compared: A took {sides[0]} of each sketch's photos, B {sides[1]}"


def _rows(
    columns: list[str], values: tuple[Tensor, Tensor], labels: Tensor, macro: bool, resamples: int, seed: int
) -> Iterator[dict[str, Any]]:
    """A row for each column whose convention averages this way."""
    chosen = [place for place, name in enumerate(columns) if CONVENTIONS[_parts(name)[1]].macro == macro]
    if not chosen:
        return
    before, after = (side[:, chosen] for side in values)  # (A, V') each
    resampled = resampled_averages(after - before, labels, macro, resamples=resamples, seed=seed)  # (resamples, V')
    bounds = interval(resampled).T.tolist()
    wrong = torch.minimum((resampled <= 0).sum(0), (resampled >= 0).sum(0)).tolist()
    for place, column in enumerate(chosen):
        ranking, convention, metric = _parts(columns[column])
        averages = [average(side[:, place], labels, macro) for side in (before, after)]
        yield {
            "ranking": ranking,
            "convention": convention,
            "metric": metric,
            "first": averages[0],
            "second": averages[1],
            "difference": averages[1] - averages[0],
            "interval": bounds[place],
            "p": min(1.0, 2 * (wrong[place] + 1) / (resamples + 1)),
        }


def verdicts(comparison: dict[str, Any]) -> list[str]:
    """A sentence a ranking on its first metric: better, worse, or not told apart; and what was not compared."""
    first_rows = {row["ranking"]: row for row in reversed(comparison["rows"])}
    return [*(_verdict(comparison, row) for row in reversed(first_rows.values())), *comparison["notes"]]


def _verdict(comparison: dict[str, Any], row: dict[str, Any]) -> str:
    low, high = row["interval"]
    what = f"{row['metric']} ({row['convention']}, {row['ranking']} ranking)"
    if low <= 0 <= high:
        return f"not told apart in {what}: the interval of the difference, {low:+.4f} to {high:+.4f}, holds 0"
    better, worse = ("second", "first") if row["difference"] > 0 else ("first", "second")
    return (
        f"{comparison[better]} is better than {comparison[worse]} in {what} by {abs(row['difference']):.4f}, "
        f"interval {min(abs(low), abs(high)):.4f} to {max(abs(low), abs(high)):.4f}"
    )


def comparison_header() -> list[str]:
    """Column names of `comparison_rows`."""
    return ["ranking", "convention", "metric", "A", "B", "B - A", "95 % interval", "p"]


def comparison_rows(comparison: dict[str, Any]) -> list[list[str]]:
    """A row a ranking, convention and metric, as text."""
    return [
        [
            row["ranking"],
            row["convention"],
            row["metric"],
            f"{row['first']:.4f}",
            f"{row['second']:.4f}",
            f"{row['difference']:+.4f}",
            f"{row['interval'][0]:+.4f}..{row['interval'][1]:+.4f}",
            f"{row['p']:.3f}",
        ]
        for row in comparison["rows"]
    ]


def write_comparison(comparison: dict[str, Any], folder: Path) -> None:
    """Writes `comparison.json` and `comparison.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole_text(folder / "comparison.md", comparison_text(comparison))
    text = json.dumps(comparison, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_whole_text(folder / "comparison.json", text)


def comparison_text(comparison: dict[str, Any]) -> str:
    """The content of `comparison.md`."""
    header, changes = comparison_header(), comparison["by_category"]["changes"]
    table = [header, ["---"] * 3 + ["---:"] * (len(header) - 3), *comparison_rows(comparison)]
    gains = [change for change in changes if change["difference"] > 0][:MOST_CATEGORIES]
    losses = [change for change in reversed(changes) if change["difference"] < 0][:MOST_CATEGORIES]
    return "\n".join(
        [
            f"# {comparison['protocol'] or 'unnamed protocol'}, {comparison['split'] or 'unnamed'} split: A against B",
            "",
            f"- A: `{comparison['first']}`",
            f"- B: `{comparison['second']}`",
            f"- {comparison['num_queries']:,} sketches, {comparison['resamples']:,} paired bootstrap resamples, "
            f"seed {comparison['seed']}",
            *(f"- {sentence}" for sentence in verdicts(comparison)),
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            f"Categories that gain most ({comparison['by_category']['metric']}): {_listed(gains)}.",
            f"Categories that lose most: {_listed(losses)}.",
            "",
        ]
    )


def _listed(changes: list[dict[str, Any]]) -> str:
    return ", ".join(f"{change['category']} {change['difference']:+.3f}" for change in changes) or "none"


def _require_same_data(first: Run, second: Run) -> None:
    for what in ("protocol", "split", "gallery"):
        values = first.document.get(what), second.document.get(what)
        if values[0] != values[1]:
            shown = "" if what == "gallery" else f" ({values[0]} and {values[1]})"
            raise CaanError(f"{first.name} and {second.name} cannot be compared: they differ in their {what}{shown}")
    if not first.queries.select(["source", "category"]).equals(second.queries.select(["source", "category"])):
        raise CaanError(f"{first.name} and {second.name} cannot be compared: they were asked other sketches")


def _check(document: Any, queries: pyarrow.Table) -> None:
    """What a comparison takes for granted of a report."""
    if not isinstance(document, dict) or not {"protocol", "split", "gallery", "reranked"} <= document.keys():
        raise ValueError("metrics.json is not of this version")
    if queries.column_names[:2] != ["source", "category"]:
        raise ValueError("queries.parquet has other columns")
    for name in queries.column_names[2:]:
        if _parts(name)[1] not in CONVENTIONS:
            raise ValueError(f"queries.parquet has a column {name} of an unknown convention")
        if not np.isfinite(queries[name].to_numpy()).all():
            raise ValueError(f"queries.parquet has values of {name} that are no numbers")


def _parts(column: str) -> tuple[str, str, str]:
    """Ranking, convention and metric of a column of `queries.parquet`."""
    ranking, _, rest = column.partition("/")
    if ranking not in OTHER_RANKINGS:
        ranking, rest = "global", column
    convention, _, metric = rest.partition("/")
    return ranking, convention, metric


def _column(row: dict[str, Any]) -> str:
    prefix = "" if row["ranking"] == "global" else f"{row['ranking']}/"
    return f"{prefix}{row['convention']}/{row['metric']}"
