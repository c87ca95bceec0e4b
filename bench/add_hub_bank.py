"""Store features of training sketches with a checkpoint, for the correction of hubs.

    python bench/add_hub_bank.py CHECKPOINT DATA OUT --weight WEIGHT [--size 800]

DATA is the benchmark that the model was trained on. Embeddings do not change. WEIGHT is chosen on validation categories
(bench/smoothing.py); recipes set it as `model.hub_weight`, with `model.hub_bank_size`.
"""

import shutil
from pathlib import Path

import torch
from common import options_parser, run

from caan_hf import CaanModel, CaanProcessor
from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError
from caan_hf.training.hub_bank import measure_hub_bank
from caan_hf.training.triplets import TripletDataset


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weight", type=float, required=True)
    parser.add_argument("--size", type=int, default=800)
    options = parser.parse_args()
    if options.out.exists():
        raise CaanError(f"{options.out}: exists already. Choose another folder.")
    before, processor = (kind.from_pretrained(options.checkpoint) for kind in (CaanModel, CaanProcessor))
    dtype = before.dtype
    changes = {"hub_bank_size": options.size, "hub_weight": options.weight}
    model = CaanModel(type(before.config)(**(before.config.to_dict() | changes)))
    model.load_state_dict(before.state_dict(), strict=False)
    triplets = TripletDataset(load_benchmark(options.data)[0]["train"], processor)
    measure_hub_bank(model.float().eval(), processor, triplets.paired_rows(), progress=True)
    shutil.copytree(options.checkpoint, options.out)
    model.to(dtype).save_pretrained(options.out)


if __name__ == "__main__":
    with torch.no_grad():
        run(main)
