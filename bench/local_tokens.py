"""Measure what smaller local tokens cost, on the validation categories (see docs/results.md).

    python bench/local_tokens.py CHECKPOINT DATA [--record bench/records/local_tokens.json]

CHECKPOINT has late interaction. Its patches are pooled to grids, projected to their principal components, and stored in
float16 or int8. Re-ranking all photos with each is measured; the weight of the local score is 0.6 and that of the
position prior 0.2.
"""

import itertools

import numpy as np
import torch
from caan_export.agreement import load_split
from common import checkpoint_parser, run, write_record
from torch.nn import functional as F

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.features import Features
from caan_hf.encoding.late_interaction import late_interaction_scores
from caan_hf.evaluation import retrieval_metrics
from caan_hf.gallery.schema import from_local, to_local
from caan_hf.local_matching_caan import inked_regions
from caan_hf.retrieval.reranking import fused
from caan_hf.training.centers import principal_components

GRIDS, WIDTHS = (12, 6, 4), (192, 128, 64, 32)
TRAIN_STRIDE = 8
POSITION, WEIGHT = 0.2, 0.6


class PatchEncoder(CheckpointEncoder):
    """Encodes an image as its global embedding and its patches, of which those of a sketch end with its ink."""

    def encode_prepared(self, pixel_values, modality):
        encode = self.model.get_sketch_features if modality == "sketch" else self.model.get_photo_features
        with self._inference():
            pixels = self._tensor(pixel_values)
            features = encode(pixels)
            patches = features.last_hidden_state[:, 1:].float()
            if modality == "sketch":
                side = int(patches.shape[1] ** 0.5)
                patches = torch.cat([patches, inked_regions(pixels, side)[..., None].float()], dim=-1)
        return Features(features.global_embeds.float().cpu().numpy(), patches.half().cpu().numpy())


def main() -> None:
    options = checkpoint_parser(__doc__).parse_args()
    encoder = PatchEncoder.load(options.checkpoint)
    validation, training = (load_split(options.data, split) for split in ("validation", "train"))
    sketches = encoder.encode(list(DatasetPictures(validation.sketches)), "sketch", batch_size=64)
    photos = encoder.encode(list(DatasetPictures(validation.photos)), "photo", batch_size=64)
    seen = [
        encoder.encode(list(DatasetPictures(rows))[::TRAIN_STRIDE], modality).local_embeds
        for rows, modality in ((training.sketches, "sketch"), (training.photos, "photo"))
    ]
    seen[0] = seen[0][..., :-1]
    means = [torch.from_numpy(one.astype(np.float32)).mean(dim=(0, 1)) for one in seen]
    covariances = [torch.cov(torch.from_numpy(one.astype(np.float32)).flatten(0, 1).T.double()) for one in seen]
    cosines = sketches.global_embeds @ photos.global_embeds.T

    def score(local: np.ndarray | None) -> float:
        scores = cosines if local is None else fused(cosines, local, WEIGHT)
        metrics = retrieval_metrics(scores, validation.sketch_categories, validation.photo_categories)
        return metrics.conventions["standard"]["mAP@all"]

    rows = [{"grid": None, "mAP@all": score(None)}]
    for grid, width in itertools.product(GRIDS, WIDTHS):
        weight = principal_components(covariances, width).float()
        ink = pooled(sketches.local_embeds[..., -1:], grid) > 0  # (Q, M, 1)
        queries = tokens(sketches.local_embeds[..., :-1], grid, means[0], weight) * ink.numpy()
        gallery = tokens(photos.local_embeds, grid, means[1], weight)
        stored = {"float16": gallery.astype(np.float16).astype(np.float32)}
        stored["int8"] = from_local(to_local(gallery), gallery.shape[1:])
        for dtype, one in stored.items():
            size = grid**2 * width * (2 if dtype == "float16" else 1)
            row = {"grid": grid, "width": width, "dtype": dtype, "bytes": size}
            row["mAP@all"] = score(late_interaction_scores(queries, one, POSITION))
            print(row, flush=True)
            rows.append(row)
    write_record(options.record, rows)


def pooled(patches: np.ndarray, grid: int) -> torch.Tensor:
    """Patches (N, h * h, D) averaged to (N, grid * grid, D)."""
    tensor = torch.from_numpy(patches.astype(np.float32))
    side = int(tensor.shape[1] ** 0.5)
    return F.adaptive_avg_pool2d(tensor.transpose(1, 2).unflatten(2, (side, side)), grid).flatten(2).transpose(1, 2)


def tokens(patches: np.ndarray, grid: int, mean: torch.Tensor, weight: torch.Tensor) -> np.ndarray:
    """Local tokens (N, M, R) of patches (N, h * h, D), as `CaanPatchTokens` makes them."""
    return F.normalize((pooled(patches, grid) - mean) @ weight.T, dim=-1).numpy()


if __name__ == "__main__":
    run(main)
