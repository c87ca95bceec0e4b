"""Compare two evaluations on the same sketches and photos by paired bootstrap."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import make_folder, write_whole_text
from caan_hf.utils.records import Record

from .bootstrap import RESAMPLES, interval, resampled_averages
from .conventions import CONVENTIONS, Values
from .fine_report import CONVENTION as INSTANCE
from .fine_report import FineGrainedRecord
from .metrics import average, category_means
from .record import OTHER_RANKINGS, EvaluationRecord
from .report_record import METRICS_FILE, QUERIES_FILE, REMEDY, ReportTask
from .templating import Table, render

FINE_RANKINGS = ("local", "fused")  # prefixes of fine-grained evaluations
IS_MACRO = {name: convention.macro for name, convention in CONVENTIONS.items()} | {INSTANCE: False}
MAX_CATEGORIES = 5


@dataclass(frozen=True)
class Report:
    """A report on disk: `metrics.json`, and one row per sketch from `queries.parquet`."""

    name: str
    record: EvaluationRecord | FineGrainedRecord
    queries: pyarrow.Table

    def values(self, columns: list[str]) -> Values:
        """(A, V) float64."""
        return np.stack([self.queries[name].to_numpy() for name in columns], axis=1)

    def depth(self, ranking: str) -> int | None:
        """Number of re-ranked photos, or of photos for expansion or smoothing; None if the report lacks the ranking."""
        found = getattr(self.record, OTHER_RANKINGS[ranking], None)
        return None if found is None else found.k or 0

    def computed(self, ranking: str) -> str:
        """In words, whether the report has a ranking, and with what settings."""
        if not any(_parts(name)[0] == ranking for name in self.queries.column_names[2:]):
            return "not computed"
        if ranking == "adjusted" and isinstance(self.record, EvaluationRecord):
            return self.record.adjustment
        return "computed" if ranking in FINE_RANKINGS else f"with {self.depth(ranking):,} photos"


class Row(Record):
    """Difference B - A of A (first) and B (second) in one metric, with its 95 % interval and two-sided p-value.

    Attributes:
        ranking: "global", "adjusted", "rerank" or "expand", or "local" or "fused" of fine-grained evaluations.
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
    """The contents of `comparison.json`; `first` is the name of A, `second` that of B.

    Attributes:
        smoothed: Number of neighbours with which photos were smoothed, if rankings of smoothed photos are compared.
        reranked: Number of re-ranked photos, if re-ranking is compared.
        expanded: Number of photos of query expansion, if it is compared.
        notes: What was not compared, as sentences.
        rows: One row per ranking, convention and metric.
        category_metric: Metric of `by_category`, such as "standard/mAP@all".
        by_category: Differences by category in descending order.
    """

    first: str
    second: str
    protocol: str | None
    split: str | None
    num_queries: int
    smoothed: int | None
    reranked: int | None
    expanded: int | None
    notes: list[str]
    resamples: int
    seed: int
    rows: list[Row]
    category_metric: str
    by_category: list[CategoryChange]


def is_report(folder: Path) -> bool:
    """Whether a folder holds a report of `caan evaluate`. A published model holds `metrics.json` alone."""
    return all((folder / name).is_file() for name in (METRICS_FILE, QUERIES_FILE))


def load_report(folder: Path, name: str | None = None) -> Report:
    """Read the report in a folder; its `name` in the comparison is the folder by default.

    Raises:
        CaanError: The folder is not a complete report.
    """
    is_fine = ReportTask.of_folder(folder).task == "fine-grained"
    record = FineGrainedRecord.of_folder(folder) if is_fine else EvaluationRecord.of_folder(folder)
    file = folder / QUERIES_FILE
    try:
        queries = pyarrow.parquet.read_table(file)
        if queries.column_names[:2] != ["source", "category"]:
            raise ValueError("it has other columns")
        for column in queries.column_names[2:]:
            if _parts(column)[1] not in IS_MACRO:
                raise ValueError(f"column {column} is of an unknown convention")
            if not np.isfinite(queries[column].to_numpy()).all():
                raise ValueError(f"column {column} has values that are not numbers")
    except FileNotFoundError:
        raise CaanError(f"{file}: missing. {REMEDY}") from None
    except (OSError, ValueError, TypeError, pyarrow.ArrowException) as error:
        raise CaanError(f"{file}: not the queries of a report ({first_line(error)[:200]}). {REMEDY}") from error
    return Report(name or str(folder), record, queries)


