"""Rebuilds the tables of docs/results.md from the records of the runs, so that no figure is typed by hand.

    python bench/results.py           writes docs/results.md and the plots
    python bench/results.py --check   changes nothing; exit status 1 where the page is not what the records say

A record is the `results.json` that `caan ablate` leaves, kept as bench/records/NAME.json. In the page its table stands
between `<!-- study NAME -->` and `<!-- /study -->`; `<!-- study NAME plot -->` asks for docs/NAME.png too, and `sweep`
in place of `plot` for the figure of a study of two axes, whose names it takes from recipes/ablations/NAME.yaml.
`<!-- averages NAME -->` asks for the table of bench/records/NAME-averages.json, which bench/averages.py writes.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from caan_hf.training.ablation import RunResult
from caan_hf.training.ablation_report import METRIC, interval_text, plot, plot_sweep, study_rows, table
from caan_hf.training.study import load_study

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
RECORDS = ROOT / "bench" / "records"
STUDY = re.compile(r"(<!-- study (\S+)( plot| sweep)? -->\n).*?(<!-- /study -->)", re.DOTALL)
AVERAGES = re.compile(r"(<!-- averages (\S+) -->\n).*?(<!-- /averages -->)", re.DOTALL)

ALT_TEXTS = {
    "plot": "A line for each row of the table: a dot for every seed, a bar for their mean",
    "sweep": "Two plots, of mAP@all and of P@100, along the first weight with a line for each value of the second",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    written = PAGE.read_text(encoding="utf-8")
    rebuilt = STUDY.sub(lambda match: section(match, drawn=not options.check), written)
    rebuilt = AVERAGES.sub(averages_section, rebuilt)
    if options.check:
        sys.exit(0 if rebuilt == written else "docs/results.md is not what bench/records says: python bench/results.py")
    PAGE.write_text(rebuilt, encoding="utf-8")


def section(match: re.Match, *, drawn: bool) -> str:
    begin, name, figure, end = match.groups()
    results = load(name)
    body = table(study_rows(results), results)
    if figure:
        if drawn:
            draw(figure.strip(), name, results)
        body += f"\n![{ALT_TEXTS[figure.strip()]}]({name}.png)\n"
    return f"{begin}\n{body}\n{end}"


def averages_section(match: re.Match) -> str:
    """A row for each average, the study's own recipe, which comes last in the record, first."""
    begin, name, end = match.groups()
    rows = study_rows(load_averages(name)[::-1])
    lines = [
        ["average of all seeds", f"unseen {METRIC}", f"difference to {rows[0].label}", "95 % interval"],
        ["---"] * 4,
    ]
    for row in rows:
        (score,), (difference,) = row.judged.values(), row.differences.values()
        compared = ["", ""] if row.interval is None else [f"{difference:+.3f}", interval_text(row.interval)]
        lines.append([row.label, f"{score:.3f}", *compared])
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{begin}\n{body}\n\n{end}"


def draw(figure: str, name: str, results: list[RunResult]) -> None:
    file = PAGE.parent / f"{name}.png"
    if figure == "plot":
        plot(study_rows(results), file)
    else:
        plot_sweep(results, list(load_study(name).axes), file)


def load(name: str) -> list[RunResult]:
    return [RunResult(**{**run, "labels": tuple(run["labels"])}) for run in read_record(name)]


def load_averages(name: str) -> list[RunResult]:
    """The averages as if each were a run, all of one seed, so that they are compared like runs."""
    return [
        RunResult(tuple(row["labels"]), 0, {}, row["scores"], {}, 0.0, average_precisions=row["average_precisions"])
        for row in read_record(f"{name}-averages")
    ]


def read_record(name: str) -> list[dict]:
    return json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
