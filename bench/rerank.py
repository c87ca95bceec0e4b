"""Compare re-ranking with local embeddings on disk, in bounded memory, with all of them in memory.

    python bench/rerank.py [--sketches 500] [--photos 17101] [--k 200]

Each contender runs in a separate process, so that its peak memory can be measured. `ours` reads the local embeddings of
the candidates from the files of the cache. `in_memory` is the simple program, which holds all of them in float32 and
scores one query at a time. Local embeddings (49 tokens of 512) and relation network have the size of the paper recipe.
The gallery of `sketchy-25` has 17,101 photos; all its 15,229 sketches take 15,229 / SKETCHES times as long.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import in_own_process, options_parser, peak_memory, run
from safetensors.numpy import load_file, save_file

from caan_hf import CaanConfig
from caan_hf.encoding.cache import StoredLocalEmbeds
from caan_hf.local_matching_caan import CaanRelationNetwork
from caan_hf.retrieval.reranking import rerank

TOKENS, WIDTH = 49, 512
IMAGES_PER_FILE = 2048


def random_local(count: int, generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((count, TOKENS, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)


def write(folder: Path, photos: int) -> None:
    generator = np.random.default_rng(0)
    for start in range(0, photos, IMAGES_PER_FILE):
        local = random_local(min(IMAGES_PER_FILE, photos - start), generator).astype(np.float16)
        save_file({"local_embeds": local}, folder / f"{start:07}.safetensors")


class RelationEncoder:
    """The part of an encoder that re-ranking uses."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.relation = CaanRelationNetwork(CaanConfig()).eval()

    @torch.inference_mode()
    def paired_local_scores(self, sketch_local: np.ndarray, photo_local: np.ndarray) -> np.ndarray:
        return self.relation.score_candidates(torch.from_numpy(sketch_local), torch.from_numpy(photo_local)).numpy()


def ours(folder: Path, photos: int, local: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    rows = np.arange(photos)
    stored = StoredLocalEmbeds(sorted(folder.iterdir()), rows // IMAGES_PER_FILE, rows % IMAGES_PER_FILE)
    return rerank(RelationEncoder(), candidates, local, stored)[1]


def in_memory(folder: Path, photos: int, local: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    encoder = RelationEncoder()
    gallery = np.concatenate([load_file(path)["local_embeds"].astype(np.float32) for path in sorted(folder.iterdir())])
    pairs = zip(local, candidates, strict=True)
    return np.concatenate([encoder.paired_local_scores(one[None], gallery[best][None]) for one, best in pairs])


def measure(contender: str, folder: Path, sketches: int, photos: int, k: int) -> None:
    """Print seconds, peak memory and mean logit of one contender as JSON; runs in a separate process."""
    generator = np.random.default_rng(1)
    local = random_local(sketches, generator)
    candidates = generator.integers(photos, size=(sketches, k), dtype=np.uint32)
    start = time.perf_counter()
    logits = globals()[contender](folder, photos, local, candidates)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": peak_memory(), "mean": float(logits.mean(dtype=np.float64))}))


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--sketches", type=int, default=500)
    parser.add_argument("--photos", type=int, default=17_101)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.sketches, options.photos, options.k
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]), *sizes)
        return
    print(f"{options.sketches:,} sketches, best {options.k} of {options.photos:,} photos each")
    print(f"{'contender':<12}{'seconds':>9}{'pairs/s':>10}{'peak GiB':>10}")
    flags = [word for pair in zip(("--sketches", "--photos", "--k"), sizes, strict=True) for word in pair]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.photos)
        means = []
        for contender in ("ours", "in_memory"):
            result = in_own_process(__file__, "--measure", contender, folder, *flags)
            rate = options.sketches * options.k / result["seconds"]
            print(f"{contender:<12}{result['seconds']:>9.1f}{rate:>10.0f}{result['peak']:>10.2f}", flush=True)
            means.append(result["mean"])
    assert abs(means[0] - means[1]) < 1e-3, "contenders disagree"


if __name__ == "__main__":
    run(main)
