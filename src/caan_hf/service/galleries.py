"""Opens the galleries of a server under unique names. Each model is loaded once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.identity import DType
from caan_hf.gallery import Gallery

from .batching import BatchingEncoder
from .searcher import Searcher


def open_galleries(
    places: Sequence[str], model: str | None = None, *, device: str | None = None, dtype: DType = "auto"
) -> dict[str, Gallery]:
    """Open galleries under the names of their folders, and load their models.

    Args:
        places: Folders or URLs of galleries.
        model: Checkpoint or ONNX export to use in place of the models that the galleries were indexed with.
        device: See `load_encoder`.
        dtype: See `load_encoder`.

    Raises:
        CaanError: A gallery or model cannot be opened.
    """
    opened = [Gallery.open(place, model=model, device=device, dtype=dtype) for place in places]
    loaded: dict[str, Encoder] = {}
    for gallery in opened:
        name = model or gallery.info.model
        gallery.model = loaded.get(name, gallery.model)
        loaded[name] = gallery.encoder
    return dict(zip(unique_names(places), opened, strict=True))


def unique_names(places: Sequence[str]) -> list[str]:
    """The last part of each place, with a number where it is not unique."""
    names: list[str] = []
    for place in places:
        name = Path(place.rstrip("/")).name or place
        number = 1
        while (unique := name if number == 1 else f"{name} ({number})") in names:
            number += 1
        names.append(unique)
    return names


def build_searchers(galleries: Mapping[str, Gallery]) -> dict[str, Searcher]:
    """Searchers of galleries by name. Galleries with the same encoder share its batches."""
    batching: dict[int, BatchingEncoder] = {}
    for gallery in galleries.values():
        batching.setdefault(id(gallery.encoder), BatchingEncoder(gallery.encoder))
    return {name: Searcher(gallery, batching[id(gallery.encoder)]) for name, gallery in galleries.items()}
