"""The images of a `datasets` split as pictures for an encoder, read one at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from caan_hf.errors import CaanError
from caan_hf.utils.files import read_bytes
from caan_hf.utils.prefetch import map_ahead
from caan_hf.utils.progress import progress_bar

from .encoder import Picture

if TYPE_CHECKING:
    import datasets


class DatasetPictures(Sequence[Picture]):
    """Rows with the columns `image` and `source`, as pictures that are neither decoded nor held in memory.

    Args:
        rows: A split, or a selection of its rows.
    """

    def __init__(self, rows: "datasets.Dataset"):
        import datasets  # noqa: PLC0415 - heavy

        names = ["image", "source"] if "source" in rows.column_names else ["image"]
        self._rows = rows.select_columns(names).cast_column("image", datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Picture: ...
    @overload
    def __getitem__(self, row: slice) -> list[Picture]: ...
    def __getitem__(self, row: int | slice) -> Picture | list[Picture]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        return picture_of(self._rows[row])

    def __iter__(self) -> Iterator[Picture]:
        return (picture_of(row) for row in self._rows)

    def hashes(self, *, progress: bool = True) -> list[bytes]:
        """SHA-256 of the content of each image file; nothing is decoded.

        Args:
            progress: Show a progress bar on a terminal.

        Raises:
            CaanError: A file to which the benchmark refers cannot be read.
        """
        digests = []
        with progress_bar("reading images", len(self), shown=progress) as advance:
            for digest in map_ahead(_content_hash, self, ahead=64):
                digests.append(digest)
                advance()
        return digests


def picture_of(row: dict[str, Any]) -> Picture:
    """The picture of a row, read with `datasets.Image(decode=False)`.

    Raises:
        CaanError: The row has no image.
    """
    image, name = row["image"], row.get("source")
    if image is None or (image["bytes"] is None and image["path"] is None):
        raise CaanError(f"{name or 'a row'}: the benchmark has a row without an image. Prepare it again.")
    source = image["bytes"] if image["bytes"] is not None else image["path"]
    return Picture(source, name or image["path"] or "an image without a source")


def unreadable(error: ValueError) -> CaanError:
    """The error for an image of a benchmark that cannot be encoded, which adds a remedy if `error` has none."""
    message = str(error)
    return CaanError(
        message if message.endswith(".") else f"{message}. Replace the file and prepare the benchmark again."
    )


def _content_hash(picture: Picture) -> bytes:
    try:
        content = picture.source if isinstance(picture.source, bytes) else read_bytes(picture.source)
    except OSError as error:
        raise CaanError(
            f"{picture.source}: the benchmark refers to this image, which cannot be read ({error.strerror or error}). "
            "Restore it, or prepare the benchmark again."
        ) from error
    return hashlib.sha256(content).digest()
