"""Triplets to the tensors that `CaanModel.forward` takes."""

import copy
from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from .triplets import Triplet


class TripletCollator:
    """Stacks B triplets: photos+ first, then photos-; everything else in the photos' order.

    Args:
        processor: a `CaanProcessor`.
        sketch_size: height and width of the sketches in pixels; the processor's own by default.
        photo_size: of the photos, likewise.
        use_text: tokenise the sentences.
        text_hidden_states: sentence -> (L, T) tokens of a frozen text tower, in place of tokenising.
        photo_targets: (photos of the split, D), targets for `lambda_dis`.
    """

    def __init__(
        self,
        processor,
        *,
        sketch_size: int | None = None,
        photo_size: int | None = None,
        use_text: bool = True,
        text_hidden_states: dict[str, torch.Tensor] | None = None,
        photo_targets: torch.Tensor | None = None,
    ):
        self.processor = processor
        self.sketch_processor = _at_size(processor, sketch_size)
        self.photo_processor = _at_size(processor, photo_size)
        self.use_text = use_text
        self.text_hidden_states = text_hidden_states
        self.photo_targets = photo_targets

    def __call__(self, triplets: Sequence[Triplet]) -> dict[str, torch.Tensor]:
        """A batch: see `CaanModel.forward` for names and shapes."""
        photos = _by_role([triplet.photos for triplet in triplets])
        batch = {
            "sketch_pixel_values": self.sketch_processor.to_pixel_values([triplet.sketch for triplet in triplets]),
            "photo_pixel_values": self.photo_processor.to_pixel_values(photos),
            "category_ids": torch.tensor(_by_role([triplet.category_ids for triplet in triplets])),
        }
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


def _at_size(processor, size: int | None):
    return processor if size is None else copy.deepcopy(processor).at_size(size)


def _by_role(samples: list[tuple]) -> list:
    """[(a+, a-), (b+, b-)] to [a+, b+, a-, b-]."""
    return [value for role in zip(*samples, strict=True) for value in role]
