"""Measure whether explanations say what the local score depends on, on instance pairs (see docs/results.md).

    python bench/explanations.py CHECKPOINT DATA [--split test] [--pairs 25] [--record bench/records/explanations.json]

CHECKPOINT has late interaction, and DATA is a benchmark whose sketches were drawn from its photos. Of each category,
the first sketches are used, as many as --pairs says.

1. Distance. Matched regions of a sketch and of the photo that it was drawn from should lie at similar places: nearer
   than in another photo of the category, in a photo of another category, and than regions that are matched at random.
   Measured with the position prior of the model and without one, because the prior itself favours near regions.
2. Deletion. Painting the regions of the photo with the largest shares grey should lower the scores more than painting
   as many random regions, or as many regions that have the largest shares in another pair: these tend to lie in the
   middle, where most objects are. The photo is encoded again; the scores are those with the sketch.
"""

from math import isqrt
from typing import NamedTuple

import numpy as np
from caan_export.agreement import load_split
from common import checkpoint_parser, run, write_record
from PIL import Image

from caan_hf import load_encoder
from caan_hf.benchmarks.pairs import WITHOUT_PHOTO, instances
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.late_interaction import late_interaction_shares
from caan_hf.errors import CaanError
from caan_hf.evaluation import ZeroShotEvaluator
from caan_hf.evaluation.bootstrap import interval, resampled_averages
from caan_hf.retrieval.reranking import fused

GREYED = 0.1  # share of the regions of a photo that are painted grey
DRAWS = 2  # of random regions
GREY = (128, 128, 128)


class Pairs(NamedTuple):
    """Instance pairs, and other photos to compare with, as rows of the sketches and of the photos of a split."""

    sketches: np.ndarray
    categories: np.ndarray
    photos: dict[str, np.ndarray]  # "that was drawn", "another of the category", "of another category"


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--split", default="test")
    parser.add_argument("--pairs", type=int, default=25, help="number of pairs per category")
    options = parser.parse_args()
    encoder = load_encoder(options.checkpoint)
    if encoder.local_position_weight is None:
        raise CaanError(f"{options.checkpoint}: its local score has no shares. Give a model with late interaction.")
    evaluator = load_split(options.data, options.split)
    pairs = choose_pairs(evaluator, options.pairs)
    sketches = encoder.encode(list(DatasetPictures(evaluator.sketches.select(pairs.sketches))), "sketch")
    prepared = {
        kind: [encoder.prepare(one.source, "photo", one.name) for one in DatasetPictures(evaluator.photos.select(rows))]
        for kind, rows in pairs.photos.items()
    }
    photos = {kind: encode(encoder, pixel_values) for kind, pixel_values in prepared.items()}
    shares = {weight: pair_shares(sketches, photos, weight) for weight in sorted({encoder.local_position_weight, 0.0})}
    own = shares[encoder.local_position_weight]
    record = {
        "pairs": len(pairs.sketches),
        "grid": isqrt(own["that was drawn"].shape[1]),
        "position_weight": encoder.local_position_weight,
        "local_weight": encoder.local_weight,
        "distance": [
            {"position_weight": weight, **row}
            for weight, its_shares in shares.items()
            for row in distances(its_shares, pairs.categories)
        ],
        **deletion(
            encoder, sketches, prepared["that was drawn"], photos["that was drawn"], own["that was drawn"], pairs
        ),
    }
    for kind in ("distance", "deletion"):
        print(*record[kind], sep="\n")
    write_record(options.record, record)


def choose_pairs(evaluator: ZeroShotEvaluator, each: int) -> Pairs:
    """The first sketches of each category whose photo is in the split, with it, the next photo, and a farther one."""
    sketch_categories, photo_categories = evaluator.sketch_categories, evaluator.photo_categories
    wanted, known = instances(
        evaluator.sketches["source"], evaluator.photos["source"], sketch_categories, photo_categories
    )
    rows = np.flatnonzero(wanted != WITHOUT_PHOTO)
    if not len(rows):
        raise CaanError("DATA: no sketch was drawn from one of its photos. Use a benchmark such as sketchy-25.")
    rows = np.concatenate([rows[sketch_categories[rows] == one][:each] for one in np.unique(sketch_categories[rows])])
    categories = sketch_categories[rows]
    drawn_from = np.array([np.flatnonzero(known == wanted[row])[0] for row in rows])
    same = np.array([following(np.flatnonzero(photo_categories == photo_categories[row]), row) for row in drawn_from])
    other = np.roll(drawn_from, -each)  # of the next category
    return Pairs(
        rows, categories, {"that was drawn": drawn_from, "another of the category": same, "of another category": other}
    )


def following(rows: np.ndarray, row: int) -> int:
    """The row after one of several, and after the last one the first."""
    return int(rows[(np.searchsorted(rows, row) + 1) % len(rows)])


