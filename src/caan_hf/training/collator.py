"""Batches of triplets."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch.nn.utils.rnn import pad_sequence

from caan_hf.processing_caan import CaanProcessor

from .triplets import Triplet
from .unpaired import UnpairedImage

T = TypeVar("T")


class TripletCollator:
    """Stacks triplets into a batch: first the photos of the sketches' categories, then the photos of other categories.

    Unpaired images of the batch follow in tensors of their own.

    Args:
        processor: Turns images into pixel values and sentences into tokens.
        sketch_size: Height and width of sketches in pixels; None uses the processor's size.
        photo_size: Height and width of photos in pixels; None uses the processor's size.
        use_text: Include the sentences; by default if the processor has a tokenizer.
        text_hidden_states: Sentence -> (L, T) tokens of a frozen text tower, used instead of tokenising.
        photo_targets: (photos of the split, D) target features for `lambda_dis`.
    """

    def __init__(
        self,
        processor: CaanProcessor,
        *,
        sketch_size: int | None = None,
        photo_size: int | None = None,
        use_text: bool | None = None,
        text_hidden_states: dict[str, torch.Tensor] | None = None,
        photo_targets: torch.Tensor | None = None,
    ):
        self.processor = processor
        self.sketch_processor = at_size(processor, sketch_size)
        self.photo_processor = at_size(processor, photo_size)
        self.use_text = processor.tokenizer is not None if use_text is None else use_text
        self.text_hidden_states = text_hidden_states
        self.photo_targets = photo_targets

    def __call__(self, samples: Sequence[Triplet | UnpairedImage]) -> dict[str, torch.Tensor]:
        """Make a batch; see `CaanModel.forward` for names and shapes."""
        triplets = [sample for sample in samples if isinstance(sample, Triplet)]
        unpaired = [sample for sample in samples if isinstance(sample, UnpairedImage)]
        photos = _by_role([triplet.photos for triplet in triplets])
        batch = {
            "sketch_pixel_values": self.sketch_processor.to_pixel_values([triplet.sketch for triplet in triplets]),
            "photo_pixel_values": self.photo_processor.to_pixel_values(photos),
            "category_ids": torch.tensor(_by_role([triplet.category_ids for triplet in triplets])),
        }
        if unpaired:
            batch.update(self._unpaired(unpaired))
        instances = [triplet.instance_ids for triplet in triplets if triplet.instance_ids is not None]
        if instances:
            batch["instance_ids"] = torch.tensor(_by_role(instances))  # of the sketches, then of the photos
        if self.use_text:
            batch.update(self._text(_by_role([triplet.sentences for triplet in triplets])))
        if self.photo_targets is not None:
            rows = _by_role([triplet.photo_rows for triplet in triplets])
            rows += [image.row for image in unpaired if image.modality == "photo"]
            batch["photo_targets"] = self.photo_targets[rows]
        return batch

    def _unpaired(self, unpaired: list[UnpairedImage]) -> dict[str, torch.Tensor]:
        """Sketches come before photos in `unpaired`."""
        batch = {"unpaired_category_ids": torch.tensor([image.category_id for image in unpaired])}
        for modality, processor in (("sketch", self.sketch_processor), ("photo", self.photo_processor)):
            images = [image.image for image in unpaired if image.modality == modality]
            if images:
                batch[f"unpaired_{modality}_pixel_values"] = processor.to_pixel_values(images)
        return batch

    def _text(self, sentences: list[str]) -> dict[str, torch.Tensor]:
        if self.text_hidden_states is None:
            return self.processor.tokenize(sentences)
        states = [self.text_hidden_states[sentence] for sentence in sentences]
        masks = [torch.ones(len(state), dtype=torch.long) for state in states]
        return {
            "text_hidden_states": pad_sequence(states, batch_first=True),  # (N, L, T)
            "attention_mask": pad_sequence(masks, batch_first=True),  # (N, L)
        }


def at_size(processor: CaanProcessor, size: int | None) -> CaanProcessor:
    """A copy of the processor with another image size in pixels; the processor itself if it is None."""
    return processor if size is None else copy.deepcopy(processor).at_size(size)


def _by_role(samples: Sequence[tuple[T, ...]]) -> list[T]:
    """Reorder [(a+, a-), (b+, b-)] to [a+, b+, a-, b-]."""
    return [value for role in zip(*samples, strict=True) for value in role]
