"""What int8 costs in retrieval: a scale for each token (`caan-export onnx --dtype int8`) against one for a whole batch.

    python bench/quantisation.py onnx-fp32 --data data/sketchy-25

Takes an export in fp32 and quantises its encoders in both ways: as we do, and by onnxruntime's `quantize_dynamic`. Each
encodes the sketches and photos of the split; rankings are compared with those of the fp32 graphs.
"""

import argparse
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
from onnxruntime.quantization import QuantType, quantize_dynamic

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="an export in fp32")
    parser.add_argument("--data", type=Path, required=True, help="a prepared benchmark")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    caan, split = CaanOnnx.from_pretrained(options.folder, ["cpu"]), load_split(options.data, "test")
    pixels = [
        np.stack([prepare(row["image"]) for row in images])
        for prepare, images in ((caan.preprocessing.sketch, split.sketches), (caan.preprocessing.photo, split.photos))
    ]
    ways = {"fp32": lambda file: None, "a scale for a batch": by_batch, "a scale for each token": quantise}
    expected = None
    print("| linear layers | an encoder, MB | top-10 overlap | mAP@all |\n| --- | --- | --- | --- |")
    for name, way in ways.items():
        with tempfile.TemporaryDirectory() as place:
            files = [Path(shutil.copy(options.folder / f"{encoder}.onnx", place)) for encoder in ENCODERS]
            for file in files:
                way(file)
            embeds = [encode(file, values) for file, values in zip(files, pixels, strict=True)]
            size = files[1].stat().st_size / 1e6
        result = split.evaluate_embeddings(*embeds)
        expected = result.top if expected is None else expected
        overlap = top10_overlap(expected, result.top)
        print(f"| {name} | {size:.1f} | {overlap:.3f} | {result.metrics['mAP@all']:.4f} |", flush=True)


def by_batch(file: Path) -> None:
    """onnxruntime's own way."""
    products = ["MatMul", "Gemm"]
    quantize_dynamic(file, file, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=products)


def encode(file: Path, pixel_values: np.ndarray) -> np.ndarray:
    """(N, D) global features."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    batches = (pixel_values[start : start + BATCH] for start in range(0, len(pixel_values), BATCH))
    found = [session.run(["global_embeds"], {"pixel_values": batch})[0] for batch in batches]
    return np.concatenate(found)


if __name__ == "__main__":
    main()
