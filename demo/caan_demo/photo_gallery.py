"""The gallery that the demo searches: an indexed one, a folder of photos that is indexed now, or drawn samples."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, draw_object
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.encoder import Encoder
from caan_hf.gallery.indexing import IndexReport

SAMPLES_A_CATEGORY = 4
SAMPLE_SIDE = 192

Watch = Callable[[int, int], None]


def is_gallery(place: str) -> bool:
    """Whether `caan index` made what is there; a URL is taken for one."""
    return "://" in place or (Path(place) / "photos.lance").is_dir()


def index_into(
    gallery: str | os.PathLike, photos, encoder: Encoder, *, mirror: bool, watch: Watch
) -> tuple[Gallery, IndexReport]:
    """Bring a gallery up to date with photos.

    Args:
        gallery: its folder or URL; made where there is none.
        photos: what `Gallery.add` takes.
        encoder: the model.
        mirror: remove what has vanished from `photos`.
        watch: called with the number of photos done and of all.

    Raises:
        CaanError: there are no photos, or the gallery is another model's.
    """
    opened = Gallery.create(gallery, model=encoder)
    return opened, opened.add(photos, prune=mirror, watch=watch)


def own_place(photos: str, encoder: Encoder) -> Path:
    """Where the gallery of a folder of photos is kept unless told otherwise: one for each folder and model."""
    full = str(Path(photos).resolve()) if Path(photos).exists() else photos
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(full).name).strip("-.") or "photos"
    identity = hashlib.sha256(f"{full}\0{encoder.identity.to_json()}".encode()).hexdigest()[:12]
    return _cache() / "galleries" / f"{name[:40]}-{identity}"


def draw_samples(folder: Path, per_category: int = SAMPLES_A_CATEGORY) -> Path:
    """Draw the photos of a gallery that needs nobody's photos; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for category in SAMPLE_CATEGORIES:
        for number in range(per_category):
            file = folder / f"{category}-{number:02}.png"
            if not file.exists():
                draw_object(category, "photo", seed=1, index=number, image_size=SAMPLE_SIDE).save(file)
    return folder


def samples_place() -> Path:
    """Where they are kept."""
    return _cache() / "sample-photos"


def _cache() -> Path:
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caan-hf"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaanError(
            f"{place}: cannot be written ({error.strerror}); choose another place with --gallery"
        ) from error
    return place
