"""Replace the relation network of a checkpoint by late interaction between its own, untrained patch tokens.

    python bench/to_late_interaction.py CHECKPOINT DATA OUT [--grid 6] [--dim 128] [--position 0.2] [--weight 0.6]

DATA is the benchmark that the model was trained on: the mean patches and the principal components are measured on its
training images. Global features do not change. The defaults were chosen on validation categories (docs/results.md).
"""

from functools import partial
from pathlib import Path

from changed import write_changed
from common import options_parser, run

from caan_hf.training.centers import measure_centers


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
    changes = {
        "local_matching": "late_interaction",
        "local_grid": options.grid,
        "local_dim": options.dim,
        "local_position_weight": options.position,
        "local_weight": options.weight,
    }
    measure = partial(measure_centers, progress=True)
    write_changed(options.checkpoint, options.data, options.out, changes, measure)


if __name__ == "__main__":
    run(main)
