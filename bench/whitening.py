"""Measure whitening on validation categories, in a gallery of their photos and beside all training photos.

    python bench/whitening.py DATA CHECKPOINT... [--record bench/records/whitening.json]

The models must not be trained on the validation categories of DATA, nor have `whitening`. Their features are encoded
once, and whitened with each power as `measure_centers` does. See docs/results.md.
"""

import numpy as np
import torch
from common import record_parser, run, write_record
from smoothing import Images, encode, encode_bank, require_unseen, scores
from torch.nn import functional as F

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation.setting import mixed, plain
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.training.centers import covariance_within, measured_rows, whitening_matrix
from caan_hf.training.precompute import encode_with
from caan_hf.training.triplets import TripletDataset

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMOOTH, HUB_WEIGHT = 5, 0.5  # the defaults of a search


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("checkpoints", nargs="+")
    options = parser.parse_args()
    benchmark, info = load_benchmark(options.data)
    record = []
    for checkpoint in options.checkpoints:
        encoder = CheckpointEncoder.load(checkpoint)
        if encoder.model.config.whitening:
            raise CaanError(f"{checkpoint}: its features are whitened already.")
        alone = plain(benchmark, info, "validation")
        require_unseen(encoder, alone)
        sketches, gallery = encode(encoder, mixed(alone, benchmark))
        bank = encode_bank(encoder, benchmark["train"])
        within = covariance(encoder, benchmark["train"])
        for power in POWERS:
            matrix = whitening_matrix(within, power)
            row = {"model": checkpoint, "power": power, **measure(sketches, gallery, bank, matrix)}
            record.append(row)
            print(row, flush=True)
    write_record(options.record, record)


def covariance(encoder: CheckpointEncoder, split) -> torch.Tensor:
    """Covariance within the training categories, of as many images as training measures it on."""
    images = TripletDataset(split, encoder.processor).paired_rows()
    features, categories = [], []
    for side, modality in ((images.sketches, "sketch"), (images.photos, "photo")):
        rows = measured_rows(side)
        features.append(encode_with(encoder, rows, modality))
        categories.append(torch.as_tensor(rows["category"]))
    return covariance_within(features, categories)


def measure(sketches: Images, gallery: Images, bank: np.ndarray, matrix: torch.Tensor) -> dict[str, dict[str, float]]:
    """Scores by gallery and ranking."""
    whiten = lambda embeds: F.normalize(torch.from_numpy(embeds) @ matrix, dim=-1).numpy()  # noqa: E731
    queries = Images(whiten(sketches.embeds), sketches.categories)
    photos = Images(whiten(gallery.embeds), gallery.categories)
    own = photos.select(np.isin(photos.categories, queries.categories))
    hubs = HubCorrection(whiten(bank), HUB_WEIGHT)
    return {
        "validation": scores(queries, own, 0, None),
        "validation, smoothed and corrected": scores(queries, own, SMOOTH, hubs),
        "mixed": scores(queries, photos, 0, None),
        "mixed, smoothed and corrected": scores(queries, photos, SMOOTH, hubs),
    }


if __name__ == "__main__":
    run(main)
