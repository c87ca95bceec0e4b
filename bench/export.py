"""The exported photo encoder against eager torch and `torch.compile`, in fp32 and int8.

    python bench/export.py [--repeats 20] [--models tiny base] [--provider cuda]

Untrained models (speed does not depend on the weights) are exported as `caan-export onnx` does, and every engine then
runs in turn in one process. The ratio of the fastest calls counts; on a machine that is not idle, the ratio of the
processor time (of all threads, the least of the calls) is the steadier one. On a GPU (`--provider cuda`) fp16 takes
the place of int8.
"""

import argparse
import tempfile
from pathlib import Path

from caan_export.export import export_checkpoint
from caan_export.options import ExportOptions, TimingOptions
from caan_export.timing import Timing, machine, time_graphs
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
    print("| towers | batch | engine | least ms | median ms | CPU ms | times eager (least) | times eager (CPU) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            folders = [export(model, dtype, options.provider, Path(folder)) for dtype in dtypes]
            how = TimingOptions(batch_sizes=list(BATCHES), repeats=options.repeats, providers=[options.provider])
            timings = time_graphs(folders, how, graphs=("photo_encoder",))
        eager = {timing.batch_size: timing.cpu_ms for timing in timings if timing.engine.startswith("torch eager")}
        for timing in timings:
            print(row(MODELS[model][0], timing, eager[timing.batch_size] / timing.cpu_ms), flush=True)
    this = machine()
    print(f"\n{this['processor']}; onnxruntime {this['onnxruntime']}")


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


def row(towers: str, timing: Timing, by_processor: float) -> str:
    milliseconds = (f"{value:.1f}" for value in (timing.min_ms, timing.median_ms, timing.cpu_ms))
    ratios = f"{timing.speedup:.2f}", f"{by_processor:.2f}"
    return "| " + " | ".join((towers, str(timing.batch_size), timing.engine, *milliseconds, *ratios)) + " |"


if __name__ == "__main__":
    main()
