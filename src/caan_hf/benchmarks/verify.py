"""Decodes every image once, several at a time, to find the files that are not images."""

import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from caan_hf.images_caan import is_blank

from .items import Item

WORKERS = min(4, os.cpu_count() or 1)
# Items handed to the pool ahead of the one awaited: enough to keep it busy, few enough to keep memory flat.
WINDOW = 8 * WORKERS

MISSING = "file that does not exist"
EMPTY = "empty file"
NOT_AN_IMAGE = "not an image"
DAMAGED = "truncated or damaged image"
TOO_LARGE = "image with more pixels than the decompression limit"
BLANK = "blank sketch"
UNREADABLE = "file that cannot be read"


def verified(items: Iterable[Item]) -> Iterator[tuple[Item, str | None]]:
    """Decode each image file fully, exactly once, and give what is wrong with it, in the order of `items`.

    Drawn images and strokes are passed through: they were checked where they were made.

    Yields:
        The item and the reason why it cannot be used, None if it can.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="verify")
    # Set here and not in the workers, because the warning filters belong to the whole process.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        try:
            waiting = deque((item, pool.submit(reason_against, item)) for item in islice(items, WINDOW))
            while waiting:
                item, reason = waiting.popleft()
                yield item, reason.result()
                waiting.extend((item, pool.submit(reason_against, item)) for item in islice(items, 1))
        finally:
            pool.shutdown(cancel_futures=True)


# The first entry that an exception is an instance of gives the reason.
FAULTS = (
    (UnidentifiedImageError, NOT_AN_IMAGE),
    (Image.DecompressionBombError, TOO_LARGE),
    (FileNotFoundError, MISSING),
    ((PermissionError, IsADirectoryError), UNREADABLE),
    (Exception, DAMAGED),
)


def reason_against(item: Item) -> str | None:
    """Why the item cannot be used, or None. Pillow's decompression limit stays on and counts as a reason."""
    if not item.is_image_file:
        return None
    try:
        return _reason_against_image(Path(item.file), item.modality)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        return next(reason for kind, reason in FAULTS if isinstance(error, kind))


def _reason_against_image(path: Path, modality: str) -> str | None:
    if path.stat().st_size == 0:
        return EMPTY
    with Image.open(path) as image:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            return TOO_LARGE
        image.load()
        return BLANK if modality == "sketch" and is_blank(image) else None
