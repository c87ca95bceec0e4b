"""The galleries that the demo searches: existing galleries, a folder of photos, or drawn samples."""

import re
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, draw_object
from caan_hf.cli.index import print_report, resumable
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.identity import DType, hash_of_json
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.sources import photo_source
from caan_hf.gallery.table import may_be_gallery
from caan_hf.service import galleries as service
from caan_hf.utils.files import expand_home, make_folder, require_writable, user_cache, write_whole
from caan_hf.utils.progress import loading, progress_bar

SAMPLES_PER_CATEGORY = 4
SAMPLE_SIDE = 192


def open_galleries(
    photos: str | None,
    places: list[str],
    model: str | None,
    console: Console,
    *,
    device: str | None = None,
    dtype: DType = "auto",
) -> tuple[dict[str, Gallery], str]:
    """Open or index what the command line or the Space names.

    Returns:
        Galleries by name, and a message. If the default model is not available, there are no galleries, and the message
        gives the reason.

    Raises:
        CaanError: An argument cannot be used.
    """
    if photos and may_be_gallery(photos):
        places, photos = [photos, *places], None
    elif not photos and len(places) == 1 and Path(places[0]).is_dir() and not may_be_gallery(places[0]):
        photos, places = places[0], []  # a folder of photos
    if not photos and places:
        return service.open_galleries(places, model, device=device, dtype=dtype), ""
    if len(places) > 1:
        raise CaanError("PHOTOS are indexed into one --gallery. Leave out PHOTOS to choose between several galleries.")
    if photos:
        photos = str(expand_home(photos)) if photos.startswith("~") else photos
        photo_source(photos).require_photos()  # a wrong path or an empty folder is reported before the model is loaded
    try:
        with loading(model or "the model"):
            if photos and places:
                encoder = Gallery.create(places[0], model=model, device=device, dtype=dtype).encoder
            else:
                encoder = load_encoder(model, device=device, dtype=dtype)
    except CaanError as error:
        if model or photos:
            raise
        console.print(f"[yellow]{escape(str(error))}[/]", soft_wrap=True)
        return {}, str(error)
    if photos:
        return {_name(photos): index(photos, places[0] if places else None, encoder, console)}, ""
    return {"drawn samples": index(str(draw_samples()), None, encoder, console)}, ""


def index(photos: str, place: str | None, encoder: Encoder, console: Console) -> Gallery:
    """Bring the gallery of a folder of photos up to date, with a progress bar.

    Args:
        photos: The folder, or another source of photos.
        place: The gallery. By default it is in the user's cache, and photos that no longer exist are removed from it.
        encoder: Encodes the photos.
        console: Where the summary is printed.
    """
    is_own = place is None
    place = place or str(default_gallery(photos, encoder))
    gallery = Gallery.create(place, model=encoder)
    with resumable(gallery), progress_bar("indexing", None, unit="photos") as advance:
        report = gallery.add(photos, prune=is_own, progress=advance)
    print_report(report, gallery, console, pruned=is_own)
    return gallery


def default_gallery(photos: str, encoder: Encoder) -> Path:
    """The folder in the user's cache for the gallery of a folder of photos, one per folder and model."""
    full = str(Path(photos).resolve()) if Path(photos).exists() else photos
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(full).name).strip("-.") or "photos"
    identity = asdict(replace(encoder.identity, precision="float32"))  # any precision may search and extend a gallery
    return _cache() / "galleries" / f"{name[:40]}-{hash_of_json([full, identity])[:12]}"


def draw_samples() -> Path:
    """Draw sample photos into a folder of the user's cache and return it. Existing photos are kept."""
    folder = _cache() / "sample-photos"
    make_folder(folder)
    for category in SAMPLE_CATEGORIES:
        for number in range(SAMPLES_PER_CATEGORY):
            file = folder / f"{category}-{number:02}.png"
            if not file.exists():
                image = draw_object(category, "photo", seed=1, index=number, image_size=SAMPLE_SIDE)
                write_whole(file, image.save)
    return folder


def _name(place: str) -> str:
    return Path(place).name or place


def _cache() -> Path:
    place = user_cache("name a place with --gallery") / "caan-hf"
    require_writable(place, "--gallery")
    return place
