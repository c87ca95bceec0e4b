"""Rebuilds the tables of docs/results.md from the records of the runs, so that no figure is typed by hand.

    python bench/results.py           writes docs/results.md and the plots
    python bench/results.py --check   changes nothing; exit status 1 where the page is not what the records say

A record is the `results.json` that `caan ablate` leaves, kept as bench/records/NAME.json. In the page its table stands
between `<!-- study NAME -->` and `<!-- /study -->`; `<!-- study NAME plot -->` asks for docs/NAME.png too, and `sweep`
in place of `plot` for the figure of a study of two axes, whose names it takes from recipes/ablations/NAME.yaml.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from caan_hf.training.ablation import RunResult, load_study
from caan_hf.training.ablation_report import plot, plot_sweep, study_rows, table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
STUDY = re.compile(r"(<!-- study (\S+)( plot| sweep)? -->\n).*?(<!-- /study -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    written = PAGE.read_text(encoding="utf-8")
    rebuilt = STUDY.sub(lambda match: section(match, drawn=not options.check), written)
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
        body += f"\n![The table as a plot]({name}.png)\n"
    return f"{begin}\n{body}\n{end}"


def draw(figure: str, name: str, results: list[RunResult]) -> None:
    file = PAGE.parent / f"{name}.png"
    if figure == "plot":
        plot(study_rows(results), file)
    else:
        plot_sweep(results, list(load_study(name).axes), file)


def load(name: str) -> list[RunResult]:
    file = ROOT / "bench" / "records" / f"{name}.json"
    return [
        RunResult(**{**run, "labels": tuple(run["labels"])}) for run in json.loads(file.read_text(encoding="utf-8"))
    ]


if __name__ == "__main__":
    main()
