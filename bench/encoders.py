"""Compare the precisions of the photo encoder: photos per second, and what the rankings have in common with float32.

    python bench/encoders.py CHECKPOINT DATA [--split validation] [--repeats 10] [--record bench/records/encoders.json]

Torch in float32 and bfloat16 and exports in fp32 and int8 take turns in one process. Compare the ratios: the shortest
call of torch in float32 divided by that of the engine, by the clock and by the processor time of all threads. The
latter varies less on a machine that is not idle.
"""

import copy
import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from caan_export.agreement import load_split, top10_overlap
from caan_export.export import export_checkpoint
from caan_export.options import ExportOptions
from caan_export.runtime import CaanOnnx
from caan_export.timing import machine
from common import checkpoint_parser, run, write_record
from tables import encoders

from caan_hf.encoding.checkpoint import load_checkpoint
from caan_hf.encoding.features import Array, Modality

BATCHES = (1, 8, 64)
BASELINE = "torch float32"
EncodeBatch = Callable[[Array, Modality], Array]
"""Global features (B, D) of pixel values (B, 3, H, W)."""


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        exports = [export(options.checkpoint, dtype, Path(folder)) for dtype in ("fp32", "int8")]
        engines = torch_engines(options.checkpoint) | {
            f"ONNX {onnx.export.manifest.dtype}": lambda pixels, modality, onnx=onnx: (
                onnx.encode_prepared(pixels, modality).global_embeds
            )
            for onnx in exports
        }
        split = load_split(Path(options.data), options.split)
        prepare = exports[0].preprocessing
        pixels = {
            "sketch": np.stack([prepare.sketch(row["image"]) for row in split.sketches]),
            "photo": np.stack([prepare.photo(row["image"]) for row in split.photos]),
        }
        record = {
            "machine": machine() | {"torch": torch.__version__, "threads": torch.get_num_threads()},
            "engines": measure(engines, pixels, split, options.repeats),
        }
    print(encoders(record))
    write_record(options.record, record)


def export(checkpoint: str, dtype: str, folder: Path) -> CaanOnnx:
    export_checkpoint(checkpoint, folder / dtype, ExportOptions(dtype=dtype))
    return CaanOnnx.from_pretrained(folder / dtype, ["cpu"])


def torch_engines(checkpoint: str) -> dict[str, EncodeBatch]:
    model, _ = load_checkpoint(checkpoint)
    return {
        f"torch {str(dtype).removeprefix('torch.')}": torch_engine(copy.deepcopy(model).to(dtype).eval(), dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }


def torch_engine(model: Any, dtype: torch.dtype) -> EncodeBatch:
    def encode(pixels: Array, modality: Modality) -> Array:
        function = model.get_sketch_features if modality == "sketch" else model.get_photo_features
        with torch.inference_mode():
            return function(torch.from_numpy(pixels).to(dtype)).global_embeds.float().numpy()

    return encode


def measure(engines: dict[str, EncodeBatch], pixels: dict[Modality, Array], split: Any, repeats: int) -> list[Any]:
    """A row per engine: speed by batch size, top-10 overlap and mAP@all."""
    speed = {batch: time_engines(engines, pixels["photo"][:batch], repeats) for batch in BATCHES}
    results = {
        name: split.evaluate_embeddings(*(in_batches(encode, pixels[modality], modality) for modality in pixels))
        for name, encode in engines.items()
    }
    top = results[BASELINE].top
    return [
        {
            "engine": name,
            "speed": [{"batch": batch, **timed[name]} for batch, timed in speed.items()],
            "top10_overlap": top10_overlap(top, result.top),
            "mAP@all": result.metrics["mAP@all"],
        }
        for name, result in results.items()
    ]


def time_engines(engines: dict[str, EncodeBatch], photos: Array, repeats: int) -> dict[str, dict[str, float]]:
    """Photos per second, and the ratios to the baseline, by engine."""
    wall, processor = defaultdict(list), defaultdict(list)
    for _ in range(repeats + 1):
        for name, encode in engines.items():
            start, busy = time.perf_counter(), time.process_time()
            encode(photos, "photo")
            processor[name].append(time.process_time() - busy)
            wall[name].append(time.perf_counter() - start)
    best, least = ({name: min(times[1:]) for name, times in taken.items()} for taken in (wall, processor))
    return {
        name: {
            "per_second": len(photos) / best[name],
            "ratio": best[BASELINE] / best[name],
            "cpu_ratio": least[BASELINE] / least[name],
        }
        for name in engines
    }


def in_batches(encode: EncodeBatch, pixels: Array, modality: Modality) -> Array:
    return np.concatenate([encode(pixels[start : start + 32], modality) for start in range(0, len(pixels), 32)])


if __name__ == "__main__":
    run(main)
