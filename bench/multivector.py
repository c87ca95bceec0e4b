"""Measure late interaction as a first stage with LanceDB's multivector search (see docs/results.md).

    python bench/multivector.py CHECKPOINT DATA [--photos 10000] [--queries 20] [--record FILE]

CHECKPOINT has late interaction. The photos are the first of the training split of DATA, and the queries are sketches of
its test split. Today's first stage is the cosine, whose best 100 photos are re-ranked. The alternatives rank all photos
by late interaction: with a matrix product in memory, or with the multivector search of LanceDB, exact or with its
IVF_PQ index. Recall is the share of the 100 photos with the highest local scores that are among the first 100. LanceDB
has no position prior, so that recall is also given against late interaction without it. All use the tokens as a gallery
stores them.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from common import checkpoint_parser, run
from lancedb.index import IvfPq

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.late_interaction import late_interaction_scores
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import ZeroShotEvaluator
from caan_hf.gallery.schema import from_local, to_local
from caan_hf.retrieval.reranking import NUM_CANDIDATES

PROBES = (20, 80)
REFINE = 5

Search = Callable[[int], np.ndarray]
"""Positions of the first photos for the query of a number."""


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    encoder = load_encoder(options.checkpoint)
    if encoder.local_position_weight is None:
        raise CaanError(f"{options.checkpoint}: has a relation network. Give a model with late interaction.")
    splits, _ = load_benchmark(options.data)
    photo_rows, sketch_rows = ZeroShotEvaluator(splits["train"]).photos, ZeroShotEvaluator(splits["test"]).sketches
    spread = np.linspace(0, len(sketch_rows) - 1, options.queries).astype(int)
    sketches = encoder.encode(list(DatasetPictures(sketch_rows.select(spread))), "sketch")
    start = time.perf_counter()
    photos = encoder.encode(list(DatasetPictures(photo_rows)[: options.photos]), "photo", batch_size=64)
    print(f"{len(photos.global_embeds):,} photos encoded in {time.perf_counter() - start:.0f} s", flush=True)
    stored = to_local(photos.local_embeds)
    local = from_local(stored, photos.local_embeds.shape[1:])

    def by_cosine(number: int) -> np.ndarray:
        cosines = photos.global_embeds @ sketches.global_embeds[number]
        first = np.argpartition(-cosines, NUM_CANDIDATES)[:NUM_CANDIDATES]
        encoder.paired_local_scores(sketches.local_embeds[None, number], local[None, first])
        return first

    def by_late_interaction(number: int, position_weight: float) -> np.ndarray:
        scores = late_interaction_scores(sketches.local_embeds[number, None], local, position_weight)[0]
        return np.argpartition(-scores, NUM_CANDIDATES)[:NUM_CANDIDATES]

    wanted = {
        name: [set(by_late_interaction(number, weight).tolist()) for number in range(options.queries)]
        for name, weight in (("recall", encoder.local_position_weight), ("recall_without_prior", 0.0))
    }
    rows = []

    def measure(name: str, search: Search, **facts: float) -> None:
        seconds = {"wall": -time.perf_counter(), "cpu": -time.process_time()}
        found = [set(search(number).tolist()) for number in range(options.queries)]
        seconds = {"wall": seconds["wall"] + time.perf_counter(), "cpu": seconds["cpu"] + time.process_time()}
        row: dict[str, Any] = {"name": name, **facts}
        row |= {f"{clock}_ms": 1000 * value / options.queries for clock, value in seconds.items()}
        for recall, best in wanted.items():
            row[recall] = sum(len(one & other) for one, other in zip(found, best, strict=True)) / (
                NUM_CANDIDATES * options.queries
            )
        rows.append(row)
        print(json.dumps(row), flush=True)

    size = (photos.global_embeds.nbytes + stored.nbytes) / len(local)
    measure("cosine, best 100 re-ranked", by_cosine, bytes=size, build_seconds=0)
    weight = encoder.local_position_weight
    measure("late interaction, all photos in memory", lambda number: by_late_interaction(number, weight), bytes=size)
    with tempfile.TemporaryDirectory() as folder:
        multivector_rows(Path(folder), local, sketches.local_embeds, measure)
    if options.record:
        tokens, width = local.shape[1:]
        facts = {"photos": len(local), "queries": options.queries, "tokens": tokens, "width": width}
        options.record.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def multivector_rows(folder: Path, local: np.ndarray, queries: np.ndarray, measure: Callable[..., None]) -> None:
    """Measure a table of the tokens of all photos, without and with an index."""
    count, tokens, width = local.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(local.ravel()), width)
    column = pa.ListArray.from_arrays(pa.array(np.arange(0, count * tokens + 1, tokens, dtype=np.int32)), vectors)
    start = time.perf_counter()
    table = lancedb.connect(folder).create_table("photos", pa.table({"row": np.arange(count), "tokens": column}))

    def search(number: int, probes: int = 20, refine: int | None = None) -> np.ndarray:
        inked = queries[number][queries[number].any(axis=1)]
        query = table.search(inked, vector_column_name="tokens").distance_type("cosine").nprobes(probes)
        query = query if refine is None else query.refine_factor(refine)
        return query.limit(NUM_CANDIDATES).select(["row", "_distance"]).to_arrow()["row"].to_numpy()

    facts = {"bytes": _size(folder) / count, "build_seconds": time.perf_counter() - start}
    measure("LanceDB multivector, exact", search, **facts)
    start = time.perf_counter()
    table.create_index("tokens", config=IvfPq(distance_type="cosine"))
    facts = {"bytes": _size(folder) / count, "build_seconds": time.perf_counter() - start}
    for probes in PROBES:
        measure(f"LanceDB multivector, IVF_PQ, {probes} probes", lambda number, n=probes: search(number, n), **facts)
    name = f"LanceDB multivector, IVF_PQ, {PROBES[0]} probes, refined with {REFINE} times as many"
    measure(name, lambda number: search(number, PROBES[0], REFINE), **facts)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    run(main)
