"""Encode each image of a split once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import datasets
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from caan_hf.errors import CaanError

Modality = Literal["sketch", "photo"]
PLURAL = {"sketch": "sketches", "photo": "photos"}


@dataclass(frozen=True)
class Embeddings:
    """What the model says about N images of one modality, on the CPU.

    Attributes:
        global_embeds: (N, D) float32, L2-normalised.
        local_embeds: (N, M, R) float16, half the memory of what is the largest array of an evaluation; or None.
    """

    global_embeds: Tensor
    local_embeds: Tensor | None = None

    @classmethod
    def joined(cls, batches: "list[Embeddings]") -> "Embeddings":
        """One of several, in memory."""
        local = None if batches[0].local_embeds is None else torch.cat([batch.local_embeds for batch in batches])
        return cls(torch.cat([batch.global_embeds for batch in batches]), local)


def embed_images(
    model: torch.nn.Module, processor, images: datasets.Dataset, modality: Modality, **options
) -> Embeddings:
    """Encode images in the order of the dataset; options and errors are those of `encode_batches`."""
    return Embeddings.joined(list(encode_batches(model, processor, images, modality, **options)))


def encode_batches(
    model: torch.nn.Module,
    processor,
    images: datasets.Dataset,
    modality: Modality,
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    local: bool = False,
    num_workers: int = 0,
    progress: bool = True,
) -> Iterator[Embeddings]:
    """Encode images in the order of the dataset, a batch at a time: what is done can be put away before the rest is.

    Args:
        model: a `CaanModel`; it is moved to `device`, and left in the mode (training or not) that it came in.
        processor: its `CaanProcessor`.
        images: rows with `image` (a datasets `Image`) and `source` (named when the image cannot be used).
        modality: which encoder to use; all rows are taken to be of it.
        batch_size: images an encoder call.
        device: where to compute; where the model is by default.
        dtype: `torch.bfloat16` or `torch.float16` to compute in automatic mixed precision.
        local: keep the local embeddings too, which re-ranking needs.
        num_workers: processes that read and prepare images; 0 does it in this one.
        progress: show a progress bar on stderr where that is a terminal.

    Raises:
        CaanError: an image cannot be read or is refused by the processor, or the model's output is not finite.
    """
    device = torch.device(device) if device is not None else next(model.parameters()).device
    encode = model.get_sketch_features if modality == "sketch" else model.get_photo_features
    loader = DataLoader(
        images.cast_column("image", datasets.Image(decode=False)),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=_Collate(processor, modality),
        pin_memory=device.type == "cuda",
    )
    model.to(device)
    for batch in _progress(loader, f"encoding {PLURAL[modality]}", progress):
        if isinstance(batch, CaanError):
            raise batch
        with _inference(model, device, dtype):
            output = encode(**{name: values.to(device, non_blocking=True) for name, values in batch.items()})
        local_embeds = output.local_embeds.half().cpu() if local else None  # (B, M, R)
        yield _finite(Embeddings(output.global_embeds.float().cpu(), local_embeds), modality)  # (B, D)


class _Collate:
    """Rows to the processor's tensors, or to the error that names the row to blame.

    The error is returned, because a DataLoader's worker would wrap one that is raised in its own traceback.
    """

    def __init__(self, processor, modality: Modality):
        self.processor = processor
        self.argument = PLURAL[modality]
        self.decoder = datasets.Image()

    def __call__(self, rows: list[dict]) -> dict[str, Tensor] | CaanError:
        try:
            images = [self._decode(row) for row in rows]
            return self._process(images, rows)
        except CaanError as error:
            return error

    def _decode(self, row: dict) -> Image.Image:
        if row["image"] is None:
            raise CaanError(f"{row.get('source')}: the benchmark has a row without an image; prepare it again")
        try:
            image = self.decoder.decode_example(row["image"])
            image.filename = _source(row)  # what the processor calls it
            return image
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise CaanError(f"{_source(row)}: the image cannot be read ({error})") from error

    def _process(self, images: list[Image.Image], rows: list[dict]) -> dict[str, Tensor]:
        try:
            return dict(self.processor(**{self.argument: images}))
        except ValueError as error:
            if len(rows) == 1:
                source = _source(rows[0])
                raise CaanError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
        for image, row in zip(images, rows, strict=True):
            self._process([image], [row])
        raise CaanError(f"{_source(rows[0])}: the processor refuses this image's batch, but none of its images alone")


def _source(row: dict) -> str:
    return row.get("source") or row["image"].get("path") or "an image without a source"


@contextmanager
def _inference(model: torch.nn.Module, device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    was_training = model.training
    model.eval()
    mixed = dtype not in (None, torch.float32)
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype if mixed else None, enabled=mixed):
            yield
    finally:
        model.train(was_training)


def _progress(loader: DataLoader, description: str, shown: bool) -> Iterable[dict[str, Tensor] | CaanError]:
    console = Console(stderr=True)
    return track(loader, description, console=console, transient=True, disable=not (shown and console.is_terminal))


def _finite(embeddings: Embeddings, modality: Modality) -> Embeddings:
    for values in (embeddings.global_embeds, embeddings.local_embeds):
        if values is not None and not values.isfinite().all():
            raise CaanError(
                f"the model's {modality} embeddings hold NaN or infinity: training diverged, or the dtype is too narrow"
            )
    return embeddings
