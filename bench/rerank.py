"""Compare re-ranking with local embeddings on disk, in bounded memory, with all of them in memory (docs/results.md).

    python bench/rerank.py [--sketches 200] [--photos 17101] [--k 100] [--whole] [--record FILE]

Each contender runs in a separate process, so that its peak memory can be measured. `ours` reads the local embeddings of
the candidates from the files of the cache. `plain` is the simple program, which holds all of them in float32 and scores
one query at a time, late interaction by two einsums. Both kinds of local matching are measured with random tokens in
float16: the relation network of the paper recipe (49 tokens of 512), and late interaction with the default of its size
(36 tokens of 128, half of the regions of a sketch with ink, with a position prior).

`--whole` evaluates all of `sketchy-25`, 15,229 sketches x 17,101 photos with the best 100 re-ranked by late
interaction, from random embeddings on disk to metrics in every convention.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import in_own_process, peak_memory, record_parser, run, write_record
from safetensors.numpy import load_file, save_file

from caan_hf import CaanConfig
from caan_hf.encoding.cache import StoredLocalEmbeds
from caan_hf.evaluation import evaluate_embeddings
from caan_hf.local_matching_caan import CaanLateInteraction, CaanRelationNetwork
from caan_hf.position_prior_caan import position_penalty
from caan_hf.retrieval.reranking import rerank

SHAPES = {"relation network": (49, 512), "late interaction": (36, 128)}
CONTENDERS = ("ours", "plain")
IMAGES_PER_FILE = 2048
INKED, POSITION, WEIGHT = 18, 0.2, 0.6
WHOLE = {"sketches": 15_229, "photos": 17_101, "k": 100, "dim": 192, "categories": 25}


def random_local(kind: str, count: int, generator: np.random.Generator) -> np.ndarray:
    local = generator.standard_normal((count, *SHAPES[kind]), dtype=np.float32)
    return local / np.linalg.norm(local, axis=-1, keepdims=True)


def random_sketches(kind: str, count: int, generator: np.random.Generator) -> np.ndarray:
    local = random_local(kind, count, generator)
    if kind == "late interaction":
        local[:, INKED:] = 0
    return local


def write(folder: Path, parts: Any) -> None:
    for number, local in enumerate(parts):
        save_file({"local_embeds": local.astype(np.float16)}, folder / f"{number:04}.safetensors")


def stored(folder: Path, count: int) -> StoredLocalEmbeds:
    rows = np.arange(count)
    return StoredLocalEmbeds(sorted(folder.iterdir()), rows // IMAGES_PER_FILE, rows % IMAGES_PER_FILE)


def write_photos(folder: Path, kind: str, count: int) -> None:
    generator = np.random.default_rng(0)
    sizes = (min(IMAGES_PER_FILE, count - start) for start in range(0, count, IMAGES_PER_FILE))
    write(folder, (random_local(kind, size, generator) for size in sizes))


class LocalEncoder:
    """The part of an encoder that re-ranking uses."""

    local_weight = WEIGHT

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        config = CaanConfig()
        if kind == "late interaction":
            tokens, width = SHAPES[kind]
            late = {"local_grid": round(tokens**0.5), "local_dim": width, "local_position_weight": POSITION}
            config = CaanConfig(local_matching="late_interaction", **late)
        matching = CaanRelationNetwork if kind == "relation network" else CaanLateInteraction
        self.matching = matching(config).eval()

    @torch.inference_mode()
    def paired_local_scores(self, sketch_local: np.ndarray, photo_local: np.ndarray) -> np.ndarray:
        return self.matching.score_candidates(torch.from_numpy(sketch_local), torch.from_numpy(photo_local)).numpy()


def ours(kind: str, folder: Path, photos: int, local: np.ndarray, candidates: np.ndarray) -> float:
    cosines = np.zeros(candidates.shape, np.float32)
    return float(rerank(LocalEncoder(kind), candidates, cosines, local, stored(folder, photos))[1].mean())


@torch.inference_mode()
def plain(kind: str, folder: Path, photos: int, local: np.ndarray, candidates: np.ndarray) -> float:
    files = [load_file(path)["local_embeds"].astype(np.float32) for path in sorted(folder.iterdir())]
    gallery = np.concatenate(files)
    relation = LocalEncoder(kind).matching
    penalty = torch.from_numpy(position_penalty(round(SHAPES[kind][0] ** 0.5), POSITION))
    total = 0.0
    for sketch, best in zip(torch.from_numpy(local), candidates, strict=True):
        cosines = torch.einsum("mr,knr->kmn", sketch, torch.from_numpy(gallery[best]))
        if kind == "relation network":
            scores = relation.score(cosines[None], sketch[None])[0]
        else:
            inked = sketch.any(-1)
            scores = torch.einsum("km,m->k", (cosines - penalty).amax(-1), inked / inked.sum())
        total += float(scores.sum())
    return WEIGHT * total / candidates.size


def measure(contender: str, kind: str, folder: Path, sketches: int, photos: int, k: int) -> dict[str, float]:
    """Seconds, seconds of all threads, peak memory and mean score of one contender."""
    generator = np.random.default_rng(1)
    local = random_sketches(kind, sketches, generator)
    candidates = generator.integers(photos, size=(sketches, k), dtype=np.uint32)
    start, cpu = time.perf_counter(), time.process_time()
    mean = globals()[contender](kind, folder, photos, local, candidates)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_gib": peak_memory(), "mean": mean}


def measure_whole(folder: Path) -> dict[str, float]:
    """Seconds by stage and peak memory of an evaluation of the size of `sketchy-25`."""
    kind, generator, sides = "late interaction", np.random.default_rng(0), {}
    for side, draw in (("sketches", random_sketches), ("photos", random_local)):
        (folder / side).mkdir()
        sizes = (min(IMAGES_PER_FILE, WHOLE[side] - start) for start in range(0, WHOLE[side], IMAGES_PER_FILE))
        write(folder / side, (draw(kind, size, generator) for size in sizes))
        embeds = generator.standard_normal((WHOLE[side], WHOLE["dim"]), dtype=np.float32)
        embeds /= np.linalg.norm(embeds, axis=1, keepdims=True)
        sides[side] = embeds, generator.integers(WHOLE["categories"], size=WHOLE[side]), folder / side
    (queries, labels, query_files), (gallery, categories, files) = sides["sketches"], sides["photos"]
    result = evaluate_embeddings(
        queries,
        gallery,
        labels,
        categories,
        rerank=WHOLE["k"],
        encoder=LocalEncoder(kind),  # type: ignore[arg-type]  # the part that is used
        sketch_local=stored(query_files, len(queries)),
        photo_local=stored(files, len(gallery)),
    )
    return {**WHOLE, "seconds": result.seconds, "peak_gib": peak_memory()}


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--sketches", type=int, default=200)
    parser.add_argument("--photos", type=int, default=WHOLE["photos"])
    parser.add_argument("--k", type=int, default=WHOLE["k"])
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = {"sketches": options.sketches, "photos": options.photos, "k": options.k}
    if options.measure:
        *names, folder = options.measure
        found = measure(*names, Path(folder), *sizes.values()) if names else measure_whole(Path(folder))
        print(json.dumps(found))
        return
    flags = [word for name, value in sizes.items() for word in (f"--{name}", value)]
    print("{sketches:,} sketches, best {k} of {photos:,} photos each".format(**sizes))
    rows = []
    for kind in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder), kind, options.photos)
            for contender in CONTENDERS:
                row = in_own_process(__file__, "--measure", contender, kind, folder, *flags)
                pairs = options.sketches * options.k
                row |= {"kind": kind, "contender": contender, "pairs": pairs}
                speeds = f"{pairs / row['seconds']:,.0f} pairs/s, {pairs / row['cpu_seconds']:,.0f} per CPU second"
                print(f"{kind}, {contender}: {speeds}, {row['peak_gib']:.2f} GiB", flush=True)
                rows.append(row)
        assert abs(rows[-1]["mean"] - rows[-2]["mean"]) < 1e-3, "contenders disagree"
    record = {**sizes, "rows": rows}
    if options.whole:
        with tempfile.TemporaryDirectory() as folder:
            record["whole"] = in_own_process(__file__, "--measure", folder)
        print("{sketches:,} x {photos:,}: {seconds}, {peak_gib:.2f} GiB".format(**record["whole"]))
    write_record(options.record, record)


if __name__ == "__main__":
    run(main)
