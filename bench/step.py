"""Compare the time of a CAAN training step with forward and backward of the towers alone (see docs/results.md).

    python bench/step.py [--repeats 5] [--batch-size 16] [--unpaired]

Both run alternately in one process on the same tensors; compare the medians. The text tower is frozen. Its tokens are
computed once before training, as `caan train` does, so it is not part of a step. With --unpaired, half of the sketches
and photos are unpaired, and the losses include L_txt over 500 categories of 6 sentences each, and L_mod.
"""

import statistics
import time

import torch
from common import options_parser, run
from transformers import BertConfig, ViTConfig

from caan_hf import CaanConfig, CaanModel

TOWERS = {
    "ViT-Tiny/16, 128 px": ({"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}, 128, 3),
    "ViT-Tiny/16, 224 px": ({"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}, 224, 3),
    "ViT-B/16, 224 px": ({"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}, 224, 8),
}
TEXT_LENGTH, TEXT_WIDTH = 48, 384
CATEGORIES, SENTENCES = 500, 6


def build(tower: dict, image_size: int, heads: int, negatives: str, unpaired: bool = False) -> CaanModel:
    """CAAN with the sizes of recipes/paper.yaml, around these towers."""
    vision = ViTConfig(image_size=image_size, **tower)
    text = BertConfig(hidden_size=TEXT_WIDTH, num_hidden_layers=1, num_attention_heads=6, intermediate_size=64)
    config = CaanConfig(
        sketch_config=vision,
        photo_config=vision,
        text_config=text,
        image_size=image_size,
        alignment_num_heads=heads,
        local_grid=image_size // 32,
        negatives=negatives,
        text_dropout=0.5,
        lambda_txt=float(unpaired),
        text_negatives="all" if unpaired else "batch",
        lambda_mod=float(unpaired),
    )
    model = CaanModel(config).train()
    if model.text_contrast is not None:
        everything = torch.ones(CATEGORIES, SENTENCES, dtype=torch.bool)
        model.text_contrast.set_sentences(torch.randn(CATEGORIES, SENTENCES, TEXT_WIDTH), everything)
    return model


def random_batch(
    model: CaanModel, image_size: int, size: int, negatives: str, unpaired: bool = False
) -> dict[str, torch.Tensor]:
    """A batch of random images and text tokens on the device of the model.

    It has `size` triplets or, with unpaired images, half as many, and `size / 2` unpaired sketches and photos each.
    """
    more = size // 2 if unpaired else 0
    size -= more
    photos = size * (2 if negatives == "sampled" else 1)
    batch = {
        "sketch_pixel_values": torch.randn(size, 3, image_size, image_size),
        "photo_pixel_values": torch.randn(photos, 3, image_size, image_size),
        "category_ids": torch.arange(photos),
        "text_hidden_states": torch.randn(photos, TEXT_LENGTH, TEXT_WIDTH),
        "attention_mask": torch.ones(photos, TEXT_LENGTH, dtype=torch.long),
    }
    if more:
        batch["unpaired_sketch_pixel_values"] = torch.randn(more, 3, image_size, image_size)
        batch["unpaired_photo_pixel_values"] = torch.randn(more, 3, image_size, image_size)
        batch["unpaired_category_ids"] = torch.randint(CATEGORIES, (2 * more,))
    return {key: tensor.to(model.device) for key, tensor in batch.items()}


def caan_step(model: CaanModel, batch: dict[str, torch.Tensor]) -> None:
    """A full step: towers, alignment, relation network and losses."""
    model(**batch).loss.backward()


def towers_step(model: CaanModel, batch: dict[str, torch.Tensor]) -> None:
    """A step of the same towers on the same images, with a trivial loss."""
    sketch = model.sketch_model(images(batch, "sketch")).last_hidden_state
    photo = model.photo_model(images(batch, "photo")).last_hidden_state
    (sketch.mean() + photo.mean()).backward()


def images(batch: dict[str, torch.Tensor], modality: str) -> torch.Tensor:
    """All images of a modality in a batch."""
    names = (f"{modality}_pixel_values", f"unpaired_{modality}_pixel_values")
    return torch.cat([batch[name] for name in names if name in batch])


def seconds(step, model: CaanModel, batch: dict[str, torch.Tensor]) -> float:
    """Wall time of one step, including the work of the GPU."""
    model.zero_grad(set_to_none=True)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.autocast(model.device.type, dtype=torch.bfloat16):
        step(model, batch)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--unpaired", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, batch {options.batch_size}, bf16")
    print(f"{'towers':<22}{'negatives':<11}{'towers ms':>11}{'CAAN ms':>9}{'ratio':>7}{'text tokens':>13}")
    for name, (tower, image_size, heads) in TOWERS.items():
        for negatives in ("sampled", "in_batch"):
            model = build(tower, image_size, heads, negatives, options.unpaired).to(device)
            measure(name, model, image_size, negatives, options)


def measure(name: str, model: CaanModel, image_size: int, negatives: str, options) -> None:
    """Print one row."""
    batch = random_batch(model, image_size, options.batch_size, negatives, options.unpaired)
    for step in (towers_step, caan_step):
        seconds(step, model, batch)  # warm-up
    pairs = [(seconds(towers_step, model, batch), seconds(caan_step, model, batch)) for _ in range(options.repeats)]
    bare, caan = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{name:<22}{negatives:<11}{bare * 1e3:>11.0f}{caan * 1e3:>9.0f}{caan / bare:>7.2f}{TEXT_LENGTH:>13}",
        flush=True,
    )


if __name__ == "__main__":
    run(main)
