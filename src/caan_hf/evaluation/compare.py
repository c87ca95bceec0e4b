"""Compare two evaluations on the same sketches and photos by paired bootstrap."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from caan_hf.errors import CaanError
from caan_hf.utils.files import unwritable, write_whole_text
from caan_hf.utils.records import Record

from .bootstrap import RESAMPLES, interval, resampled_averages
from .conventions import CONVENTIONS, Values
from .metrics import average, category_means
from .record import METRICS_FILE, QUERIES_FILE, REMEDY, EvaluationRecord

OTHER_RANKINGS = ("rerank", "expand")
"""Rankings besides the global one, as the columns of `queries.parquet` begin."""
MAX_CATEGORIES = 5
HEADER = ["ranking", "convention", "metric", "A", "B", "B - A", "95 % interval", "p"]


@dataclass(frozen=True)
class Report:
    """A report on disk: `metrics.json`, and one row per sketch from `queries.parquet`."""

    name: str
    record: EvaluationRecord
    queries: pyarrow.Table

    def values(self, columns: list[str]) -> Values:
        """(A, V) float64."""
        return np.stack([self.queries[name].to_numpy() for name in columns], axis=1)

    def depth(self, ranking: str) -> int | None:
        """Number of photos that a ranking reordered or expanded with; None if the report does not have it."""
        found = self.record.reranked if ranking == "rerank" else self.record.expanded
        return None if found is None else found.k


class Row(Record):
    """Difference B - A in one metric.

    Attributes:
        ranking: "global", "rerank" or "expand".
        convention: Convention of the metric.
        metric: Name of the metric.
        first: Value of A.
        second: Value of B.
        difference: B - A.
        interval: 95 % interval of the difference.
        p: Two-sided p-value.
    """

    ranking: str
    convention: str
    metric: str
    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    p: float


class CategoryChange(Record):
    """Difference B - A in one category."""

    category: str
    difference: float


class Comparison(Record):
    """The contents of `comparison.json`.

    Attributes:
        first: Name of A.
        second: Name of B.
        protocol: Protocol id of both.
        split: Split of both.
        num_queries: Number of sketches.
        reranked: Number of re-ranked photos, if re-ranking is compared.
        expanded: Number of photos of query expansion, if it is compared.
        notes: What was not compared, as sentences.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        rows: One row per ranking, convention and metric.
        category_metric: Metric of `by_category`, such as "standard/mAP@all".
        by_category: Differences by category in descending order.
    """

    first: str
    second: str
    protocol: str | None
    split: str | None
    num_queries: int
    reranked: int | None
    expanded: int | None
    notes: list[str]
    resamples: int
    seed: int
    rows: list[Row]
    category_metric: str
    by_category: list[CategoryChange]


def is_report(folder: Path) -> bool:
    """Whether a folder holds a report of `caan evaluate`."""
    return (folder / METRICS_FILE).is_file()


def load_report(folder: Path, name: str | None = None) -> Report:
    """Read a report.

    Args:
        folder: Folder that `caan evaluate` wrote.
        name: Name in the comparison; the folder by default.

    Raises:
        CaanError: The folder is not a complete report.
    """
    record = EvaluationRecord.of_folder(folder)
    file = folder / QUERIES_FILE
    try:
        queries = pyarrow.parquet.read_table(file)
        _check(queries)
    except (OSError, ValueError, TypeError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise CaanError(f"{file}: not the queries of a report ({reason}). {REMEDY}") from error
    return Report(name or str(folder), record, queries)


def compare_reports(first: Report, second: Report, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Paired bootstrap of the difference second - first, for every ranking and metric that both reports have.

    The p-value is two-sided: twice the share of resampled differences with the other sign, including the difference
    itself.

    Raises:
        CaanError: The reports are not of the same sketches and photos, or have no metric in common.
    """
    _require_same_data(first, second)
    unequal = [ranking for ranking in OTHER_RANKINGS if first.depth(ranking) != second.depth(ranking)]
    common = [name for name in first.queries.column_names[2:] if name in second.queries.column_names]
    columns = [name for name in common if _parts(name)[0] not in unequal]
    if not columns:
        raise CaanError(f"{first.name} and {second.name} cannot be compared: they have no metric in common.")
    names, numbers = np.unique(first.queries["category"].to_pylist(), return_inverse=True)
    values = first.values(columns), second.values(columns)  # (A, V) each
    rows = [row for macro in (False, True) for row in _rows(columns, *values, numbers, macro, resamples, seed)]
    differences = category_means(values[1][:, 0] - values[0][:, 0], numbers)
    order = np.argsort(-differences, kind="stable")
    return Comparison(
        first=first.name,
        second=second.name,
        protocol=first.record.protocol,
        split=first.record.split,
        num_queries=len(first.queries),
        reranked=None if "rerank" in unequal else first.depth("rerank"),
        expanded=None if "expand" in unequal else first.depth("expand"),
        notes=[_not_compared(ranking, first.depth(ranking), second.depth(ranking)) for ranking in unequal],
        resamples=resamples,
        seed=seed,
        rows=sorted(rows, key=lambda row: columns.index(_column(row))),
        category_metric=columns[0],
        by_category=[CategoryChange(category=str(names[n]), difference=float(differences[n])) for n in order],
    )


