"""Re-ranking by relation: local embeddings read from disk in bounded memory, against all of them in memory.

    python bench/rerank.py [--sketches 500] [--photos 17101] [--k 200]

Each contender runs in a process of its own, so that its peak memory is its own: `ours` reads the local embeddings of
candidates from the cache's files as it needs them; `in memory` is the obvious program, which holds all in float32 and
scores a query at a time. Local embeddings have the paper recipe's size (49 tokens of 512), and so has the relation
network. The gallery of `sketchy-25` has 17,101 photos; all its 15,229 sketches take 15,229 / SKETCHES times as long.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from caan_hf import CaanConfig
from caan_hf.encoding.cache import StoredLocalEmbeds
from caan_hf.relation_caan import CaanRelationNetwork
from caan_hf.retrieval.reranking import rerank

TOKENS, WIDTH = 49, 512
IMAGES_PER_FILE = 2048


def write(folder: Path, photos: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for start in range(0, photos, IMAGES_PER_FILE):
        size = min(IMAGES_PER_FILE, photos - start)
        local = torch.randn(size, TOKENS, WIDTH, generator=generator).div_(WIDTH**0.5).half()
        save_file({"local_embeds": local}, folder / f"{start:07}.safetensors")


def problem(sketches: int, photos: int, k: int) -> tuple[torch.Tensor, torch.Tensor, CaanRelationNetwork]:
    generator = torch.Generator().manual_seed(1)
    local = torch.randn(sketches, TOKENS, WIDTH, generator=generator).div_(WIDTH**0.5)
    candidates = torch.randint(photos, (sketches, k), generator=generator)
    torch.manual_seed(0)
    return local, candidates, CaanRelationNetwork(CaanConfig()).eval()


class Scorer:
    """The part of an encoder that re-ranking uses."""

    def __init__(self, relation: CaanRelationNetwork):
        self.relation = relation

    @torch.inference_mode()
    def paired_relation_logits(self, sketch_local: np.ndarray, photo_local: np.ndarray) -> np.ndarray:
        return self.relation.score_candidates(torch.from_numpy(sketch_local), torch.from_numpy(photo_local)).numpy()


def ours(folder: Path, photos: int, local, candidates, relation) -> torch.Tensor:
    place = np.arange(photos)
    stored = StoredLocalEmbeds(sorted(folder.iterdir()), place // IMAGES_PER_FILE, place % IMAGES_PER_FILE)
    _, logits = rerank(Scorer(relation), candidates.numpy().astype(np.uint32), local.numpy(), stored)
    return torch.from_numpy(logits)


def in_memory(folder: Path, photos: int, local, candidates, relation) -> torch.Tensor:
    from safetensors.torch import load_file  # noqa: PLC0415

    gallery = torch.cat([load_file(path)["local_embeds"].float() for path in sorted(folder.iterdir())])
    with torch.no_grad():
        pairs = zip(local, candidates, strict=True)
        return torch.cat([relation.score_candidates(sketch[None], gallery[best][None]) for sketch, best in pairs])


CONTENDERS = {"ours": ours, "in memory": in_memory}


def measure(contender: str, folder: Path, sketches: int, photos: int, k: int) -> None:
    data = problem(sketches, photos, k)
    start = time.perf_counter()
    logits = CONTENDERS[contender](folder, photos, *data)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak": peak, "mean": logits.double().mean().item()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.photos)
        means = []
        for contender in CONTENDERS:
            arguments = ["--sketches", "--photos", "--k"]
            flags = [text for pair in zip(arguments, map(str, sizes), strict=True) for text in pair]
            command = [sys.executable, __file__, "--measure", contender, folder, *flags]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            rate = options.sketches * options.k / found["seconds"]
            print(f"{contender:<12}{found['seconds']:>9.1f}{rate:>10.0f}{found['peak']:>10.2f}", flush=True)
            means.append(found["mean"])
    assert abs(means[0] - means[1]) < 1e-3, "contenders disagree"


if __name__ == "__main__":
    main()
