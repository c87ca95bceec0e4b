"""Time the exported photo encoder, eager torch and `torch.compile`, in fp32 and int8 (see docs/results.md).

    python bench/export.py [--repeats 20] [--models tiny base] [--provider cuda]

Untrained models are exported as `caan-export onnx` does, because speed does not depend on the weights. All engines run
alternately in one process. Compare the ratios of the fastest calls; on a machine that is not idle, the ratios of the
minimum processor time over all threads vary less. On a GPU (`--provider cuda`) fp16 replaces int8.
"""

import tempfile
from pathlib import Path

from caan_export.export import export_checkpoint
from caan_export.options import ExportOptions, TimingOptions
from caan_export.timing import Timing, machine, time_graphs
from common import options_parser, run
from transformers import ViTConfig, ViTImageProcessor

from caan_hf import CaanConfig, CaanModel, CaanProcessor

MODELS = {
    "tiny": ("ViT-Tiny/16, 128 px", 128, {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}),
    "base": ("ViT-B/16, 224 px", 224, {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
}
BATCHES = (1, 8)


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    dtypes = ("fp32", "int8" if options.provider == "cpu" else "fp16")
    print("| towers | batch | engine | min ms | median ms | CPU ms | eager / engine (min) | eager / engine (CPU) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            _, image_size, sizes = MODELS[model]
            folders = [export(sizes, image_size, dtype, options.provider, Path(folder)) for dtype in dtypes]
            timing_options = TimingOptions(
                batch_sizes=list(BATCHES), repeats=options.repeats, providers=[options.provider]
            )
            timings = time_graphs(folders, timing_options, graphs=("photo_encoder",))
        eager = {timing.batch_size: timing.cpu_ms for timing in timings if timing.engine.startswith("torch eager")}
        for timing in timings:
            print(row(MODELS[model][0], timing, eager[timing.batch_size] / timing.cpu_ms), flush=True)
    environment = machine()
    print(f"\n{environment['processor']}; onnxruntime {environment['onnxruntime']}")


def export(sizes: dict[str, int], image_size: int, dtype: str, provider: str, folder: Path) -> Path:
    """Export an untrained CAAN with tied ViT towers of these sizes, and return the folder."""
    checkpoint, out = folder / "model", folder / dtype
    if not checkpoint.exists():
        tower = ViTConfig(image_size=image_size, **sizes)
        grid = image_size // 32
        config = {"image_size": image_size, "local_grid": grid, "tie_visual_towers": True}
        CaanModel(CaanConfig(sketch_config=tower, photo_config=tower, **config)).save_pretrained(checkpoint)
        size = {"height": image_size, "width": image_size}
        CaanProcessor(ViTImageProcessor(size=size)).save_pretrained(checkpoint)
    export_checkpoint(str(checkpoint), out, ExportOptions(dtype=dtype, device="cpu" if dtype == "int8" else provider))
    return out


def row(towers: str, timing: Timing, cpu_ratio: float) -> str:
    milliseconds = (f"{value:.1f}" for value in (timing.min_ms, timing.median_ms, timing.cpu_ms))
    ratios = f"{timing.speedup:.2f}", f"{cpu_ratio:.2f}"
    return "| " + " | ".join((towers, str(timing.batch_size), timing.engine, *milliseconds, *ratios)) + " |"


if __name__ == "__main__":
    run(main)