def verdicts(comparison: Comparison) -> list[str]:
    """One sentence per ranking on its first metric, and the notes."""
    first_rows: dict[str, Row] = {}
    for row in comparison.rows:
        first_rows.setdefault(row.ranking, row)
    return [*(_verdict(comparison, row) for row in first_rows.values()), *comparison.notes]


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """One row of text per ranking, convention and metric, for the columns of `HEADER`."""
    return [
        [
            row.ranking,
            row.convention,
            row.metric,
            f"{row.first:.4f}",
            f"{row.second:.4f}",
            f"{row.difference:+.4f}",
            f"{row.interval[0]:+.4f} to {row.interval[1]:+.4f}",
            f"{row.p:.3f}",
        ]
        for row in comparison.rows
    ]


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.json` and `comparison.md`.

    Raises:
        CaanError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    write_whole_text(folder / "comparison.md", comparison_text(comparison))
    comparison.write(folder / "comparison.json")


def comparison_text(comparison: Comparison) -> str:
    """The content of `comparison.md`."""
    changes = comparison.by_category
    table = [HEADER, ["---"] * 3 + ["---:"] * (len(HEADER) - 3), *comparison_rows(comparison)]
    gains = [change for change in changes if change.difference > 0][:MAX_CATEGORIES]
    losses = [change for change in reversed(changes) if change.difference < 0][:MAX_CATEGORIES]
    return "\n".join(
        [
            f"# Comparison on {comparison.protocol or 'an unnamed protocol'}, {comparison.split or 'unnamed'} split",
            "",
            f"- A: `{comparison.first}`",
            f"- B: `{comparison.second}`",
            f"- {comparison.num_queries:,} sketches, {comparison.resamples:,} paired bootstrap resamples, "
            f"seed {comparison.seed}",
            *(f"- {sentence}" for sentence in verdicts(comparison)),
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            f"Categories with the largest gains ({comparison.category_metric}): {_listed(gains)}.",
            f"Categories with the largest losses: {_listed(losses)}.",
            "",
        ]
    )


def _rows(
    columns: list[str],
    before: Values,
    after: Values,
    numbers: NDArray[np.intp],
    macro: bool,
    resamples: int,
    seed: int,
) -> Iterator[Row]:
    """One row per column whose convention averages over queries, or with `macro` over categories."""
    chosen = [place for place, name in enumerate(columns) if CONVENTIONS[_parts(name)[1]].macro == macro]
    if not chosen:
        return
    before, after = before[:, chosen], after[:, chosen]  # (A, V') each
    resampled = resampled_averages(after - before, numbers, macro, resamples=resamples, seed=seed)  # (resamples, V')
    low, high = interval(resampled)
    other_sign = np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0))
    for place, column in enumerate(chosen):
        ranking, convention, metric = _parts(columns[column])
        first, second = (average(values[:, place], numbers, macro) for values in (before, after))
        yield Row(
            ranking=ranking,
            convention=convention,
            metric=metric,
            first=first,
            second=second,
            difference=second - first,
            interval=(float(low[place]), float(high[place])),
            p=min(1.0, 2 * (int(other_sign[place]) + 1) / (resamples + 1)),
        )


def _verdict(comparison: Comparison, row: Row) -> str:
    low, high = row.interval
    what = f"{row.metric} ({row.convention}, {row.ranking} ranking)"
    if low <= 0 <= high:
        return (
            f"no significant difference in {what}: the 95 % interval of the difference, {low:+.4f} to {high:+.4f}, "
            "includes 0"
        )
    names = [comparison.second, comparison.first]
    better, worse = names if row.difference > 0 else reversed(names)
    return (
        f"{better} is better than {worse} in {what} by {abs(row.difference):.4f}, "
        f"95 % interval {min(abs(low), abs(high)):.4f} to {max(abs(low), abs(high)):.4f}"
    )


def _not_compared(ranking: str, first: int | None, second: int | None) -> str:
    sides = ["not computed" if depth is None else f"{depth:,} photos per sketch" for depth in (first, second)]
    return f"{ranking} rankings are not compared: A {sides[0]}, B {sides[1]}"


def _listed(changes: list[CategoryChange]) -> str:
    return ", ".join(f"{change.category} {change.difference:+.3f}" for change in changes) or "none"


def _require_same_data(first: Report, second: Report) -> None:
    pair = f"{first.name} and {second.name} cannot be compared"
    for what in ("protocol", "split", "gallery"):
        values = getattr(first.record, what), getattr(second.record, what)
        if values[0] != values[1]:
            shown = "" if what == "gallery" else f" ({values[0]} and {values[1]})"
            raise CaanError(f"{pair}: they differ in the {what}{shown}. Evaluate both on the same data.")
    if not first.queries.select(["source", "category"]).equals(second.queries.select(["source", "category"])):
        raise CaanError(f"{pair}: they differ in the sketches. Evaluate both on the same data.")


def _check(queries: pyarrow.Table) -> None:
    if queries.column_names[:2] != ["source", "category"]:
        raise ValueError("it has other columns")
    for name in queries.column_names[2:]:
        if _parts(name)[1] not in CONVENTIONS:
            raise ValueError(f"column {name} is of an unknown convention")
        if not np.isfinite(queries[name].to_numpy()).all():
            raise ValueError(f"column {name} has values that are not numbers")


def _parts(column: str) -> tuple[str, str, str]:
    """Ranking, convention and metric of a column of `queries.parquet`."""
    ranking, _, rest = column.partition("/")
    if ranking not in OTHER_RANKINGS:
        ranking, rest = "global", column
    convention, _, metric = rest.partition("/")
    return ranking, convention, metric


def _column(row: Row) -> str:
    prefix = "" if row.ranking == "global" else f"{row.ranking}/"
    return f"{prefix}{row.convention}/{row.metric}"
