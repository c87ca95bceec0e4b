"""Compare the speed of a training step with that of a matrix product on the same machine.

    python bench/train_speed.py recipes/sketchy-mini.yaml [KEY=VALUE ...]

Torch counts the floating-point operations of one training step (forward and backward). Steps on prepared batches and a
large matrix product in the precision of the recipe are timed. The printed share is the ratio of their operations per
second. bench/train_slices.sh runs this script.
"""

import statistics
import tempfile
import time

import torch
from common import options_parser, run
from torch.utils.flop_counter import FlopCounterMode

from caan_hf.benchmarks import load_benchmark
from caan_hf.training import build_trainer, load_recipe

STEPS = 10


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quick = [f"training.output_dir={folder}", "training.eval_strategy=no", "training.load_best_model_at_end=false"]
        recipe = load_recipe(options.recipe, [*options.overrides, *quick])
        arguments = recipe.training_arguments()
        trainer = build_trainer(recipe, arguments, load_benchmark(recipe.data.benchmark_folder())[0])
        report(trainer, arguments)


def report(trainer, arguments) -> None:
    device, dtype = arguments.device, getattr(torch, arguments.encoding["dtype"])
    model = trainer.model.to(device).train()
    triplets = [trainer.train_dataset[index] for index in range(arguments.per_device_train_batch_size)]
    batch = {name: tensor.to(device) for name, tensor in trainer.data_collator(triplets).items()}
    images = len(batch["sketch_pixel_values"]) + len(batch["photo_pixel_values"])

    def step() -> None:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = model(**batch).loss
        loss.backward()
        model.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = timed(step, device)
    limit = product_flops(device, dtype)
    reached = counter.get_total_flops() / seconds
    print(
        f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}, {str(dtype).removeprefix('torch.')}: "
        f"{images / seconds:.0f} images/s, {reached / 1e12:.2f} of {limit / 1e12:.2f} TFLOP/s "
        f"({100 * reached / limit:.0f} % of a matrix product)"
    )


def product_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a product of square matrices."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / timed(lambda: a @ b, device)


def timed(work, device: torch.device) -> float:
    """Median seconds per call, without the first two calls."""
    seconds = []
    for _ in range(STEPS + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


if __name__ == "__main__":
    run(main)
