"""Photos of a gallery: their rows as objects, and their files as images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pyarrow as pa
from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.errors import CaanError
from caan_hf.utils.files import read_bytes
from caan_hf.utils.prefetch import map_ahead

from .lance_table import GalleryError
from .photo import decode_photo, open_thumbnail
from .results import GalleryPhoto
from .schema import KEY, LOCAL, GalleryInfo, from_local, to_local
from .sources import is_missing_file
from .table import PhotoTable

COLUMNS = (KEY, "width", "height", "thumbnail", "sha256")
Photo = TypeVar("Photo", bound=GalleryPhoto)


def photo_columns(info: GalleryInfo) -> list[str]:
    """Columns that [`photo_fields`] needs."""
    return [*COLUMNS, LOCAL] if info.local else list(COLUMNS)


def photo_fields(rows: pa.Table, info: GalleryInfo) -> list[dict[str, Any]]:
    """Fields of a `GalleryPhoto` for each row."""
    photos = rows.select(COLUMNS).to_pylist()
    if info.local:
        assert info.identity.local_shape is not None
        for photo, local in zip(photos, from_local(rows[LOCAL], info.identity.local_shape), strict=True):
            photo["local_embeds"] = local
    return photos


def photos_where(table: PhotoTable, column: str, value: str) -> list[GalleryPhoto]:
    """The photos with a value in a column."""
    rows = table.rows_where(column, [value], photo_columns(table.info))
    return [GalleryPhoto(**fields) for fields in photo_fields(rows, table.info)]


def look_up(table: PhotoTable, photo: GalleryPhoto | str) -> GalleryPhoto:
    """A photo by its path; a photo that was read before is returned as it is.

    Raises:
        CaanError: The gallery has no such photo.
    """
    if isinstance(photo, GalleryPhoto):
        return photo
    found = photos_where(table, KEY, photo)
    if not found:
        raise GalleryError(photo, "this photo is not in the gallery")
    return found[0]


def lost_photos(table: PhotoTable, photos: Sequence[GalleryPhoto]) -> set[str]:
    """Paths of the photos whose files no longer exist and of which the gallery holds no copy."""
    missing = [photo.path for photo in photos if is_missing_file(photo.path)]
    if not missing:
        return set()
    column = "has_copy" if "has_copy" in table.schema.names else "image"  # in galleries of earlier versions
    rows = table.rows_where(KEY, missing, [KEY, column]).to_pylist()
    return set(missing) - {row[KEY] for row in rows if row[column]}


def with_local(table: PhotoTable, encoder: Encoder, photos: list[Photo]) -> list[Photo]:
    """The photos with their local embeddings. If these have to be computed, photos that cannot be read are left out.

    Raises:
        CaanError: None of the photos can be read, or the encoder has no local embeddings.
    """
    if all(photo.local_embeds is not None for photo in photos):
        return photos
    if not encoder.has_local:
        raise CaanError(f"{encoder.name}: has no local embeddings. Use a CAAN model.")

    def decode(photo: GalleryPhoto) -> Image.Image | GalleryError:
        try:
            return decode_stored(table, photo, encoder.identity.image_size)
        except GalleryError as error:
            return error

    images = list(map_ahead(decode, photos))
    readable = [row for row, image in enumerate(images) if isinstance(image, Image.Image)]
    if not readable:
        raise next(error for error in images if isinstance(error, GalleryError))
    local = encoder.encode([images[row] for row in readable], "photo").local_embeds
    assert local is not None
    local = from_local(to_local(local), local.shape[1:])  # rounded as if it were stored
    return [replace(photos[row], local_embeds=one) for row, one in zip(readable, local, strict=True)]


def decode_stored(table: PhotoTable, photo: GalleryPhoto, side: int) -> Image.Image:
    """Decode the file of a photo, or else its copy in the gallery, or else its thumbnail; see `decode_photo`.

    Raises:
        CaanError: None of them can be read.
    """
    try:
        return decode_photo(read_bytes(photo.path), side).image
    except (OSError, ValueError) as error:
        image = _stored_copy(table, photo, side) or open_thumbnail(photo.thumbnail)
        if image is None:
            problem = f"this photo cannot be read any more ({getattr(error, 'strerror', None) or error})"
            raise GalleryError(photo.path, problem, "Run `caan index` again.") from error
        return image


def _stored_copy(table: PhotoTable, photo: GalleryPhoto, side: int) -> Image.Image | None:
    """The copy of a photo in the gallery; None if there is none or it is damaged."""
    copy = table.rows_where(KEY, [photo.path], ["image"])["image"].to_pylist()
    try:
        return decode_photo(copy[0], side).image if copy and copy[0] else None
    except ValueError:
        return None
