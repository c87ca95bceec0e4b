"""Batches of triplets."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch.nn.utils.rnn import pad_sequence

from caan_hf.processing_caan import CaanProcessor

from .triplets import Triplet

T = TypeVar("T")


class TripletCollator:
    """Stacks triplets into a batch: first the photos of the sketches' categories, then the photos of other categories.

    Args:
        processor: Turns images into pixel values and sentences into tokens.
        sketch_size: Height and width of sketches in pixels; None uses the processor's size.
        photo_size: Height and width of photos in pixels; None uses the processor's size.
        use_text: Include the sentences.
        text_hidden_states: Sentence -> (L, T) tokens of a frozen text tower, used instead of tokenising.
        photo_targets: (photos of the split, D) target features for `lambda_dis`.
    """

    def __init__(
        self,
        processor: CaanProcessor,
        *,
        sketch_size: int | None = None,
        photo_size: int | None = None,
        use_text: bool = True,
        text_hidden_states: dict[str, torch.Tensor] | None = None,
        photo_targets: torch.Tensor | None = None,
    ):
        self.processor = processor
        self.sketch_processor = at_size(processor, sketch_size)
        self.photo_processor = at_size(processor, photo_size)
        self.use_text = use_text
        self.text_hidden_states = text_hidden_states
        self.photo_targets = photo_targets

    def __call__(self, triplets: Sequence[Triplet]) -> dict[str, torch.Tensor]:
        """Make a batch; see `CaanModel.forward` for names and shapes."""
        photos = _by_role([triplet.photos for triplet in triplets])
        batch = {
            "sketch_pixel_values": self.sketch_processor.to_pixel_values([triplet.sketch for triplet in triplets]),
            "photo_pixel_values": self.photo_processor.to_pixel_values(photos),
            "category_ids": torch.tensor(_by_role([triplet.category_ids for triplet in triplets])),
        }
        instances = [triplet.instance_ids for triplet in triplets if triplet.instance_ids is not None]
        if instances:
            batch["instance_ids"] = torch.tensor(_by_role(instances))  # of the sketches, then of the photos
        if self.use_text:
            batch.update(self._text(_by_role([triplet.sentences for triplet in triplets])))
        if self.photo_targets is not None:
            batch["photo_targets"] = self.photo_targets[_by_role([triplet.photo_rows for triplet in triplets])]
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
