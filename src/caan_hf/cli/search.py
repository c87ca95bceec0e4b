"""`caan search`: the photos of a gallery that a drawing is most alike."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caan_hf.errors import CaanError

if TYPE_CHECKING:
    from caan_hf.gallery import Gallery, SearchResult, Sketch
    from caan_hf.gallery.explanation import Explanation

EXPLAINED = 3
DRAWN = 100
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def search(
    gallery: Annotated[str, typer.Argument(metavar="GALLERY", help="What `caan index` made: a folder or URL.")],
    sketch: Annotated[
        str,
        typer.Argument(
            metavar="SKETCH",
            help="A picture, or strokes as JSON; - for standard input.",
        ),
    ],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="How many photos.")] = 10,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the best candidates by the relation network.")
    ] = False,
    expand: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Look again with the drawing and its first K photos (query expansion): better where they are mostly "
            "right, as for something of which there are many photos; try 5.",
            show_default=False,
        ),
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, help="How many photos are re-ranked.")] = 100,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help=f"Show which regions matched, for the best {EXPLAINED}; --out is then results.png."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Draw the results, at most {DRAWN}, into this .png or .jpg.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Look at every photo, without the index.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Another place of the model, or an export of it. Default: the one that GALLERY was indexed with.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as `cpu` or `cuda:0`. Default: a GPU if there is one.", show_default=False)
    ] = None,
) -> None:
    """Find photos by drawing.

    Prints rank, score (cosine of the embeddings; with --expand, to the drawing and its first photos together), where
    re-ranked the relation network's probability, and path.

    Examples:

    - `caan search my_gallery sketch.png`

    - `caan search my_gallery sketch.png -k 20 --rerank --explain --out results.png`

    - `caan search my_gallery sketch.png --expand 5`

    - `cat drawing.json | caan search my_gallery - --json`
    """
    from transformers.utils import logging

    from caan_hf.gallery import Gallery

    logging.disable_progress_bar()  # of loading the model, which takes no time
    if out is None and explain and not as_json:
        out = Path("results.png")
    if out is not None:
        out = out.expanduser()
        _require_picture_file(out)
    opened = Gallery.open(gallery, model=model, device=device)
    opened.encoder  # noqa: B018 - loaded here so that the times below are of the search
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    query = opened.encode_sketch(sys.stdin.buffer.read() if sketch == "-" else sketch)
    seconds["encode"] = time.perf_counter() - start
    start = time.perf_counter()
    results = opened.search(query, k, expand=expand, rerank=rerank, candidates=candidates, exact=exact)
    seconds["search"] = time.perf_counter() - start
    explanations = [opened.explain(query, result) for result in results[:EXPLAINED]] if explain else []
    if out is not None:
        _draw(query, results, explanations, out)
    if as_json:
        print(json.dumps(_document(gallery, sketch, results, explanations, seconds), indent=2))
    else:
        _print_lines(opened, results, seconds, out)


def _require_picture_file(out: Path) -> None:
    """Tell what is wrong before anything long begins."""
    if not out.absolute().parent.is_dir():
        raise CaanError(f"{out}: no folder {out.absolute().parent}")
    if out.is_dir() or out.suffix.lower() not in PICTURES:
        raise CaanError(f"{out}: name a picture to be written, such as results.png")


def _draw(query: "Sketch", results: "list[SearchResult]", explanations: "list[Explanation]", out: Path) -> None:
    from caan_hf.gallery.results_figure import results_figure
    from caan_hf.whole_file import write_whole

    figure = results_figure(query, results[:DRAWN], [explanation.figure() for explanation in explanations])
    try:
        write_whole(out, lambda path: figure.save(path, format=PICTURES[out.suffix.lower()]))
    except OSError as error:
        raise CaanError(f"{out}: cannot be written ({error.strerror})") from error


def _document(gallery: str, sketch: str, results, explanations, seconds: dict[str, float]) -> dict:
    found = [result.to_dict() for result in results]
    for entry, explanation in zip(found, explanations, strict=False):
        entry["matches"] = [
            {"sketch_box": match.sketch_box, "photo_box": match.photo_box, "score": round(match.score, 4)}
            for match in explanation.matches
        ]
    times = {stage: round(value, 4) for stage, value in seconds.items()}
    return {"gallery": gallery, "sketch": sketch, "results": found, "seconds": times}


def _print_lines(
    gallery: "Gallery", results: "list[SearchResult]", seconds: dict[str, float], out: Path | None
) -> None:
    """A line a photo, which never wraps, so that other programs can read it too."""
    reranked = results[0].relation_score is not None
    print("rank  score" + ("  relation" if reranked else "") + "  photo")
    for result in results:
        relation = f"  {result.relation_score:8.3f}" if reranked else ""
        print(f"{result.rank:4}  {result.score:5.3f}{relation}  {_one_line(result.path)}")
    times = ", ".join(f"{stage} {value * 1000:.0f} ms" for stage, value in seconds.items())
    print(f"{len(gallery):,} photos; {times}", file=sys.stderr)
    if out is not None:
        print(f"drawn into {out}", file=sys.stderr)


def _one_line(path: str) -> str:
    """A name with line breaks or other control characters stays on its line, and does nothing to the terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)