def compare_reports(first: Report, second: Report, *, seed: int = 0) -> Comparison:
    """Paired bootstrap of the difference second - first, for every ranking and metric that both reports have.

    The two-sided p-value is 2 (n + 1) / (resamples + 1), at most 1, where n is the smaller of the numbers of resampled
    differences <= 0 and >= 0.

    Raises:
        CaanError: The reports are not of the same sketches and photos, or have no metric in common.
    """
    _require_same_data(first, second)
    others = (*OTHER_RANKINGS, *FINE_RANKINGS)
    unequal = [ranking for ranking in others if first.computed(ranking) != second.computed(ranking)]
    common = [name for name in first.queries.column_names[2:] if name in second.queries.column_names]
    columns = [name for name in common if _parts(name)[0] not in unequal]
    if not columns:
        raise CaanError(f"{first.name} and {second.name} cannot be compared: they have no metric in common.")
    names, numbers = np.unique(first.queries["category"].to_pylist(), return_inverse=True)
    before, after = first.values(columns), second.values(columns)  # (A, V) each
    differences = category_means(after[:, 0] - before[:, 0], numbers)
    return Comparison(
        first=first.name,
        second=second.name,
        protocol=first.record.protocol,
        split=first.record.split,
        num_queries=len(first.queries),
        smoothed=None if "adjusted" in unequal else first.depth("adjusted"),
        reranked=None if "rerank" in unequal else first.depth("rerank"),
        expanded=None if "expand" in unequal else first.depth("expand"),
        notes=[
            *(["A and B have equal values: they may be the same report"] if np.array_equal(before, after) else []),
            *(
                f"{ranking} rankings are not compared: A {first.computed(ranking)}, B {second.computed(ranking)}"
                for ranking in unequal
            ),
        ],
        resamples=RESAMPLES,
        seed=seed,
        rows=_rows(columns, before, after, numbers, seed),
        category_metric=columns[0],
        by_category=[
            CategoryChange(category=str(names[number]), difference=float(differences[number]))
            for number in np.argsort(-differences, kind="stable")
        ],
    )


def verdicts(comparison: Comparison) -> list[str]:
    """One sentence per ranking on its first metric, and the notes."""
    first_rows = [next(rows) for _, rows in groupby(comparison.rows, lambda row: row.ranking)]
    return [*(_verdict(comparison, row) for row in first_rows), *comparison.notes]


def comparison_table(comparison: Comparison) -> Table:
    """One row per ranking, convention and metric."""
    header = ["ranking", "convention", "metric", "A", "B", "B - A", "95 % interval", "p"]
    rows = []
    for row in comparison.rows:
        values = [f"{row.first:.4f}", f"{row.second:.4f}", f"{row.difference:+.4f}"]
        bounds = f"{row.interval[0]:+.4f} to {row.interval[1]:+.4f}"
        rows.append([row.ranking, row.convention, row.metric, *values, bounds, f"{row.p:.3f}"])
    return header, rows


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.json` and `comparison.md`.

    Raises:
        CaanError: The folder cannot be written.
    """
    changes = comparison.by_category
    text = render(
        "comparison.md.jinja",
        comparison=comparison,
        verdicts=verdicts(comparison),
        rows=comparison_table(comparison),
        gains=[change for change in changes if change.difference > 0][:MAX_CATEGORIES],
        losses=[change for change in reversed(changes) if change.difference < 0][:MAX_CATEGORIES],
    )
    make_folder(folder)
    write_whole_text(folder / "comparison.md", text)
    comparison.write(folder / "comparison.json")


def _rows(columns: list[str], before: Values, after: Values, numbers: NDArray[np.intp], seed: int) -> list[Row]:
    """One row per column of the (A, V) values before and after."""
    parts = [_parts(column) for column in columns]
    macro = [IS_MACRO[convention] for _, convention, _ in parts]
    ways = [resampled_averages(after - before, numbers, way, seed=seed) for way in (True, False)]
    resampled = np.where(macro, *ways)  # (resamples, V)
    low, high = interval(resampled).tolist()
    other_sign = np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0)).tolist()
    rows = []
    for place, (ranking, convention, metric) in enumerate(parts):
        first, second = (average(values[:, place], numbers, macro[place]) for values in (before, after))
        rows.append(
            Row(
                ranking=ranking,
                convention=convention,
                metric=metric,
                first=first,
                second=second,
                difference=second - first,
                interval=(low[place], high[place]),
                p=min(1.0, 2 * (other_sign[place] + 1) / (RESAMPLES + 1)),
            )
        )
    return rows


def _verdict(comparison: Comparison, row: Row) -> str:
    low, high = row.interval
    what = f"{row.metric} ({row.convention}, {row.ranking} ranking)"
    if low <= 0 <= high:
        bounds = f"{low:+.4f} to {high:+.4f}"
        return f"no significant difference in {what}: the 95 % interval of the difference, {bounds}, includes 0"
    better, worse = comparison.second, comparison.first
    if row.difference < 0:
        better, worse, low, high = worse, better, -high, -low
    return (
        f"{better} is better than {worse} in {what} by {abs(row.difference):.4f}, 95 % interval {low:.4f} to {high:.4f}"
    )


def _require_same_data(first: Report, second: Report) -> None:
    pair = f"{first.name} and {second.name} cannot be compared"
    for what in ("protocol", "split", "gallery"):
        values = getattr(first.record, what), getattr(second.record, what)
        if values[0] != values[1]:
            shown = "" if what == "gallery" else f" ({values[0]} and {values[1]})"
            raise CaanError(f"{pair}: they differ in the {what}{shown}. Evaluate both on the same data.")
    if not first.queries.select(["source", "category"]).equals(second.queries.select(["source", "category"])):
        raise CaanError(f"{pair}: they differ in the sketches. Evaluate both on the same data.")


def _parts(column: str) -> tuple[str, str, str]:
    """Ranking, convention and metric of a column of `queries.parquet`."""
    ranking, _, rest = column.partition("/")
    if ranking not in (*OTHER_RANKINGS, *FINE_RANKINGS):
        ranking, rest = "global", column
    convention, _, metric = rest.partition("/")
    return ranking, convention, metric
