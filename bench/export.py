"""The exported photo encoder against eager torch and `torch.compile`, in fp32 and int8.

    python bench/export.py [--repeats 20] [--models tiny base] [--provider cuda]

Untrained models (speed does not depend on the weights) are exported as `caan-export onnx` does, and every engine then
runs in turn in one process; the ratio of the fastest calls counts, because other work on the machine disturbs those
least. On a GPU (`--provider cuda`) fp16 takes the place of int8.
"""

import argparse
import tempfile
from pathlib import Path

from caan_export.benchmark import Timing, benchmark, report
from caan_export.export import ExportOptions, export_checkpoint
from transformers import ViTConfig, ViTImageProcessor

from caan_hf import CaanConfig, CaanModel, CaanProcessor

MODELS = {
    "tiny": ("ViT-Tiny/16, 128 px", 128, {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}),
    "base": ("ViT-B/16, 224 px", 224, {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
}
BATCHES = (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    dtypes = ("fp32", "int8" if options.provider == "cpu" else "fp16")
    print("| towers | batch | engine | least ms | median ms | images/s | times eager |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            folders = [export(model, dtype, options.provider, Path(folder)) for dtype in dtypes]
            timings = benchmark(
                folders,
                branches=("photo_encoder",),
                batches=BATCHES,
                repeats=options.repeats,
                providers=[options.provider],
            )
        for timing in timings:
            print(row(MODELS[model][0], timing), flush=True)
    machine = report([])["machine"]
    print(f"\n{machine['processor']}; onnxruntime {machine['onnxruntime']}")


def export(model: str, dtype: str, provider: str, folder: Path) -> Path:
    """Exports an untrained CAAN with tied towers of these sizes; returns the folder."""
    _, image_size, sizes = MODELS[model]
    checkpoint, out = folder / "model", folder / dtype
    if not checkpoint.exists():
        tower = ViTConfig(image_size=image_size, **sizes)
        grid = image_size // 32
        config = {"image_size": image_size, "relation_grid": grid, "tie_visual_towers": True}
        CaanModel(CaanConfig(sketch_config=tower, photo_config=tower, **config)).save_pretrained(checkpoint)
        size = {"height": image_size, "width": image_size}
        CaanProcessor(ViTImageProcessor(size=size)).save_pretrained(checkpoint)
    export_checkpoint(str(checkpoint), out, ExportOptions(dtype=dtype, device="cpu" if dtype == "int8" else provider))
    return out


def row(towers: str, timing: Timing) -> str:
    times = f"{timing.times_eager:.2f}" if timing.times_eager is not None else ""
    values = (towers, timing.batch, timing.engine, f"{timing.least_ms:.1f}", f"{timing.median_ms:.1f}")
    return "| " + " | ".join(map(str, (*values, f"{timing.per_second:.1f}", times))) + " |"


if __name__ == "__main__":
    main()
