"""Features that are computed outside of training steps."""

from collections.abc import Mapping, Sequence

import datasets
import numpy as np
import torch

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures, unreadable
from caan_hf.encoding.features import PLURAL, Modality
from caan_hf.encoding.identity import Precision
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.utils.progress import progress_bar


def encode_rows(
    model: CaanModel,
    processor: CaanProcessor,
    rows: datasets.Dataset,
    modality: Modality,
    *,
    batch_size: int = 64,
    dtype: Precision = "float32",
    progress: bool = False,
    title: str | None = None,
) -> torch.Tensor:
    """Global embeddings of the images of a dataset.

    Args:
        model: The model; its mode (training or evaluation) is kept.
        processor: Its processor.
        rows: Rows with `image` and `source`, all of one modality.
        modality: "sketch" or "photo".
        batch_size: Batch size.
        dtype: "bfloat16" or "float16" for automatic mixed precision.
        progress: Show a progress bar.
        title: What the progress bar says.

    Returns:
        (rows, D) on the CPU, L2-normalised.

    Raises:
        CaanError: An image cannot be read, or an embedding is not finite.
    """
    encoder = CheckpointEncoder(model, processor, dtype=dtype)
    return encode_with(encoder, rows, modality, batch_size=batch_size, progress=progress, title=title)


def encode_with(
    encoder: CheckpointEncoder,
    rows: datasets.Dataset,
    modality: Modality,
    *,
    batch_size: int = 64,
    progress: bool = False,
    title: str | None = None,
) -> torch.Tensor:
    """Global embeddings (rows, D) of the images of a dataset; see [`encode_rows`]."""
    advance_generator()
    batches = encoder.stream(DatasetPictures(rows), modality, local=False, batch_size=batch_size)
    parts = []
    try:
        with progress_bar(title or f"encoding {PLURAL[modality]}", len(rows), shown=progress, unit="images") as advance:
            for batch in batches:
                parts.append(batch.features.global_embeds)
                advance(len(batch.sources))
    except ValueError as error:
        raise unreadable(error) from error
    return torch.from_numpy(np.concatenate(parts))


def advance_generator() -> None:
    """Advance the generator like the DataLoader that recorded runs encoded with.

    Without this, a recipe that validates during training would draw other text dropout and no longer reproduce its
    recorded weights.
    """
    torch.empty((), dtype=torch.int64).random_()


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
        tokens = {name: tensor.to(model.device) for name, tensor in processor.tokenize(batch).items()}
        hidden = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
        for sentence, row, mask in zip(batch, hidden, tokens["attention_mask"].bool(), strict=True):
            states[sentence] = row[mask].to("cpu", torch.float16, copy=True)
    model.train(was_training)
    return states


def sentence_table(
    states: Mapping[str, torch.Tensor], sentences_of: Mapping[int, Sequence[str]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences of all categories as one tensor, for `CaanTextContrast.set_sentences`.

    Args:
        states: Sentence -> tokens, as [`encode_sentences`] returns them.
        sentences_of: Category id -> its sentences.

    Returns:
        Mean tokens (C, S, T) in float32, and the mask (C, S) of the sentences; C is one more than the largest id.
    """
    categories, most = max(sentences_of) + 1, max(map(len, sentences_of.values()))
    table = torch.zeros(categories, most, next(iter(states.values())).shape[1])
    is_sentence = torch.zeros(categories, most, dtype=torch.bool)
    for category, sentences in sentences_of.items():
        for place, sentence in enumerate(sentences):
            table[category, place] = states[sentence].float().mean(dim=0)
            is_sentence[category, place] = True
    return table, is_sentence
