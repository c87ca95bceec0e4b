"""Compare our ranking and metrics with a simple implementation, on the same random embeddings (see docs/results.md).

    python bench/evaluation.py [--sizes small,sketchy,quickdraw] [--dim 512]

Each contender runs in a separate process, so that its peak memory can be measured. `numpy` is the simple program: for
each query one product with the gallery, one full argsort, and the metrics of convention `standard`; `batched` does so
for 64 queries at a time. `ours` computes all conventions. `torchmetrics` is included at the small size if it is
installed.
"""

import argparse
import json
import time

import numpy as np
from common import in_own_process, options_parser, peak_memory, run

from caan_hf.errors import CaanError
from caan_hf.evaluation import evaluate_embeddings
from caan_hf.utils.prefetch import default_workers

# name -> sketches, photos, categories, contenders
SIZES = {
    "small": (2_000, 2_000, 25, ("ours", "numpy", "batched", "torchmetrics")),
    "sketchy": (15_229, 17_101, 25, ("ours", "numpy", "batched")),
    "quickdraw": (92_291, 54_151, 30, ("ours", "batched")),
}


def embeddings(size: str, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random embeddings with some category information, so that the ranking is neither random nor perfect."""
    sketches, photos, categories, _ = SIZES[size]
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((categories, dim), np.float32)
    shares = generator.random(categories) + 0.5  # categories differ in size
    labels = [generator.choice(categories, n, p=shares / shares.sum()) for n in (sketches, photos)]
    embeds = [centres[some] * 0.15 + generator.standard_normal((len(some), dim), np.float32) for some in labels]
    return (*(some / np.linalg.norm(some, axis=1, keepdims=True) for some in embeds), *labels)


def ours(queries, gallery, query_labels, gallery_labels) -> dict[str, float]:
    return evaluate_embeddings(queries, gallery, query_labels, gallery_labels).conventions["standard"]


def numpy(queries, gallery, query_labels, gallery_labels, batch_size=1) -> dict[str, float]:
    """A loop over batches of queries, each with a full stable argsort."""
    ranks = np.arange(1, len(gallery) + 1)
    rows = []
    for start in range(0, len(queries), batch_size):
        batch = slice(start, start + batch_size)
        order = np.argsort(-(queries[batch] @ gallery.T), axis=1, kind="stable")
        relevance = gallery_labels[order] == query_labels[batch, None]
        precision = np.cumsum(relevance, axis=1) / ranks
        relevant = relevance.sum(axis=1)
        best = relevance[:, :200]
        columns = (
            (precision * relevance).sum(axis=1) / relevant,
            (precision[:, :200] * best).sum(axis=1) / np.minimum(200, relevant),
            relevance[:, :100].mean(axis=1),
            best.mean(axis=1),
        )
        rows += zip(*columns, strict=True)
    return dict(zip(("mAP@all", "mAP@200", "P@100", "P@200"), np.mean(rows, axis=0).tolist(), strict=True))


def batched(queries, gallery, query_labels, gallery_labels) -> dict[str, float]:
    """The same in batches of 64 queries."""
    return numpy(queries, gallery, query_labels, gallery_labels, batch_size=64)


def torchmetrics(queries, gallery, query_labels, gallery_labels) -> dict[str, float]:
    """RetrievalMAP of all pairs.

    It treats a relevant photo with a score of 0 or less as irrelevant, so 2 is added to the cosines.
    """
    import torch  # noqa: PLC0415
    from torchmetrics.retrieval import RetrievalMAP  # noqa: PLC0415 - may not be installed

    scores = torch.from_numpy(queries @ gallery.T + 2)
    indexes = torch.arange(len(queries))[:, None].expand_as(scores)
    target = torch.from_numpy(query_labels[:, None] == gallery_labels)
    return {"mAP@all": float(RetrievalMAP()(scores.flatten(), target.flatten(), indexes=indexes.flatten()))}


def measure(contender: str, size: str, dim: int) -> None:
    """Print seconds, peak memory and metrics of one contender as JSON; runs in a separate process."""
    data = embeddings(size, dim)
    before, start = peak_memory(), time.perf_counter()
    metrics = globals()[contender](*data)
    seconds, peak = time.perf_counter() - start, peak_memory()
    print(json.dumps({"seconds": seconds, "peak": peak, "grown": peak - before, "metrics": metrics}))


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.sizes.split(",")
    if options.measure:
        measure(options.measure, sizes[0], options.dim)
        return
    print(f"numpy {np.__version__}, {default_workers()} threads, d = {options.dim}")
    print(f"{'size':<11}{'contender':<14}{'seconds':>9}{'ratio':>8}{'peak GiB':>10}{'grown GiB':>11}{'mAP@all':>9}")
    for size in sizes:
        first = None
        for contender in SIZES[size][3]:
            try:
                result = in_own_process(__file__, "--measure", contender, "--sizes", size, "--dim", options.dim)
            except CaanError as error:
                print(f"{size:<11}{contender:<14}left out: {error}")
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
    run(main)
