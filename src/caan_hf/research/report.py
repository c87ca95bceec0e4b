"""Report of a study: a table, a plot, and for a study of two axes a sweep."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from caan_hf.evaluation.bootstrap import interval, resampled_averages
from caan_hf.utils.files import write_json, write_whole, write_whole_text

from .runs import StudyResult

METRIC = "mAP@all"
SPLIT_NAMES = {"validation": "validation categories", "test": "unseen categories"}
LABEL_WIDTH = 32  # characters per line
MIN_SPAN = 0.02  # of the plot's axis; a smaller one would make noise look like a result


@dataclass(frozen=True)
class Row:
    """One combination over its seeds.

    Attributes:
        label: Label of the combination.
        scores: Split -> seed -> mAP@all in [0, 1].
        split: Split on which combinations are compared.
        differences: Seed -> mAP@all minus that of the first combination with the same seed.
        interval: 95 % interval of the mean difference over resampled sketches (paired bootstrap). None for the first
            combination, and for results without average precisions.
    """

    label: str
    scores: dict[str, dict[int, float]]
    split: str
    differences: dict[int, float]
    interval: tuple[float, float] | None = None

    @property
    def compared(self) -> dict[int, float]:
        """Seed -> mAP@all on the split on which combinations are compared."""
        return self.scores[self.split]


def study_rows(results: Sequence[StudyResult], split: str | None = None) -> list[Row]:
    """One row per combination in the order of the results; the others are compared with the first.

    Args:
        results: The results of a study.
        split: Split on which they are compared. The default is "test", the unseen categories, or "validation" if not
            all results have the former.
    """
    split = split or ("test" if all("test" in result.scores for result in results) else "validation")
    by_label: dict[str, dict[str, dict[int, float]]] = {}
    for result in results:
        scores = by_label.setdefault(_label(result), {})
        for name, metrics in result.scores.items():
            scores.setdefault(name, {})[result.seed] = metrics[METRIC]
    first = next(iter(by_label))
    baseline = by_label[first][split]
    return [
        Row(
            label,
            scores,
            split,
            {seed: score - baseline[seed] for seed, score in scores[split].items() if seed in baseline},
            _interval(results, label, first, split) if label != first else None,
        )
        for label, scores in by_label.items()
    ]


def _label(result: StudyResult) -> str:
    return ", ".join(result.labels)


def _interval(results: Sequence[StudyResult], label: str, first: str, split: str) -> tuple[float, float] | None:
    """Interval of the mean difference over the seeds that both combinations have."""
    by_sketch = {(_label(result), result.seed): result.average_precisions.get(split) for result in results}
    pairs = [
        (values, by_sketch[first, seed])
        for (of, seed), values in by_sketch.items()
        if of == label and values and by_sketch.get((first, seed))
    ]
    if not pairs:
        return None
    scores = np.array([[a, b] for a, b in pairs], dtype=np.float64)  # (seeds, 2, A)
    mean_of_sketch = (scores[:, 0] - scores[:, 1]).mean(axis=0)  # (A,)
    averages = resampled_averages(mean_of_sketch[:, None], np.zeros(len(mean_of_sketch)), macro=False)
    low, high = interval(averages)[:, 0].tolist()
    return low, high


def table_lines(rows: Sequence[Row], axes: Sequence[str] = ()) -> list[list[str]]:
    """The cells of the table without empty columns; the first line is the header, which names the study's axes.

    Scores are the mean and the standard deviation over the seeds.
    """
    difference = f"difference to {rows[0].label}"
    names = ", ".join(map(_short, axes))
    header = [names, "seeds", f"validation {METRIC}", f"unseen {METRIC}", difference, "95 % interval"]
    cells = [
        [
            row.label,
            str(len(row.compared)),
            spread(row.scores.get("validation", {}).values()),
            spread(row.scores.get("test", {}).values()),
            "" if row is rows[0] else spread(row.differences.values(), sign="+"),
            "" if row.interval is None else interval_text(row.interval),
        ]
        for row in rows
    ]
    columns = [column for column in zip(header, *cells, strict=True) if any(column[1:])]
    return [list(line) for line in zip(*columns, strict=True)]


def _short(axis: str) -> str:
    """The name of an axis without its section."""
    return axis.rpartition(".")[2]


def interval_text(interval: tuple[float, float]) -> str:
    """`low to high` of an interval of a difference."""
    return "{:+.3f} to {:+.3f}".format(*interval)


def spread(values: Iterable[float], sign: str = "") -> str:
    """`mean \u00b1 standard deviation` (n - 1); the mean alone for a single value."""
    values = list(values)
    if not values:
        return ""
    text = f"{mean(values):{sign}.3f}"
    return f"{text} \u00b1 {stdev(values):.3f}" if len(values) > 1 else text


def write_report(results: Sequence[StudyResult], command: str, folder: Path, axes: Sequence[str] = ()) -> list[Row]:
    """Write `results.json`, `table.md`, `plot.png` and, for a study of two axes, `sweep.png`; each atomically.

    Args:
        results: Results of all runs.
        command: The command that reproduces the study.
        folder: Where to write.
        axes: Names of the study's axes.

    Returns:
        The rows of the table.

    Raises:
        CaanError: A file cannot be written.
    """
    rows = study_rows(results)
    write_json(folder / "results.json", [result.model_dump() for result in results])
    write_whole_text(folder / "table.md", f"{table(rows, results, axes)}\n```\n{command}\n```\n")
    write_whole(folder / "plot.png", lambda path: plot(rows, path))
    if len(axes) == 2:
        write_whole(folder / "sweep.png", lambda path: plot_sweep(results, rows[0].split, axes, path))
    return rows


def table(rows: Sequence[Row], results: Sequence[StudyResult], axes: Sequence[str] = ()) -> str:
    """The table in Markdown with its caption."""
    return f"{markdown_table(table_lines(rows, axes))}\n\n{_caption(rows, results)}\n"


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table; the first line is the header."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ruled)


def _caption(rows: Sequence[Row], results: Sequence[StudyResult]) -> str:
    split = rows[0].split
    notes = []
    if any(len(row.compared) > 1 for row in rows):
        notes.append("mean \u00b1 standard deviation over the seeds")
    if any(row.interval is not None for row in rows):
        notes.append("intervals over the sketches")
    minutes = [result.train_seconds / 60 for result in results]
    return (
        f"{'; '.join(notes).capitalize()}{'. ' if notes else ''}Convention `standard`, global ranking; chance on the "
        f"{SPLIT_NAMES[split]} {results[0].chance[split]:.3f}. Training took {min(minutes):.1f} to "
        f"{max(minutes):.1f} minutes per run."
    )


def plot_sweep(results: Sequence[StudyResult], split: str, axis_names: Sequence[str], file: Path) -> None:
    """Plot mAP@all and P@100 of a study of two axes, in the form of the paper's figure of lambda_tri and lambda_rn.

    The first axis is horizontal; each value of the second axis has a line.
    """
    values: dict[str, dict[str, list[dict[str, float]]]] = {}  # second label -> first label -> metrics per seed
    for result in results:
        first, second = result.labels
        values.setdefault(second, {}).setdefault(first, []).append(result.scores[split])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), (METRIC, "P@100"), strict=True):
        for second, by_first in values.items():
            means = [mean(metrics[metric] for metrics in seeds) for seeds in by_first.values()]
            axes.plot(list(by_first), means, "o-", label=second, markersize=4)
        axes.set_title(f"{metric} on {SPLIT_NAMES[split]}", fontsize=10)
        axes.set_xlabel(_short(axis_names[0]))
        axes.grid(color="#e5e5e5")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(title=_short(axis_names[1]), fontsize=8, title_fontsize=8)
    figure.savefig(file, dpi=150, format="png")


def plot(rows: Sequence[Row], file: Path) -> None:
    """Plot a line per combination: a dot for each seed, a bar for their mean."""
    figure = Figure(figsize=(7.5, 1.4 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for position, row in enumerate(rows):
        scores = list(row.compared.values())
        axes.plot(scores, [position] * len(scores), "o", color="#4477aa", alpha=0.55, markersize=6)
        axes.plot([mean(scores)], [position], "|", color="#222222", markersize=18, markeredgewidth=2.5)
    axes.axvline(mean(rows[0].compared.values()), color="#999999", linewidth=0.8, linestyle="--")
    low, high = axes.get_xlim()
    middle, half = (low + high) / 2, max(high - low, MIN_SPAN) / 2
    axes.set_xlim(middle - half, middle + half)
    axes.set_yticks(range(len(rows)), [fill(row.label, LABEL_WIDTH) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    legend = fill(f"dots: seeds, bar: mean, dashed: {rows[0].label}", 2 * LABEL_WIDTH)
    axes.set_xlabel(f"{METRIC} on {SPLIT_NAMES[rows[0].split]}\n{legend}")
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(file, dpi=150, format="png")
