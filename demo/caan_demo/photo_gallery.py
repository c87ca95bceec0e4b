"""Places of the demo's galleries: of a folder of photos, and of the drawn samples."""

import os
import re
from dataclasses import asdict
from pathlib import Path

from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, draw_object
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.identity import hash_of_json
from caan_hf.errors import CaanError

SAMPLES_PER_CATEGORY = 4
SAMPLE_SIDE = 192


def is_gallery(place: str) -> bool:
    """Whether `place` is a gallery; URLs are assumed to be galleries."""
    return "://" in place or (Path(place) / "photos.lance").is_dir()


def default_gallery(photos: str, encoder: Encoder) -> Path:
    """The folder in the user's cache for the gallery of a folder of photos, one per folder and model."""
    full = str(Path(photos).resolve()) if Path(photos).exists() else photos
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(full).name).strip("-.") or "photos"
    return _cache() / "galleries" / f"{name[:40]}-{hash_of_json([full, asdict(encoder.identity)])[:12]}"


def draw_samples(folder: Path | None = None, per_category: int = SAMPLES_PER_CATEGORY) -> Path:
    """Draw photos for a demo without the user's photos; existing ones are kept.

    Args:
        folder: Where they are drawn; by default in the user's cache.
        per_category: Number of photos per category.

    Returns:
        The folder.
    """
    folder = folder or _cache() / "sample-photos"
    folder.mkdir(parents=True, exist_ok=True)
    for category in SAMPLE_CATEGORIES:
        for number in range(per_category):
            file = folder / f"{category}-{number:02}.png"
            if not file.exists():
                draw_object(category, "photo", seed=1, index=number, image_size=SAMPLE_SIDE).save(file)
    return folder


def _cache() -> Path:
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caan-hf"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaanError(
            f"{place}: cannot be written ({error.strerror}). Choose another place with --gallery."
        ) from error
    return place
