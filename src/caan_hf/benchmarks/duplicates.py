"""Finds images that occur in several data sets.

Two images are equal if all their pixels are, whatever the file format. Photos are also compared approximately, to find
copies that were resized or encoded again:

1. Candidates have similar gradients: a dHash of 16 x 16 bits (whether each of 16 x 17 grey cells is darker than the
   next one in its row) that differs in at most `MAX_BITS` bits.
2. Candidates are copies if their thumbnails of 16 x 16 colours differ by a root mean square of at most `MAX_DIFFERENCE`
   times the standard deviation of their pixels. Products before a white background often have similar gradients and
   fail here.

Both limits are conservative. Among 21,600 photos of ten collections, all 30 pairs up to `MAX_DIFFERENCE` were copies,
and about half of the pairs up to twice as much showed another object. Cropped and mirrored copies are not found.
Sketches are only compared exactly, because simple drawings resemble each other.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from caan_hf.images_caan import flatten

from .strokes import Strokes

SIDE = 16
MAX_BITS = 32  # of SIDE * SIDE
MAX_DIFFERENCE = 0.1
PAIRS_AT_ONCE = 2**22  # bounds the memory of a comparison to some 100 MB


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The features by which two images are compared.

    Attributes:
        pixels: SHA-256 of all pixels.
        gradients: dHash of a photo, 32 bytes; empty for a sketch.
        thumbnail: SIDE x SIDE RGB pixels of a photo; empty for a sketch.
    """

    pixels: bytes
    gradients: bytes = b""
    thumbnail: bytes = b""


def image_fingerprint(image: Image.Image, *, is_photo: bool) -> Fingerprint:
    """The fingerprint of a decoded image of any mode."""
    colours = flatten(image)
    pixels = hashlib.sha256(f"{colours.size}".encode() + colours.tobytes()).digest()
    if not is_photo:
        return Fingerprint(pixels)
    grey = np.asarray(colours.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX))
    gradients = np.packbits(grey[:, :-1] < grey[:, 1:]).tobytes()
    return Fingerprint(pixels, gradients, colours.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes())


def stroke_fingerprint(strokes: Strokes) -> Fingerprint:
    """The fingerprint of a stroke drawing; only equal strokes are equal."""
    return Fingerprint(hashlib.sha256(json.dumps(strokes).encode()).digest())


def find_copies(
    prints: Sequence[Fingerprint], first_added: int, advance: Callable[[int], object] = lambda steps: None
) -> dict[int, tuple[int, bool]]:
    """Find the images that repeat an earlier one.

    Args:
        prints: Fingerprints, those of the benchmark itself first.
        first_added: Position of the first image that may be a copy; earlier ones are only compared with.
        advance: Called with the number of images that were compared since the last call.

    Returns:
        For the position of each copy, the position of the image that it repeats and whether all pixels are equal.
    """
    first: dict[tuple[bool, bytes], int] = {}
    copies: dict[int, tuple[int, bool]] = {}
    for number, one in enumerate(prints):
        earlier = first.setdefault((bool(one.gradients), one.pixels), number)
        if earlier != number and number >= first_added:
            copies[number] = earlier, True
    photos = [number for number, one in enumerate(prints) if one.gradients and number not in copies]
    _find_similar(prints, photos, first_added, copies, advance)
    return copies


def _find_similar(
    prints: Sequence[Fingerprint],
    photos: list[int],
    first_added: int,
    copies: dict[int, tuple[int, bool]],
    advance: Callable[[int], object],
) -> None:
    """Add to `copies` the photos that resemble an earlier photo, unless that is a copy itself."""
    gradients = np.frombuffer(b"".join(prints[number].gradients for number in photos), np.uint64).reshape(-1, 4)
    start = int(np.searchsorted(photos, first_added))
    advance(start)
    while start < len(photos):
        end = min(len(photos), start + max(1, PAIRS_AT_ONCE // len(photos)))
        differing = np.zeros((end - start, end), np.uint16)
        for word in range(gradients.shape[1]):
            differing += np.bitwise_count(gradients[start:end, None, word] ^ gradients[None, :end, word])
        rows, others = np.nonzero(differing <= MAX_BITS)
        is_earlier = others < rows + start
        for row, other in zip((rows[is_earlier] + start).tolist(), others[is_earlier].tolist(), strict=True):
            number, earlier = photos[row], photos[other]
            if number not in copies and earlier not in copies and _is_copy(prints[number], prints[earlier]):
                copies[number] = earlier, False
        advance(end - start)
        start = end


def _is_copy(one: Fingerprint, other: Fingerprint) -> bool:
    first, second = (np.frombuffer(each.thumbnail, np.uint8).astype(np.float32).reshape(-1, 3) for each in (one, other))
    spread = np.sqrt(min(first.var(axis=0).mean(), second.var(axis=0).mean()))  # 0 for a plain picture of any colour
    return bool(spread and np.sqrt(np.mean((first - second) ** 2)) <= MAX_DIFFERENCE * spread)
