"""What stays the same throughout training is computed once before it, and what is measured on training images after."""

import copy

import torch

from caan_hf.evaluation.embedding import embed_images
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .triplets import TripletDataset

CENTER_IMAGES = 2000


@torch.inference_mode()
def encode_sentences(
    model: CaanModel, processor: CaanProcessor, sentences: list[str], *, batch_size: int = 64
) -> dict[str, torch.Tensor]:
    """Tokens of a frozen text tower: sentence -> (L, T) float16 on the CPU, without padding."""
    was_training = model.training
    model.eval()
    states = {}
    for start in range(0, len(sentences), batch_size):
        batch = sentences[start : start + batch_size]
        tokens = processor.tokenize(batch)
        hidden = model.encode_text(**{name: tensor.to(model.device) for name, tensor in tokens.items()})
        for sentence, row, mask in zip(batch, hidden, tokens["attention_mask"].bool(), strict=True):
            states[sentence] = row[mask.to(row.device)].to("cpu", torch.float16, copy=True)
    model.train(was_training)
    return states


def measure_centers(
    model: CaanModel,
    processor: CaanProcessor,
    triplets: TripletDataset,
    *,
    batch_size: int = 64,
    dtype: torch.dtype | None = None,
) -> None:
    """Sets the means that `center_features` subtracts, by clean training images at the resolution of use.

    Args:
        model: trained; changed in place.
        processor: its processor.
        triplets: the training triplets; of a large split, `CENTER_IMAGES` images a modality are encoded.
        batch_size: images an encoder call.
        dtype: `torch.bfloat16` or `torch.float16` to encode in automatic mixed precision.
    """
    for center, images, modality in (
        (model.sketch_center, triplets.sketches, "sketch"),
        (model.photo_center, triplets.photos, "photo"),
    ):
        center.mean.zero_()
        rows = range(0, len(images), -(-len(images) // CENTER_IMAGES))
        features = embed_images(
            model, processor, images.select(rows), modality, batch_size=batch_size, dtype=dtype, progress=False
        ).global_embeds
        center.mean.copy_(features.mean(dim=0))


def encode_photo_targets(
    model: CaanModel,
    processor: CaanProcessor,
    triplets: TripletDataset,
    *,
    image_size: int | None = None,
    batch_size: int = 64,
    dtype: torch.dtype | None = None,
    progress: bool = True,
) -> torch.Tensor:
    """Global features (photos of the split, D) of the untrained model, the targets of `lambda_dis`.

    Args:
        model: before training, with pretrained towers.
        processor: its processor.
        triplets: the training triplets, whose photos are encoded.
        image_size: resolution in pixels at which the pretrained tower looks; the model's own by default. A tower that
            trains at a low resolution can learn what it saw at a high one.
        batch_size: photos an encoder call.
        dtype: `torch.bfloat16` or `torch.float16` to encode in automatic mixed precision.
        progress: show a progress bar.
    """
    if image_size is not None:
        processor = copy.deepcopy(processor).at_size(image_size)
    return embed_images(
        model, processor, triplets.photos, "photo", batch_size=batch_size, dtype=dtype, progress=progress
    ).global_embeds
