"""Sketches of a benchmark that are cleaned once and cached, so that an epoch only augments them."""

import hashlib
import warnings
from functools import partial
from io import BytesIO
from typing import Any

import datasets
import numpy as np
import PIL
from PIL import Image

from caan_hf.encoding.dataset_pictures import DatasetPictures, picture_of, unreadable
from caan_hf.encoding.identity import hash_of_json
from caan_hf.images_caan import PICTURE_VERSION
from caan_hf.processing_caan import CaanProcessor

PNG = datasets.Features({"png": datasets.Value("binary")})


def clean_once(
    sketches: datasets.Dataset, processor: CaanProcessor, *, workers: int = 0, progress: bool = False
) -> datasets.Dataset:
    """Clean sketches and cache them beside the data of the benchmark, or open those that are cached.

    The file, some 4 kB per sketch, is memory-mapped. It is found by the content of the images, the margin and the
    versions of what cleans them, and it may be deleted at any time. A benchmark that cannot be written, or that is only
    in memory, keeps its clean sketches in memory.

    Args:
        sketches: Rows with `image` and `source`.
        processor: Cleans the sketches.
        workers: Number of processes; 0 cleans in this one.
        progress: Show a progress bar.

    Returns:
        Rows with `png`: the clean sketches in the order of the rows as lossless 8-bit PNG files.

    Raises:
        CaanError: A sketch cannot be read.
    """
    rows = sketches.select_columns(["image", "source"]).cast_column("image", datasets.Image(decode=False))
    document = {
        "images": hashlib.sha256(b"".join(DatasetPictures(sketches).hashes(progress=False))).hexdigest(),
        "margin": processor.sketch_margin,
        "versions": [PICTURE_VERSION, PIL.__version__, np.__version__],
    }
    clean = partial(
        rows.map,
        partial(_as_png, processor),
        remove_columns=rows.column_names,
        features=PNG,
        new_fingerprint=hash_of_json(document)[:16],
        num_proc=min(workers, len(rows)) or None,
        desc="cleaning sketches",
    )
    was_disabled = datasets.are_progress_bars_disabled()
    if not progress:
        datasets.disable_progress_bars()
    try:
        return clean()
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(f"{error.filename or 'the benchmark'}: {reason}. Clean sketches are kept in memory", stacklevel=2)
        return clean(keep_in_memory=True)
    finally:
        if not was_disabled:
            datasets.enable_progress_bars()


def open_clean(row: dict[str, Any]) -> Image.Image:
    """The clean sketch of a row that [`clean_once`] returned, in grey levels."""
    return Image.open(BytesIO(row["png"]))


def clean_grey(processor: CaanProcessor, row: dict[str, Any]) -> Image.Image:
    """Clean the sketch of a row, which is dark lines on white, to grey levels.

    Raises:
        CaanError: It cannot be read; the message names it.
    """
    picture = picture_of(row)
    try:
        return processor.clean_sketch(picture.source, picture.name).convert("L")
    except ValueError as error:
        raise unreadable(error) from error


def _as_png(processor: CaanProcessor, row: dict[str, Any]) -> dict[str, bytes]:
    stream = BytesIO()
    clean_grey(processor, row).save(stream, "PNG", compress_level=1)
    return {"png": stream.getvalue()}
