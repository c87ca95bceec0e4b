"""Measure the latency of one search by sketch in an open gallery, and of its stages, against a plain program.

Also measures how many photos per second the encoder of each contender encodes in batches.

    python bench/latency.py GALLERY SKETCHES [--models CHECKPOINT,ONNX_EXPORT] [--dtypes float32,auto] [--rounds 60]

SKETCHES is a folder of pictures, of which a different one is searched in every round. Each checkpoint is measured in
each precision. All contenders search in each round, one after another, so that other work on the machine disturbs all
of them alike. "plain" is what one writes without this package: the model in float32, the embeddings of the gallery in
one array, and a sort of all scores. Times are medians in milliseconds; the last two columns are the 95th percentile of
the whole search, and how many times longer the plain program took.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import options_parser, run

from caan_hf.encoding.checkpoint import load_checkpoint
from caan_hf.encoding.features import EncodedSketch
from caan_hf.encoding.load import model_folder
from caan_hf.encoding.sketch_file import load_sketch
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery, SearchOptions
from caan_hf.gallery.schema import GLOBAL, KEY, from_vectors

STAGES = ("read", "clean", "prepare", "encode", "search")
K = 10
WARM = 5
BATCH_SIZE, BATCHES = 64, 5
PICTURES = (".png", ".jpg", ".jpeg")
Times = list[float]


def plain(gallery: Gallery) -> Callable[[Path], Times]:
    """The program without this package's encoder and gallery, with the gallery's checkpoint."""
    model, processor = load_checkpoint(str(model_folder(gallery.info.model)))
    model.float()
    rows = gallery.table.columns([KEY, GLOBAL])
    paths, embeds = rows[KEY].to_pylist(), from_vectors(rows[GLOBAL])

    def search(sketch: Path) -> Times:
        start = time.perf_counter()
        with torch.no_grad():
            query = model.get_sketch_features(**processor(sketches=str(sketch))).global_embeds[0].numpy()
        encoded = time.perf_counter()
        order = np.argsort(-(embeds @ query), kind="stable")[:K]
        [paths[row] for row in order]
        return [0, 0, 0, encoded - start, time.perf_counter() - encoded]

    return search


def ours(gallery: Gallery) -> Callable[[Path], Times]:
    encoder = gallery.encoder

    def search(sketch: Path) -> Times:
        marks = [time.perf_counter()]
        image = load_sketch(sketch)
        marks.append(time.perf_counter())
        clean = encoder.clean_sketch(image)
        marks.append(time.perf_counter())
        prepared = encoder.prepare(clean, "sketch")
        marks.append(time.perf_counter())
        query = encoder.encode_batch([prepared], "sketch", local=True)
        marks.append(time.perf_counter())
        gallery.search(EncodedSketch.from_features(clean, query), SearchOptions(k=K, rerank=False))
        marks.append(time.perf_counter())
        return np.diff(marks).tolist()

    return search


def contenders(options) -> dict[str, Gallery]:
    """The gallery with each model in each precision."""
    found = {}
    for model in options.models.split(",") if options.models else [None]:
        for dtype in options.dtypes.split(","):
            gallery = Gallery.open(options.gallery, model=model, device="cpu", dtype=dtype)
            name = f"{Path(model or gallery.info.model).name}, {gallery.encoder.identity.precision}"
            found.setdefault(name, gallery)  # an export has one precision
    return found


def print_throughput(galleries: dict[str, Gallery]) -> None:
    """Print the best number of photos per second, and the ratio to the first contender."""
    size = next(iter(galleries.values())).encoder.identity.image_size
    photos = np.random.default_rng(0).standard_normal((BATCH_SIZE, 3, size, size)).astype(np.float32)
    best = dict.fromkeys(galleries, np.inf)
    for _ in range(BATCHES):
        for name, gallery in galleries.items():
            start = time.perf_counter()
            gallery.encoder.encode_prepared(photos, "photo")
            best[name] = min(best[name], time.perf_counter() - start)
    first = next(iter(best.values()))
    print(f"photo encoder, batches of {BATCH_SIZE}")
    for name, seconds in best.items():
        print(f"{name[-38:]:<40}{BATCH_SIZE / seconds:>9.1f} photos/s{first / seconds:>9.2f}")


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("gallery")
    parser.add_argument("sketches", type=Path)
    parser.add_argument("--models")
    parser.add_argument("--dtypes", default="float32,auto")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    sketches = sorted(path for path in options.sketches.rglob("*") if path.suffix.lower() in PICTURES)
    if not sketches:
        raise CaanError(f"{options.sketches}: holds no .png or .jpg pictures")
    gallery = Gallery.open(options.gallery)
    galleries = contenders(options)
    measured = {"plain": plain(gallery)} | {name: ours(opened) for name, opened in galleries.items()}
    chosen = [sketches[number * len(sketches) // (options.rounds + WARM)] for number in range(options.rounds + WARM)]
    times = np.array([[search(sketch) for search in measured.values()] for sketch in chosen])[WARM:] * 1000
    totals = times.sum(axis=2)  # (rounds, contenders)
    print(f"{len(gallery):,} photos, {torch.get_num_threads()} threads, {options.rounds} sketches")
    print(f"{'':<40}" + "".join(f"{name:>9}" for name in (*STAGES, "total", "p95", "ratio")))
    for column, name in enumerate(measured):
        stages = np.median(times[:, column], axis=0)
        total, p95 = np.quantile(totals[:, column], [0.5, 0.95])
        ratio = np.median(totals[:, 0] / totals[:, column])
        print(f"{name[-38:]:<40}" + "".join(f"{value:>9.1f}" for value in (*stages, total, p95)) + f"{ratio:>9.2f}")
    print_throughput(galleries)


if __name__ == "__main__":
    run(main)
