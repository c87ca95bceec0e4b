"""A gallery as static files: embeddings, names and small photos."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.photo import open_thumbnail
from caan_hf.gallery.results import shown_name
from caan_hf.gallery.schema import KEY, LOCAL, from_vectors
from caan_hf.gallery.search_vectors import SearchVectors
from caan_hf.utils.prefetch import map_ahead

MAX_PHOTOS = 100_000
"""A browser holds the embeddings of all photos in memory, and compares a drawing with each."""
PHOTOS_PER_FOLDER = 1_000
JPEG_QUALITY = 80
NO_PHOTO = "#d0d0d0"
ROWS = 256
"""Photos that are read at a time."""


@dataclass(frozen=True, eq=False)
class WebGallery:
    """The photos of a gallery in the order of the page.

    Attributes:
        gallery: The gallery.
        paths: Path of each photo.
        vectors: Vectors (N, D), float32, that `Gallery.search` compares with a query; smoothed in a smoothed gallery.
        lowered: Amounts (N,), float32, by which the correction of hubs lowers the scores; None without the correction.
    """

    gallery: Gallery
    paths: list[str]
    vectors: Array
    lowered: Array | None

    @classmethod
    def open(cls, uri: str) -> "WebGallery":
        """Read the vectors of a gallery.

        Raises:
            CaanError: There is no gallery, or it is empty, too large or damaged.
        """
        gallery = Gallery.open(uri)
        if not len(gallery):
            raise CaanError(f"{uri}: the gallery is empty. Add photos with `caan index`.")
        if len(gallery) > MAX_PHOTOS:
            raise CaanError(
                f"{uri}: holds {len(gallery):,} photos, but a page holds at most {MAX_PHOTOS:,}. Index fewer photos, "
                "or serve the gallery with `caan-demo`."
            )
        searched = SearchVectors.of(gallery.table) or gallery.table
        rows = searched.columns([KEY, searched.vectors])
        values, width = from_vectors(rows[searched.vectors]), gallery.info.identity.global_dim
        if not np.isfinite(values).all():
            raise CaanError(f"{uri}: its embeddings hold NaN or infinity. {searched.remedy}")
        lowered = values[:, width] if values.shape[1] > width and values[:, width].any() else None
        return cls(gallery, rows[KEY].to_pylist(), np.ascontiguousarray(values[:, :width]), lowered)

    @property
    def local_bytes(self) -> int:
        """Size of the local embeddings; 0 if the gallery has none."""
        info = self.gallery.info
        shape = info.identity.local_shape if info.local else None
        return len(self.paths) * shape[0] * shape[1] if shape else 0

    def write(self, folder: Path, side: int, *, local: bool, report: Callable[[str], object]) -> int:
        """Write the files of the gallery to `gallery/` and `photos/`.

        Args:
            folder: The page's folder.
            side: Longer side of the photos in pixels; 0 for none.
            local: Write the local embeddings.
            report: Called before each batch with the number of photos that are written.

        Returns:
            The number of photos that cannot be read, which are shown in grey.

        Raises:
            CaanError: The gallery is changed by another process, or cannot be read.
        """
        (folder / "gallery").mkdir()
        self.vectors.astype("<f2").tofile(folder / "gallery" / "global.bin")
        if self.lowered is not None:
            self.lowered.astype("<f4").tofile(folder / "gallery" / "lowered.bin")
        names = json.dumps([shown_name(path) for path in self.paths], ensure_ascii=False)
        (folder / "gallery" / "names.json").write_text(names, encoding="utf-8", errors="replace")
        unreadable = 0
        tokens = np.zeros((len(self.paths), self.local_bytes // len(self.paths)), np.int8) if local else None
        done = 0
        for numbers, rows in self._batches([LOCAL] if local else []):
            report(f"writing photos: {done:,} of {len(self.paths):,}")
            done += len(numbers)
            if tokens is not None:
                tokens[numbers] = from_vectors(rows[LOCAL])
            if side:
                items = zip(numbers, rows[KEY].to_pylist(), rows["thumbnail"].to_pylist(), strict=True)
                for number, jpeg in map_ahead(lambda item: (item[0], self._jpeg(*item[1:], side)), items):
                    unreadable += jpeg is None
                    _write_photo(folder, number, jpeg, side)
        if tokens is not None:
            tokens.tofile(folder / "gallery" / "local.bin")
        return unreadable

    def _batches(self, columns: list[str]) -> Iterator[tuple[list[int], pa.RecordBatch]]:
        """The rows of all photos, with their numbers on the page."""
        number_of = {path: number for number, path in enumerate(self.paths)}
        for rows in self.gallery.table.batches([KEY, "thumbnail", *columns], ROWS):
            numbers = [number_of.pop(path, -1) for path in rows[KEY].to_pylist()]
            if -1 in numbers:
                break
            yield numbers, rows
        if number_of:
            raise CaanError(f"{self.gallery.table.uri}: is being changed by another process. Run the command again.")

    def _jpeg(self, path: str, thumbnail: bytes | None, side: int) -> Image.Image | None:
        """A photo with a longer side of at most `side`: the stored thumbnail if it is large enough."""
        image = open_thumbnail(thumbnail)
        if image is None or max(image.size) < side:
            with suppress(CaanError):  # its file is gone, and the gallery has no copy
                image = self.gallery.photo(path)
        if image is not None:
            image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return image


def _write_photo(folder: Path, number: int, image: Image.Image | None, side: int) -> None:
    file = folder / "photos" / f"{number // PHOTOS_PER_FOLDER:03}" / f"{number}.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (side, side), NO_PHOTO) if image is None else image
    # Only the pixels: a JPEG that Pillow opened keeps the comments of its photo.
    Image.frombytes("RGB", image.size, image.tobytes()).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
