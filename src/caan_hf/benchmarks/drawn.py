"""The drawn sample benchmark as items: needs no raw folder."""

from typing import Any

from caan_hf.errors import CaanError

from .descriptions import CategoryDescriptions
from .items import Collection, Item
from .strokes import png_bytes


def collect_sample(seed: int, **options: Any) -> tuple[Collection, dict[str, CategoryDescriptions]]:
    """Draw the sample benchmark.

    Args:
        seed: of the drawings.
        **options: of `draw_sample`: photos_per_category, sketches_per_category, image_size, categories.

    Returns:
        Its images, encoded, and the descriptions that come with it, by category name.
    """
    from .sample import (  # noqa: PLC0415 - drawing code is only needed here
        SAMPLE_CATEGORIES,
        SAMPLE_DESCRIPTIONS,
        SAMPLE_UNSEEN,
        draw_sample,
    )

    try:
        drawn = [
            Item(image.modality, image.category, image.name, png=png_bytes(image.image))
            for image in draw_sample(seed=seed, **options)
        ]
    except (TypeError, ValueError) as error:
        raise CaanError(f"the sample cannot be drawn with these options: {error}") from None
    seen = tuple(name for name in SAMPLE_CATEGORIES if name not in SAMPLE_UNSEEN)
    descriptions = {
        name: CategoryDescriptions(tuple(texts), tuple(f"parts-{number}" for number in range(1, len(texts) + 1)))
        for name, texts in SAMPLE_DESCRIPTIONS.items()
    }
    return Collection(seen, tuple(SAMPLE_UNSEEN), drawn), descriptions
