"""Ranking and metrics from embeddings: ours against the straightforward way, in one run on the same random embeddings.

    python bench/evaluation.py [--sizes small,sketchy,quickdraw] [--dim 512]

Each contender runs in a process of its own, so that its peak memory is its own. `numpy` is the obvious program: for
each query one product with the gallery, one full argsort, and the metrics from the sorted relevance. It gives
`standard` alone, ours all four conventions. `torchmetrics` takes part if it is installed, at the small size.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from caan_hf.evaluation.ranking import rank_hits

from caan_hf.evaluation.conventions import CONVENTIONS
from caan_hf.evaluation.metrics import MetricAccumulator

# name -> sketches, photos, categories, contenders
SIZES = {
    "small": (2_000, 2_000, 25, ("ours", "numpy", "torchmetrics")),
    "sketchy": (15_229, 17_101, 25, ("ours", "numpy")),
    "quickdraw": (92_291, 54_151, 30, ("ours",)),
}


def embeddings(size: str, dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random, with some of the category in them, so that the ranking is neither chance nor perfect."""
    sketches, photos, categories, _ = SIZES[size]
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(categories, dim, generator=generator)
    shares = torch.rand(categories, generator=generator) + 0.5  # categories differ in size
    labels = [torch.multinomial(shares, n, replacement=True, generator=generator) for n in (sketches, photos)]
    embeds = [centres[some] * 0.15 + torch.randn(len(some), dim, generator=generator) for some in labels]
    return (*(torch.nn.functional.normalize(some, dim=1) for some in embeds), *labels)


def ours(queries, gallery, query_labels, gallery_labels) -> dict[str, float]:
    """The evaluator's way, in all conventions."""
    metrics = MetricAccumulator(tuple(CONVENTIONS))
    for chunk in rank_hits(queries, gallery, query_labels, gallery_labels):
        metrics.update(chunk.hits, query_labels[chunk.queries], chunk.queries)
    return metrics.compute().conventions["standard"]


def numpy(queries, gallery, query_labels, gallery_labels) -> dict[str, float]:
    """A loop over queries, each with a full argsort."""
    queries, gallery, query_labels, gallery_labels = (
        tensor.numpy() for tensor in (queries, gallery, query_labels, gallery_labels)
    )
    ranks = np.arange(1, len(gallery) + 1)
    found = []
    for query, label in zip(queries, query_labels, strict=True):
        relevance = gallery_labels[np.argsort(-(gallery @ query), kind="stable")] == label
        precision = np.cumsum(relevance) / ranks
        relevant = relevance.sum()
        best = relevance[:200]
        found.append(
            (
                (precision * relevance).sum() / relevant,
                (precision[:200] * best).sum() / min(200, relevant),
                relevance[:100].mean(),
                best.mean(),
            )
        )
    return dict(zip(("mAP@all", "mAP@200", "P@100", "P@200"), np.mean(found, axis=0).tolist(), strict=True))


def torchmetrics(queries, gallery, query_labels, gallery_labels) -> dict[str, float]:
    """RetrievalMAP of all pairs, which is what repositories based on it do.

    It takes a relevant photo with a score of 0 or less for an irrelevant one, so cosines are moved above 0 first.
    """
    from torchmetrics.retrieval import RetrievalMAP  # noqa: PLC0415 - may not be installed

    scores = queries @ gallery.T + 2
    indexes = torch.arange(len(queries))[:, None].expand_as(scores)
    target = query_labels[:, None] == gallery_labels
    return {"mAP@all": float(RetrievalMAP()(scores.flatten(), target.flatten(), indexes=indexes.flatten()))}


def measure(contender: str, size: str, dim: int) -> None:
    """In a process of its own: prints seconds, peak memory and the metrics."""
    data = embeddings(size, dim)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    metrics = globals()[contender](*data)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak": peak / 2**20, "grown": (peak - before) / 2**20, "metrics": metrics}))


def run(contender: str, size: str, dim: int) -> dict | None:
    command = [sys.executable, __file__, "--measure", contender, "--sizes", size, "--dim", str(dim)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{size:<11}{contender:<14}not run: {done.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.sizes.split(",")
    if options.measure:
        measure(options.measure, sizes[0], options.dim)
        return
    print(f"torch {torch.__version__}, numpy {np.__version__}, {torch.get_num_threads()} threads, d = {options.dim}")
    print(f"{'size':<11}{'contender':<14}{'seconds':>9}{'ratio':>8}{'peak GiB':>10}{'grown GiB':>11}{'mAP@all':>9}")
    for size in sizes:
        first = None
        for contender in SIZES[size][3]:
            result = run(contender, size, options.dim)
            if result is None:
                continue
            first = first or result
            ratio = result["seconds"] / first["seconds"]
            assert abs(result["metrics"]["mAP@all"] - first["metrics"]["mAP@all"]) < 1e-4, "contenders disagree"
            print(
                f"{size:<11}{contender:<14}{result['seconds']:>9.1f}{ratio:>8.1f}{result['peak']:>10.2f}"
                f"{result['grown']:>11.2f}{result['metrics']['mAP@all']:>9.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
