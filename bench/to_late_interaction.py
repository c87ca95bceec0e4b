"""Replace the relation network of a checkpoint by late interaction between its own, untrained patch tokens.

    python bench/to_late_interaction.py CHECKPOINT DATA OUT [--grid 6] [--dim 128] [--position 0.2] [--weight 0.6]

DATA is the benchmark that the model was trained on: the mean patches and the principal components are measured on its
training images. Global features do not change. The defaults were chosen on validation categories (docs/results.md).
"""

import shutil
from pathlib import Path

import torch
from common import options_parser, run

from caan_hf import CaanModel, CaanProcessor
from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError
from caan_hf.training import TripletDataset
from caan_hf.training.centers import measure_centers

GLOBAL = ("_center.mean", "whitening.matrix")  # measured parts of the global features, which stay as they are


@torch.no_grad()
def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--grid", type=int, default=6)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--position", type=float, default=0.2)
    parser.add_argument("--weight", type=float, default=0.6)
    options = parser.parse_args()
    if options.out.exists():
        raise CaanError(f"{options.out}: exists already. Choose another folder.")
    changes = {
        "local_matching": "late_interaction",
        "local_grid": options.grid,
        "local_dim": options.dim,
        "local_position_weight": options.position,
        "local_weight": options.weight,
    }
    before, processor = (kind.from_pretrained(options.checkpoint) for kind in (CaanModel, CaanProcessor))
    weights = before.state_dict()
    model = CaanModel(type(before.config)(**(before.config.to_dict() | changes)))
    model.load_state_dict(weights, strict=False)
    images = TripletDataset(load_benchmark(options.data)[0]["train"], processor).paired_rows()
    measure_centers(model.float().eval(), processor, images, progress=True)
    model.load_state_dict({name: value for name, value in weights.items() if name.endswith(GLOBAL)}, strict=False)
    shutil.copytree(options.checkpoint, options.out)
    model.to(before.dtype).save_pretrained(options.out)


if __name__ == "__main__":
    run(main)
