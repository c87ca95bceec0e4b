"""Features that are computed once: text tokens and photo targets before training, feature means after it."""

import copy

import torch

from caan_hf.evaluation.embedding import embed_images
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .triplets import TripletDataset

MAX_CENTER_IMAGES = 2000


@torch.inference_mode()
def encode_sentences(
    model: CaanModel, processor: CaanProcessor, sentences: list[str], *, batch_size: int = 64
) -> dict[str, torch.Tensor]:
    """Encode sentences with a frozen text tower.

    Returns:
        Sentence -> (L, T) float16 tokens on the CPU, without padding.
    """
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
    """Measure the means that `center_features` subtracts, on clean training images at the model's resolution.

    Args:
        model: The trained model; its means are changed in place.
        processor: Its processor.
        triplets: The training triplets. At most `MAX_CENTER_IMAGES` images per modality are encoded.
        batch_size: Batch size.
        dtype: `torch.bfloat16` or `torch.float16` for automatic mixed precision.
    """
    for center, images, modality in (
        (model.sketch_center, triplets.sketches, "sketch"),
        (model.photo_center, triplets.photos, "photo"),
    ):
        center.mean.zero_()
        rows = range(0, len(images), -(-len(images) // MAX_CENTER_IMAGES))
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
    """Encode all training photos with the untrained model, as targets of `lambda_dis`.

    Args:
        model: The model before training, with pretrained towers.
        processor: Its processor.
        triplets: The training triplets.
        image_size: Resolution of the photos in pixels; None uses the model's. A tower that trains at a low resolution
            can learn from the features of a high one.
        batch_size: Batch size.
        dtype: `torch.bfloat16` or `torch.float16` for automatic mixed precision.
        progress: Show a progress bar.

    Returns:
        (photos of the split, D) global features.
    """
    if image_size is not None:
        processor = copy.deepcopy(processor).at_size(image_size)
    return embed_images(
        model, processor, triplets.photos, "photo", batch_size=batch_size, dtype=dtype, progress=progress
    ).global_embeds
