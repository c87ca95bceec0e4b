"""What an ablation study found: one table and one plot."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill

import torch

from caan_hf.evaluation.bootstrap import interval, resampled_averages
from caan_hf.whole_file import write_whole, write_whole_text

from .ablation import RunResult

METRIC = "mAP@all"
SPLIT_NAMES = {"validation": "validation categories", "test": "unseen categories"}
LABEL_WIDTH = 32  # characters of a line
LEAST_SPAN = 0.02  # of the plot: a smaller one would make noise look like a result


@dataclass(frozen=True)
class Row:
    """One combination over its seeds: score in [0, 1] by split and seed, and the difference to the first combination.

    Attributes:
        label: of the combination.
        scores: split -> seed -> mAP@all.
        judged_on: the split by which combinations are compared.
        differences: seed -> mAP@all on it minus that of the first combination with the same seed.
        interval: between which 95 % of the mean difference lie when other sketches are drawn (paired bootstrap); None
            for the first combination, and for runs of which no values by sketch were kept.
    """

    label: str
    scores: dict[str, dict[int, float]]
    judged_on: str
    differences: dict[int, float]
    interval: tuple[float, float] | None = None

    @property
    def judged(self) -> dict[int, float]:
        """Seed -> mAP@all on the split by which combinations are compared."""
        return self.scores[self.judged_on]


def study_rows(results: Sequence[RunResult]) -> list[Row]:
    """One row a combination, in the order of the results; the first is what the others are compared with.

    They are compared on the unseen categories, or on the validation categories where a study leaves those alone.
    """
    judged_on = "test" if all("test" in result.scores for result in results) else "validation"
    by_label: dict[str, dict[str, dict[int, float]]] = {}
    for result in results:
        scores = by_label.setdefault(", ".join(result.labels), {})
        for split, metrics in result.scores.items():
            scores.setdefault(split, {})[result.seed] = metrics[METRIC]
    first = next(iter(by_label))
    baseline = by_label[first][judged_on]
    return [
        Row(
            label,
            scores,
            judged_on,
            {seed: score - baseline[seed] for seed, score in scores[judged_on].items() if seed in baseline},
            _interval(results, label, first, judged_on) if label != first else None,
        )
        for label, scores in by_label.items()
    ]


def _interval(results: Sequence[RunResult], label: str, first: str, split: str) -> tuple[float, float] | None:
    """Of the mean difference over the seeds that both combinations were trained with."""
    by_sketch = {(", ".join(r.labels), r.seed): r.average_precisions.get(split) for r in results}
    pairs = [
        (values, by_sketch[first, seed])
        for (of, seed), values in by_sketch.items()
        if of == label and values and by_sketch.get((first, seed))
    ]
    if not pairs:
        return None
    differences = torch.tensor([[a, b] for a, b in pairs], dtype=torch.float64)  # (seeds, 2, A)
    mean_of_sketch = (differences[:, 0] - differences[:, 1]).mean(dim=0)  # (A,)
    averages = resampled_averages(mean_of_sketch[:, None], torch.zeros(len(mean_of_sketch)), macro=False)
    low, high = interval(averages)[:, 0].tolist()
    return low, high


def table_lines(rows: Sequence[Row]) -> list[list[str]]:
    """The table as cells, but for columns that are empty; the first line names the columns.

    Scores are means with the standard deviation over the seeds.
    """
    header = [
        "",
        "seeds",
        f"validation {METRIC}",
        f"unseen {METRIC}",
        f"difference to {rows[0].label}",
        "95 % interval",
    ]
    cells = [
        [
            row.label,
            str(len(row.judged)),
            spread(row.scores.get("validation", {}).values()),
            spread(row.scores.get("test", {}).values()),
            "" if row is rows[0] else spread(row.differences.values(), sign="+"),
            "" if row.interval is None else interval_text(row.interval),
        ]
        for row in rows
    ]
    columns = [column for column in zip(header, *cells, strict=True) if column[0] == "" or any(column[1:])]
    return [list(line) for line in zip(*columns, strict=True)]


def interval_text(interval: tuple[float, float]) -> str:
    """`low to high`, of a difference."""
    return "{:+.3f} to {:+.3f}".format(*interval)


def spread(values, sign: str = "") -> str:
    """`mean \u00b1 standard deviation`; the deviation (n - 1) only where there are two values or more."""
    values = list(values)
    if not values:
        return ""
    text = f"{mean(values):{sign}.3f}"
    return f"{text} \u00b1 {stdev(values):.3f}" if len(values) > 1 else text


def write_study(results: Sequence[RunResult], command: str, folder: Path, axes: Sequence[str] = ()) -> None:
    """Writes `results.json`, `table.md`, `plot.png` and, of two axes, `sweep.png`, each whole or not at all.

    `axes` are the names of the study's axes.
    """
    rows = study_rows(results)
    document = json.dumps([asdict(result) for result in results], indent=2) + "\n"
    write_whole_text(folder / "results.json", document)
    write_whole_text(folder / "table.md", markdown(rows, results, command))
    write_whole(folder / "plot.png", lambda path: plot(rows, path))
    if len(axes) == 2:
        write_whole(folder / "sweep.png", lambda path: plot_sweep(results, axes, path))


def markdown(rows: Sequence[Row], results: Sequence[RunResult], command: str) -> str:
    """The table with what one must know to read it, and the command that made it."""
    return f"{table(rows, results)}\n```\n{command}\n```\n"


def table(rows: Sequence[Row], results: Sequence[RunResult]) -> str:
    """The table and what one must know to read it, in Markdown."""
    return f"{markdown_table(table_lines(rows))}\n\n{_caption(rows, results)}\n"


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a table in Markdown; the first line names the columns."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ruled)


def _caption(rows: Sequence[Row], results: Sequence[RunResult]) -> str:
    """What one must know to read the table."""
    judged_on = rows[0].judged_on
    notes = []
    if any(len(row.judged) > 1 for row in rows):
        notes.append("mean \u00b1 standard deviation over the seeds")
    if any(row.interval is not None for row in rows):
        notes.append("intervals over the sketches")
    minutes = [result.train_seconds / 60 for result in results]
    return (
        f"{'; '.join(notes).capitalize()}{'. ' if notes else ''}Convention `standard`, global ranking; chance on the "
        f"{SPLIT_NAMES[judged_on]} {results[0].chance[judged_on]:.3f}. Training took {min(minutes):.1f} to "
        f"{max(minutes):.1f} minutes a run."
    )


def plot_sweep(results: Sequence[RunResult], axes_names: Sequence[str], file: Path) -> None:
    """Of a study of two axes: mAP@all and P@100 along the first, with a line for each value of the second.

    The form of the paper's figure of lambda_tri and lambda_rn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    split = study_rows(results)[0].judged_on
    values: dict[str, dict[str, list[dict[str, float]]]] = {}  # second label -> first label -> metrics of each seed
    for result in results:
        first, second = result.labels
        values.setdefault(second, {}).setdefault(first, []).append(result.scores[split])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), (METRIC, "P@100"), strict=True):
        for second, by_first in values.items():
            means = [mean(metrics[metric] for metrics in seeds) for seeds in by_first.values()]
            axes.plot(list(by_first), means, "o-", label=second, markersize=4)
        axes.set_title(f"{metric} on {SPLIT_NAMES[split]}", fontsize=10)
        axes.set_xlabel(axes_names[0].rpartition(".")[2])
        axes.grid(color="#e5e5e5")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(title=axes_names[1].rpartition(".")[2], fontsize=8, title_fontsize=8)
    figure.savefig(file, dpi=150, format="png")


def plot(rows: Sequence[Row], file: Path) -> None:
    """A line a combination: a dot for every seed, a bar for their mean."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7.5, 1.4 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for position, row in enumerate(rows):
        scores = list(row.judged.values())
        axes.plot(scores, [position] * len(scores), "o", color="#4477aa", alpha=0.55, markersize=6)
        axes.plot([mean(scores)], [position], "|", color="#222222", markersize=18, markeredgewidth=2.5)
    axes.axvline(mean(rows[0].judged.values()), color="#999999", linewidth=0.8, linestyle="--")
    low, high = axes.get_xlim()
    middle, half = (low + high) / 2, max(high - low, LEAST_SPAN) / 2
    axes.set_xlim(middle - half, middle + half)
    axes.set_yticks(range(len(rows)), [fill(row.label, LABEL_WIDTH) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    legend = fill(f"dots: seeds, bar: mean, dashed: {rows[0].label}", 2 * LABEL_WIDTH)
    axes.set_xlabel(f"{METRIC} on {SPLIT_NAMES[rows[0].judged_on]}\n{legend}")
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(file, dpi=150, format="png")
