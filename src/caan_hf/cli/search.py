"""`caan search`: find the photos of a gallery that are most similar to a sketch."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from caan_hf.encoding.options import DeviceOption, DTypeOption
from caan_hf.errors import CaanError
from caan_hf.gallery.options import SearchOptions
from caan_hf.utils.files import expand_home
from caan_hf.utils.problems import first_paths

from .command import command

if TYPE_CHECKING:
    from caan_hf.gallery import Explanation, SearchResult

NUM_EXPLAINED = 3
MAX_DRAWN = 100
PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


@command
def search(
    gallery: Annotated[str, Argument(metavar="GALLERY", help="Folder or URL that `caan index` created.")],
    sketch: Annotated[
        str | None,
        Argument(
            metavar="SKETCH",
            help="Picture, SVG file, strokes as JSON, or a photo with --photo; - reads standard input. Not needed with "
            "--text.",
            show_default=False,
        ),
    ] = None,
    *,
    options: SearchOptions,
    explain: Annotated[
        bool,
        Option(
            "--explain",
            help="Show which regions of sketch and photo match and have the largest shares of the local score, for the "
            f"first {NUM_EXPLAINED} results. Writes results.png unless --out is given.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help=f"Draw the first {MAX_DRAWN} results into a .png or .jpg.", show_default=False),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
    model: Annotated[
        str | None,
        Option(
            help="Where the gallery's model is now, or an ONNX export of it. Default: where it was when GALLERY was "
            "indexed.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = None,
    dtype: DTypeOption = "auto",
) -> None:
    """Find photos by sketch, by words, by both, or by another photo.

    Prints rank, score and path of each result, best first. The score is the cosine similarity of photo and sketch (with
    --expand: photo and expanded query). With re-ranking, two more scores are printed: the local score, which says how
    well the regions of the sketch match regions of the photo, and the fused score of both, which orders the results.
    Models for which re-ranking helps re-rank the best 100 photos by default; `--no-rerank` turns it off.

    Examples:

    - `caan search my_gallery sketch.png`

    - `caan search my_gallery sketch.png -k 20 --explain --out results.png`

    - `caan search my_gallery sketch.png --expand 5`

    - `caan search my_gallery sketch.png --text "a cup with two handles"`

    - `caan search my_gallery --text "an umbrella"`

    - `caan search my_gallery holiday.jpg --photo`

    - `cat drawing.json | caan search my_gallery - --json`
    """
    from caan_hf.utils.progress import loading

    if sketch is None and (options.text is None or options.photo or options.rerank):
        raise CaanError("Missing argument SKETCH: caan search GALLERY SKETCH, or caan search GALLERY --text WORDS.")
    if explain and options.photo:
        raise CaanError("--explain and --photo are mutually exclusive: explanations compare a sketch with a photo.")
    if explain and sketch is None:
        raise CaanError("--explain: explanations compare a sketch with a photo. Give a SKETCH.")
    if out is None and explain and not as_json:
        out = Path("results.png")
    if out is not None:
        out = expand_home(out)
        _require_picture_file(out)
    with loading():
        from caan_hf.gallery import Gallery
        from caan_hf.gallery.table import may_be_gallery

        if sketch is not None and may_be_gallery(sketch) and not may_be_gallery(gallery):
            raise CaanError(f"{sketch}: is a gallery. Give it first: caan search GALLERY SKETCH.")
        opened = Gallery.open(gallery, model=model, device=device, dtype=dtype)
        given, picture = _read(sketch, options)
        opened.encoder  # noqa: B018 - loaded here, so that the times below are those of the search
    start = time.perf_counter()
    query: Any = given if options.photo else opened.encode_query(given, options.text)
    encoded = time.perf_counter()
    results = opened.search(query, options)
    seconds = {"encode": encoded - start, "search": time.perf_counter() - encoded}
    drawn = None if options.photo else query.sketch
    explanations = [opened.explain(drawn, result) for result in results[:NUM_EXPLAINED]] if explain else []
    gone = sorted(opened.gone(results))
    if gone:
        remedy = "Remove them from the gallery with `caan index PHOTOS GALLERY --prune`."
        print(f"{len(gone)} of the results no longer exist: {first_paths(gone)}. {remedy}", file=sys.stderr)
    if as_json:
        print(json.dumps(_document(gallery, sketch, results, explanations, seconds), indent=2))
    else:
        _print_results(results)
        times = ", ".join(f"{stage} {value * 1000:.0f} ms" for stage, value in seconds.items())
        print(f"{len(opened):,} photos; {times}, {opened.encoder.identity.precision}", file=sys.stderr)
    if out is not None:  # last, so that the results are not lost where the file cannot be written
        _draw(picture if drawn is None else drawn.image, results, explanations, out, _label(sketch, options))
        print(f"results drawn into {out}", file=sys.stderr)


def _read(sketch: str | None, options: SearchOptions) -> tuple[Any, Any]:
    """The path or content of the query, and its picture: a damaged file is reported before the model is loaded."""
    from caan_hf.encoding.sketch_file import load_sketch
    from caan_hf.images_caan import clean_photo

    if sketch is None:
        return None, None
    given = sys.stdin.buffer.read() if sketch == "-" else expand_home(sketch)
    if sketch.startswith(("http://", "https://")):
        raise CaanError(f"{sketch}: drawings are not downloaded. Save it as a file, and give its path.")
    if isinstance(given, Path) and not os.path.lexists(given):
        raise CaanError(f"{sketch}: no such file. Give a picture, or words with --text.")
    if not options.photo:
        return given, load_sketch(given)
    try:
        return given, clean_photo(given, sketch)
    except ValueError as error:
        raise CaanError(str(error)) from error


def _require_picture_file(out: Path) -> None:
    """Refuse a file that cannot be written before the search begins."""
    if not out.absolute().parent.is_dir():
        raise CaanError(
            f"{out}: there is no folder {out.absolute().parent}. Create it, or choose another file with --out."
        )
    if out.is_dir() or out.suffix.lower() not in PICTURE_FORMATS:
        raise CaanError(f"{out}: not the name of a .png or .jpg file. Choose one such as results.png with --out.")


def _draw(query: Any, results: "list[SearchResult]", explanations: "list[Explanation]", out: Path, label: str) -> None:
    from caan_hf.gallery.figures import results_figure
    from caan_hf.utils.files import write_whole

    figures = [explanation.figure() for explanation in explanations]
    figure = results_figure(query, results[:MAX_DRAWN], figures, label=label)
    write_whole(out, lambda path: figure.save(path, format=PICTURE_FORMATS[out.suffix.lower()]))


def _label(sketch: str | None, options: SearchOptions) -> str:
    """What is written below the query of a figure."""
    given = [] if sketch is None else ["your photo" if options.photo else "your sketch"]
    return " and ".join([*given, *([f'"{options.text}"'] if options.text is not None else [])])


def _document(
    gallery: str,
    sketch: str | None,
    results: "list[SearchResult]",
    explanations: "list[Explanation]",
    seconds: dict[str, float],
) -> dict[str, Any]:
    found = [result.to_dict() for result in results]
    for entry, explanation in zip(found, explanations, strict=False):
        entry["matches"] = [
            {"sketch_box": match.sketch_box, "photo_box": match.photo_box, "share": round(match.share, 6)}
            for match in explanation.matches
        ]
    times = {stage: round(value, 4) for stage, value in seconds.items()}
    return {"gallery": gallery, "sketch": sketch, "results": found, "seconds": times}


def _print_results(results: "list[SearchResult]") -> None:
    """Print one line per result, which never wraps, so that other programs can read it."""
    is_reranked = results[0].fused_score is not None
    print("rank  score" + ("  local  fused" if is_reranked else "") + "  photo")
    for result in results:
        more = f"  {result.local_score:5.3f}  {result.fused_score:5.3f}" if is_reranked else ""
        print(f"{result.rank:4}  {result.score:5.3f}{more}  {_printable(result.path)}")


def _printable(path: str) -> str:
    """A path with line breaks and other control characters escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)