def encode(encoder: Encoder, prepared: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Global and local embeddings of prepared photos."""
    parts = [encoder.encode_batch(prepared[row : row + 32], "photo", local=True) for row in range(0, len(prepared), 32)]
    return np.concatenate([part.global_embeds for part in parts]), np.concatenate([part.local_embeds for part in parts])


def pair_shares(
    sketches, photos: dict[str, tuple[np.ndarray, np.ndarray]], position_weight: float
) -> dict[str, np.ndarray]:
    """Shares (B, M, M) of the token pairs of each sketch and photo, by kind of photo."""
    return {
        kind: np.stack(
            [late_interaction_shares(*one, position_weight) for one in zip(sketches.local_embeds, local, strict=True)]
        )
        for kind, (_, local) in photos.items()
    }


def distances(shares: dict[str, np.ndarray], categories: np.ndarray) -> list[dict]:
    """Mean distance of matched regions by kind of photo, as a share of the pictures' side, over the inked regions."""
    grid = isqrt(next(iter(shares.values())).shape[1])
    places = (np.stack(np.divmod(np.arange(grid**2), grid), axis=1) + 0.5) / grid
    between = np.linalg.norm(places[:, None] - places, axis=-1)  # (M, M)
    values = {}
    for kind, kind_shares in shares.items():
        matched = kind_shares != 0  # (B, M, M)
        values[kind] = (matched * between).sum(axis=(1, 2)) / matched.sum(axis=(1, 2))
    inked = matched.any(axis=2)
    values["regions matched at random"] = (inked * between.mean(axis=1)).sum(axis=1) / inked.sum(axis=1)
    return [
        summary(kind, {"distance": value}, {"distance": values["that was drawn"]}, categories)
        for kind, value in values.items()
    ]


def deletion(
    encoder: Encoder,
    sketches,
    prepared: list[np.ndarray],
    photos: tuple[np.ndarray, np.ndarray],
    shares: np.ndarray,
    pairs: Pairs,
) -> dict:
    """How much greying regions of the photos lowers the scores, by the choice of the regions."""
    before = scores(encoder, sketches, photos)
    heat = shares.sum(axis=1)  # (B, M)
    count = max(1, round(GREYED * heat.shape[1]))
    largest = np.argsort(-heat, axis=1, kind="stable")[:, :count]  # (B, count)
    generator = np.random.default_rng(0)
    random = [generator.random(heat.shape).argsort(axis=1)[:, :count] for _ in range(DRAWS)]
    another = largest[generator.permutation(len(largest))]
    drops = {
        kind: drop(encoder, sketches, prepared, before, choices)
        for kind, choices in (
            ("largest shares", [largest]),
            ("largest shares of another pair", [another]),
            ("random", random),
        )
    }
    return {
        "greyed": count,
        "before": {name: float(values.mean()) for name, values in before.items()},
        "deletion": [
            summary(kind, values, drops["largest shares"], pairs.categories) for kind, values in drops.items()
        ],
    }


def drop(
    encoder: Encoder, sketches, prepared: list[np.ndarray], before: dict[str, np.ndarray], choices: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Mean decrease of each score (B,) over several choices of regions."""
    grey = encoder.prepare(Image.new("RGB", (8, 8), GREY), "photo")
    grid = isqrt(sketches.local_embeds.shape[1])
    after = []
    for chosen in choices:
        greyed = [paint(image, cells, grey, grid) for image, cells in zip(prepared, chosen, strict=True)]
        after.append(scores(encoder, sketches, encode(encoder, greyed)))
    return {name: before[name] - np.mean([one[name] for one in after], axis=0) for name in ("local", "fused")}


def paint(image: np.ndarray, cells: np.ndarray, grey: np.ndarray, grid: int) -> np.ndarray:
    """A prepared photo (3, H, W) with the values of a grey one in some cells of a grid."""
    painted = image.copy()
    edges = [np.linspace(0, length, grid + 1).round().astype(int) for length in image.shape[1:]]
    for row, column in zip(*np.divmod(cells, grid), strict=True):
        place = np.s_[:, edges[0][row] : edges[0][row + 1], edges[1][column] : edges[1][column + 1]]
        painted[place] = grey[place]
    return painted


def scores(encoder: Encoder, sketches, photos: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Local and fused scores (B,) of sketches and their photos."""
    local = encoder.paired_local_scores(sketches.local_embeds, photos[1][:, None])[:, 0]
    cosines = (sketches.global_embeds * photos[0]).sum(axis=1)
    return {"local": local, "fused": fused(cosines, local, encoder.local_weight)}


def summary(kind: str, values: dict[str, np.ndarray], first: dict[str, np.ndarray], categories: np.ndarray) -> dict:
    """Means of values (B,) by name, and of their paired differences from those of the first kind, with intervals."""
    row: dict = {"kind": kind}
    for name, value in values.items():
        both = np.stack([value, value - first[name]], axis=1)
        low, high = interval(resampled_averages(both, categories, macro=False))
        row[name] = {"mean": float(value.mean()), "interval": [float(low[0]), float(high[0])]}
        if value is not first[name]:
            row[name] |= {
                "difference": float(both[:, 1].mean()),
                "difference_interval": [float(low[1]), float(high[1])],
            }
    return row


if __name__ == "__main__":
    run(main)
