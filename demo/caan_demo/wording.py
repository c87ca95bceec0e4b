"""Texts of the results: captions, names, status lines."""

import html
from collections import Counter

from PIL import Image, ImageOps

from caan_hf.gallery import SearchResult
from caan_hf.gallery.results import path_parts, shown_name
from caan_hf.service.searcher import Answer

MAX_NAME = 32
"""Longer names are shortened in the middle, so that the caption of a narrow picture holds them."""


def caption(result: SearchResult, name: str) -> str:
    """Rank of a photo, the score that ordered it, and its name."""
    return f"{result.rank}. {result.ranking_score:.2f}\n{_shortened(name)}"


def distinct_names(paths: list[str], *, with_folders: bool) -> list[str]:
    """Unique names of files: equal names get as many of their folders as needed, or else a number."""
    names = [shown_name(path) for path in paths]
    if not with_folders:
        before: Counter[str] = Counter()
        for position, name in enumerate(names):
            before[name] += 1
            names[position] = f"{name} ({before[name]})" if before[name] > 1 else name
        return names
    parts = [path_parts(path) for path in paths]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        equal = {name for name, number in Counter(names).items() if number > 1}
        names = ["/".join(part[-depth:]) if name in equal else name for name, part in zip(names, parts, strict=True)]
    return names


def summary(answer: Answer, like: str | None) -> tuple[str, str]:
    """Number of photos and the time, and the time of each stage."""
    stages = ", ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in answer.seconds.items())
    total = 1000 * sum(answer.seconds.values())
    photos = "photos" if like is None else f"photos, most like {like},"
    return f"{len(answer.results)} of {answer.num_photos:,} {photos} in {total:.0f} ms", f"milliseconds: {stages}"


def status_line(text: str, details: str = "") -> str:
    """A line that screen readers read out when it changes, with details on hovering."""
    return f'<p role="status" title="{html.escape(details)}">{html.escape(text)}</p>'


def error_line(text: str) -> str:
    """An error that screen readers read out."""
    return f'<p role="alert" class="error">{html.escape(text)}</p>'


def faded(picture: Image.Image) -> Image.Image:
    """A picture in light grey."""
    grey = ImageOps.grayscale(picture).convert("RGB")
    return Image.blend(grey, Image.new("RGB", grey.size, "white"), 0.6)


def _shortened(name: str) -> str:
    """A long name without its middle."""
    half = MAX_NAME // 2
    return name if len(name) <= MAX_NAME else f"{name[: half - 1]}…{name[-half:]}"
