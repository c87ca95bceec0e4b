"""Write the tables and plots of docs/results.md from the records in bench/records.

    python bench/results.py           writes docs/results.md and the plots
    python bench/results.py --check   changes nothing; exit status 1 if the page differs from the records

Tables stand between `<!-- KIND ... -->` and `<!-- /KIND -->` and are made by bench/tables.py. The kinds:

    study NAME [plot|sweep]      bench/records/NAME.json, the results.json of `caan ablate`, with docs/NAME.png
                                 (`sweep` for a study of two axes, which recipes/ablations/NAME.yaml names)
    averages NAME against LABEL  bench/records/NAME-averages.json, the averages.json of bench/averages.py
    encoders, explanations, fine_grained, fine_tune, gpu, local_matching, local_tokens, models, multivector,
    page_options, photos, rerank, resolution, rescoring, serve, smoothing, ten_drawings, web, whitening
                                 output of bench/NAME.py with --record
    text                         bench/records/text.json, the results.json of `caan ablate text`, and
                                 bench/records/text_words.json, output of bench/text.py with --record
    sketches                     output of bench/sketches.py with --record, of two versions of the package
    shipped                      metrics.json of hub/caan-vit-tiny-sketchy, and bench/records/shipped-generalized.json,
                                 metrics.json of `caan evaluate hub/caan-vit-tiny-sketchy ... --generalized --expand 5`
    categories                   the best and the worst categories in the same metrics.json

Each record must be used exactly once.
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import tables
from common import options_parser, run
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from caan_hf.errors import CaanError
from caan_hf.research.report import plot, plot_sweep, study_rows, table
from caan_hf.research.runs import StudyResult
from caan_hf.research.study import load_study

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
RECORDS = ROOT / "bench" / "records"
SHIPPED = ROOT / "hub" / "caan-vit-tiny-sketchy" / "metrics.json"
SECTION = re.compile(r"(<!-- (\w+)( .+)? -->\n)")
DIGEST = "records"  # PNG text chunk with the hash of the record that a plot shows
REMEDY = "Run python bench/results.py."

ALT_TEXTS = {
    "plot": "A line for each row of the table: a dot for every seed, a bar for their mean",
    "sweep": "Two plots, of mAP@all and of P@100, along the first weight with a line for each value of the second",
}


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if the page differs")
    page = Page(check=parser.parse_args().check)
    written = read(PAGE)
    rebuilt = page.rebuild(written)
    page.require_each_record_once()
    if not page.check:
        PAGE.write_text(rebuilt, encoding="utf-8")
    elif rebuilt != written:
        raise CaanError(f"docs/results.md differs from bench/records. {REMEDY}")


class Page:
    """The page, and how often each record is used."""

    def __init__(self, *, check: bool):
        self.check = check
        self.used = Counter()

    def rebuild(self, text: str) -> str:
        """The page with the tables of the records."""
        before, *sections = SECTION.split(text)
        parts = [before]
        for opening, kind, words, rest in zip(*(iter(sections),) * 4, strict=True):
            body, closing, after = rest.partition(f"<!-- /{kind} -->")
            if not closing:
                raise CaanError(f"docs/results.md: {opening.strip()} is not closed by <!-- /{kind} -->")
            try:
                body = self.body(kind, (words or "").strip())
            except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
                message = f"docs/results.md: {opening.strip()} cannot be made from its record ({error!r})"
                raise CaanError(message) from error
            parts += [opening, "\n", body, "\n", closing, after]
        return "".join(parts)

    def body(self, kind: str, words: str) -> str:
        """The table of one section, and its picture."""
        if kind == "study":
            name, _, figure = words.partition(" ")
            if figure not in ("", *ALT_TEXTS):
                raise CaanError(f"docs/results.md: a study has a plot or a sweep, got {figure!r}")
            return self.study(name, figure)
        if kind == "averages":
            name, _, baseline = words.partition(" against ")
            return tables.averages(self.record(f"{name}-averages"), baseline)
        if kind == "shipped":
            return tables.shipped(read_json(SHIPPED), self.record("shipped-generalized"))
        if kind == "text":
            return tables.text(self.results(kind), self.record("text_words"))
        if kind == "categories":
            return tables.categories(read_json(SHIPPED))
        return getattr(tables, kind)(self.record(kind))

    def study(self, name: str, figure: str) -> str:
        results = self.results(name)
        body = table(study_rows(results), results)
        if not figure:
            return body
        picture = PAGE.parent / f"{name}.png"
        digest = hashlib.sha256(json.dumps(read_json(RECORDS / f"{name}.json")).encode()).hexdigest()
        if self.check:
            require_drawn_from(digest, picture)
        else:
            draw(figure, name, results, picture, digest)
        return f"{body}\n![{ALT_TEXTS[figure]}]({picture.name})\n"

    def results(self, name: str) -> list[StudyResult]:
        where = f"bench/records/{name}.json"
        return [StudyResult.parse(run, where, "Copy the results again.") for run in self.record(name)]

    def record(self, name: str) -> Any:
        self.used[name] += 1
        return read_json(RECORDS / f"{name}.json")

    def require_each_record_once(self) -> None:
        for name in sorted(path.stem for path in RECORDS.glob("*.json")):
            if self.used[name] != 1:
                raise CaanError(
                    f"bench/records/{name}.json is used {self.used[name]} times in docs/results.md, expected once"
                )


def draw(figure: str, name: str, results: list[StudyResult], picture: Path, digest: str) -> None:
    """Draw the picture and store the hash of its record in it."""
    rows = study_rows(results)
    if figure == "plot":
        plot(rows, picture)
    else:
        plot_sweep(results, rows[0].split, list(load_study(name).grid), picture)
    note = PngInfo()
    note.add_text(DIGEST, digest)
    with Image.open(picture) as drawn:
        drawn.load()
    drawn.save(picture, pnginfo=note, dpi=(150, 150))


def require_drawn_from(digest: str, picture: Path) -> None:
    if not picture.is_file():
        raise CaanError(f"docs/{picture.name} is missing. {REMEDY}")
    try:
        with Image.open(picture) as drawn:
            drawn_from = drawn.info.get(DIGEST)
    except OSError as error:
        raise CaanError(f"docs/{picture.name} is not an image ({error}). {REMEDY}") from error
    if drawn_from != digest:
        raise CaanError(f"docs/{picture.name} was drawn from another record. {REMEDY}")


def read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CaanError(f"{file}: cannot be read ({error})") from error


def read_json(file: Path) -> Any:
    try:
        return json.loads(read(file))
    except ValueError as error:
        raise CaanError(f"{file}: cannot be read ({error})") from error


if __name__ == "__main__":
    run(main)
