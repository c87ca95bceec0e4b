"""Parts of a training batch."""


def without_text(batch: dict) -> dict:
    return {name: value for name, value in batch.items() if name not in ("input_ids", "attention_mask")}


def photos_plus(batch: dict) -> dict:
    """The batch without negative photos, as with `negatives="in_batch"`."""
    triplets = batch["sketch_pixel_values"].shape[0]
    return {name: value[:triplets] for name, value in batch.items()}
