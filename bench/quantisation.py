"""Compare the accuracy of int8 with one scale per token (`caan-export onnx --dtype int8`) and with one per batch.

    python bench/quantisation.py onnx-fp32 --data data/sketchy-25

The encoders of an fp32 export are quantised by `caan-export` and by `quantize_dynamic` of onnxruntime. Each encodes the
sketches and photos of the test split, and the rankings are compared with those in fp32. See docs/results.md.
"""

import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from caan_export.agreement import load_split, top10_overlap
from caan_export.manifest import ENCODERS
from caan_export.quantise import quantise
from caan_export.runtime import CaanOnnx
from common import options_parser, run
from onnxruntime.quantization import QuantType, quantize_dynamic

BATCH = 32


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of an fp32 export")
    parser.add_argument("--data", type=Path, required=True, help="folder of a prepared benchmark")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    caan, split = CaanOnnx.from_pretrained(options.folder, ["cpu"]), load_split(options.data, "test")
    pixels = [
        np.stack([prepare(row["image"]) for row in images])
        for prepare, images in ((caan.preprocessing.sketch, split.sketches), (caan.preprocessing.photo, split.photos))
    ]
    quantisers = {"fp32": lambda file: None, "one scale per batch": by_batch, "one scale per token": quantise}
    expected = None
    print("| linear layers | encoder size, MB | top-10 overlap | mAP@all |\n| --- | --- | --- | --- |")
    for name, quantiser in quantisers.items():
        with tempfile.TemporaryDirectory() as place:
            files = [Path(shutil.copy(options.folder / f"{encoder}.onnx", place)) for encoder in ENCODERS]
            for file in files:
                quantiser(file)
            embeds = [encode(file, values) for file, values in zip(files, pixels, strict=True)]
            size = files[1].stat().st_size / 1e6
        result = split.evaluate_embeddings(*embeds)
        expected = result.top if expected is None else expected
        overlap = top10_overlap(expected, result.top)
        print(f"| {name} | {size:.1f} | {overlap:.3f} | {result.metrics['mAP@all']:.4f} |", flush=True)


def by_batch(file: Path) -> None:
    """Quantise with one scale per batch, as onnxruntime does by default."""
    products = ["MatMul", "Gemm"]
    quantize_dynamic(file, file, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=products)


def encode(file: Path, pixel_values: np.ndarray) -> np.ndarray:
    """(N, D) global features."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    batches = (pixel_values[start : start + BATCH] for start in range(0, len(pixel_values), BATCH))
    parts = [session.run(["global_embeds"], {"pixel_values": batch})[0] for batch in batches]
    return np.concatenate(parts)


if __name__ == "__main__":
    run(main)
