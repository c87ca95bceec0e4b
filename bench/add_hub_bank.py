"""Store features of training sketches with a checkpoint, for the correction of hubs.

    python bench/add_hub_bank.py CHECKPOINT DATA OUT --weight WEIGHT [--size 800]

DATA is the benchmark that the model was trained on. Embeddings do not change. WEIGHT is chosen on validation categories
(bench/smoothing.py); recipes set it as `model.hub_weight`, with `model.hub_bank_size`.
"""

from functools import partial
from pathlib import Path

from changed import write_changed
from common import options_parser, run

from caan_hf.training.hub_bank import measure_hub_bank


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weight", type=float, required=True)
    parser.add_argument("--size", type=int, default=800)
    options = parser.parse_args()
    changes = {"hub_bank_size": options.size, "hub_weight": options.weight}
    measure = partial(measure_hub_bank, progress=True)
    write_changed(options.checkpoint, options.data, options.out, changes, measure)


if __name__ == "__main__":
    run(main)
