"""Measure encoding, the ONNX export and training on a GPU, each as a share of what a matrix product reaches.

    python bench/gpu.py [--device cuda] [--models tiny base] [--batch-size 256] [--record bench/records/gpu.json]

The towers are untrained, because speed does not depend on the weights. The record is written after each measurement.
Images are on the device already, except for ONNX, whose time includes the copies to and from the GPU.
The share is the number of floating-point operations per second, divided by that of a product of two large matrices in
the same precision (float32 without TF32). Each export is verified against torch on the device; the last column is the
largest difference. With `--device cpu` the script runs anywhere, with int8 in place of fp16.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import step as training
import torch
from caan_export.runtime import CaanOnnx
from caan_export.timing import machine
from common import record_parser, run, write_record
from tables import gpu
from torch.utils.flop_counter import FlopCounterMode
from train_speed import product_flops, timed

import export as exports
from caan_hf import CaanModel
from caan_hf.errors import CaanError

IMAGE_SIZE = 224
TOWERS = {"tiny": "ViT-Tiny/16, 224 px", "base": "ViT-B/16, 224 px"}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


Speed = dict[str, str | float | None]
"""A row of the table; a training step of B pairs has 2B images, and ONNX has no share."""


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--models", nargs="+", choices=TOWERS, default=list(TOWERS))
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise CaanError("no GPU that torch can use. Pass --device cpu to try the script.")
    device = torch.device(options.device)
    limits = {name: product_flops(device, dtype) for name, dtype in PRECISIONS.items()}
    record = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else machine()["processor"],
        "torch": torch.__version__,
        "onnxruntime": machine()["onnxruntime"],
        "batch_size": options.batch_size,
        "speeds": [],
        "parity": {},
    }
    for name in options.models:
        measured = Measurement(TOWERS[name], device, options.batch_size, limits)
        for speed in measured.speeds():
            record["speeds"].append(speed)
            record["parity"] |= measured.parity
            print(speed, flush=True)
            write_record(options.record, record)
    print(gpu(record))


class Measurement:
    """All measurements of one architecture.

    Attributes:
        parity: Description of each export -> largest difference from torch, and what was allowed.
    """

    def __init__(self, towers: str, device: torch.device, batch_size: int, limits: dict[str, float]):
        self.towers = towers
        self.device = device
        self.batch_size = batch_size
        self.limits = limits
        self.parity: dict[str, dict[str, float]] = {}

    def speeds(self) -> Iterator[Speed]:
        tower, size, heads = training.TOWERS[self.towers]
        model = training.build(tower, size, heads, "in_batch").to(self.device)
        yield from self.encoding(model.eval())
        yield self.training(model.train())
        del model
        yield from self.onnx()

    def encoding(self, model: CaanModel) -> Iterator[Speed]:
        """The photo encoder in float32, in bfloat16, and compiled in bfloat16."""
        photos = torch.randn(self.batch_size, 3, IMAGE_SIZE, IMAGE_SIZE, device=self.device)
        encode = torch.inference_mode()(lambda: model.get_photo_features(photos).global_embeds)
        flops = operations(encode)
        yield self.speed("encode", "torch float32", "float32", flops, encode)
        model, photos = model.to(torch.bfloat16), photos.to(torch.bfloat16)
        yield self.speed("encode", "torch bfloat16", "bfloat16", flops, encode)
        compiled = torch.compile(model.get_photo_features, dynamic=False)
        encode = torch.inference_mode()(lambda: compiled(photos).global_embeds)
        yield self.speed("encode", "torch bfloat16, compiled", "bfloat16", flops, encode)
        model.float()

    def training(self, model: CaanModel) -> Speed:
        """A whole training step in bfloat16 autocast: towers, alignment, relation network, losses, backward."""
        batch = training.random_batch(model, IMAGE_SIZE, self.batch_size // 2, "in_batch")

        def step() -> None:
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                training.caan_step(model, batch)
            model.zero_grad()

        return self.speed("train", "torch bfloat16", "bfloat16", operations(step), step)

    def onnx(self) -> Iterator[Speed]:
        """The exports, which are verified against torch on the same device while they are written."""
        sizes = training.TOWERS[self.towers][0]
        photos = np.random.default_rng(0).standard_normal((self.batch_size, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32)
        for dtype in ("fp32", "fp16" if self.device.type == "cuda" else "int8"):
            with tempfile.TemporaryDirectory() as folder:
                out = exports.export(sizes, IMAGE_SIZE, dtype, self.device.type, Path(folder))
                onnx = CaanOnnx.from_pretrained(out, [self.device.type])
                provider = onnx.providers["photo_encoder"].removesuffix("ExecutionProvider")
                label = f"ONNX {dtype} ({provider})"
                worst = max(onnx.export.manifest.parity.differences, key=lambda one: one.largest / one.allowed)
                self.parity[f"{self.towers}, {label}"] = {"difference": worst.largest, "allowed": worst.allowed}
                encode = lambda: onnx.encode_prepared(photos, "photo")  # noqa: B023, E731 - called in this iteration
                yield self.speed("encode", label, None, 0, encode)

    def speed(self, work: str, engine: str, precision: str | None, flops: float, call: Callable[[], object]) -> Speed:
        """Time a call that encodes a batch or trains on it."""
        seconds = timed(call, self.device)
        share = flops / seconds / self.limits[precision] if precision else None
        row = {"towers": self.towers, "work": work, "engine": engine}
        return {**row, "images_per_second": self.batch_size / seconds, "share": share}


def operations(call: Callable[[], object]) -> float:
    """Floating-point operations of one call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


if __name__ == "__main__":
    run(main)
