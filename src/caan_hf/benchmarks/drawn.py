"""The drawn sample benchmark as items: needs no raw folder."""

from typing import Any

from caan_hf.descriptions import Description
from caan_hf.descriptions.records import CategoryDescriptions
from caan_hf.progress import progress_bar

from .items import Collection, Item
from .strokes import png_bytes


def collect_sample(seed: int, *, progress: bool, **options: Any) -> tuple[Collection, CategoryDescriptions]:
    """Draw the sample benchmark.

    Args:
        seed: of the drawings.
        progress: show a progress bar on a terminal.
        **options: of `draw_sample`: photos_per_category, sketches_per_category, image_size, categories.

    Returns:
        Its images, encoded, and the descriptions that come with it, by category name.

    Raises:
        CaanError: an option is out of range.
    """
    from .sample import (  # noqa: PLC0415 - drawing code is only needed here
        SAMPLE_DESCRIPTIONS,
        SAMPLE_UNSEEN,
        draw_sample,
    )

    items = []
    with progress_bar("drawing", None, shown=progress) as advance:
        for drawn in draw_sample(seed=seed, **options):
            items.append(Item(drawn.modality, drawn.category, drawn.name, png=png_bytes(drawn.image)))
            advance()
    descriptions = {
        name: tuple(Description(name, text, f"parts-{number}") for number, text in enumerate(texts, start=1))
        for name, texts in SAMPLE_DESCRIPTIONS.items()
    }
    return Collection.of_items(items, SAMPLE_UNSEEN), descriptions
