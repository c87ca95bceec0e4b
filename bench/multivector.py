"""Measure late interaction as a first stage with LanceDB's multivector search (see docs/results.md).

    python bench/multivector.py CHECKPOINT DATA [--photos 10000] [--queries 100] [--record FILE]

CHECKPOINT has late interaction. The gallery holds the photos of the test split of DATA, filled up with photos of its
training split, and the queries are sketches of its test split. Today's first stage is the cosine, whose best 100 photos
are re-ranked. The alternatives rank all photos by late interaction: with a matrix product in memory, or with the
multivector search of LanceDB, exact or with its IVF_PQ index. Recall is the share of the 100 photos with the highest
local scores that are among the first 100. LanceDB has no position prior, so that recall is also given against late
interaction without it. P@10 is that of the first 100 after re-ranking by the fused score. All use the tokens as a
gallery stores them.
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
from common import checkpoint_parser, run, write_record
from lancedb.index import IvfPq

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.encoding.late_interaction import late_interaction_scores
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import ZeroShotEvaluator
from caan_hf.gallery.schema import from_local, to_local
from caan_hf.retrieval.reranking import NUM_CANDIDATES, fused

REFINED = (None, 5, 20)
"""Factors of the photos that LanceDB reads and compares exactly after its index; None for no refinement."""
TOP = 10

Search = Callable[[int], np.ndarray]
"""Positions of the first photos for the query of a number."""


def main() -> None:
    parser = checkpoint_parser(__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    stages = FirstStages(options.checkpoint, options.data, options.photos, options.queries)
    size = stages.photos.nbytes + stages.stored.nbytes
    stages.measure("cosine, best 100 re-ranked", stages.by_cosine, size, None)
    stages.measure("late interaction, matrix product in memory", stages.by_late_interaction, size, None)
    with tempfile.TemporaryDirectory() as folder:
        measure_multivector(stages, Path(folder))
    tokens, width = stages.local.shape[1:]
    facts = {"photos": options.photos, "queries": options.queries, "tokens": tokens, "width": width}
    write_record(options.record, {**facts, "rows": stages.rows})


class FirstStages:
    """Photos and queries, and what was measured of each first stage."""

    def __init__(self, checkpoint: str, data: str, photos: int, queries: int):
        self.encoder = load_encoder(checkpoint)
        if self.encoder.local_position_weight is None:
            raise CaanError(f"{checkpoint}: has a relation network. Give a model with late interaction.")
        splits, _ = load_benchmark(data)
        test, train = ZeroShotEvaluator(splits["test"]), ZeroShotEvaluator(splits["train"])
        spread = np.linspace(0, len(test.sketches) - 1, queries).astype(int)
        pictures = [*DatasetPictures(test.photos), *DatasetPictures(train.photos)[: photos - len(test.photos)]]
        sketches = self.encoder.encode(list(DatasetPictures(test.sketches.select(spread))), "sketch", batch_size=64)
        encoded = self.encoder.encode(pictures, "photo", batch_size=64)
        self.sketches, self.sketch_local = sketches.global_embeds, sketches.local_embeds
        self.photos, self.stored = encoded.global_embeds, to_local(encoded.local_embeds)
        self.local = from_local(self.stored, encoded.local_embeds.shape[1:])
        self.is_right = np.zeros((queries, photos), bool)
        self.is_right[:, : len(test.photos)] = test.sketch_categories[spread, None] == test.photo_categories
        self.best = {
            "recall": [set(self.by_late_interaction(number)) for number in range(queries)],
            "recall_without_prior": [set(self.by_late_interaction(number, 0.0)) for number in range(queries)],
        }
        self.rows: list[dict[str, Any]] = []

    def by_cosine(self, number: int) -> np.ndarray:
        first = np.argpartition(-(self.photos @ self.sketches[number]), NUM_CANDIDATES)[:NUM_CANDIDATES]
        self.fused(number, first)
        return first

    def by_late_interaction(self, number: int, position_weight: float | None = None) -> np.ndarray:
        weight = self.encoder.local_position_weight if position_weight is None else position_weight
        scores = late_interaction_scores(self.sketch_local[number, None], self.local, weight)[0]
        return np.argpartition(-scores, NUM_CANDIDATES)[:NUM_CANDIDATES]

    def fused(self, number: int, first: np.ndarray) -> np.ndarray:
        """Fused scores of the photos at some positions."""
        local = self.encoder.paired_local_scores(self.sketch_local[None, number], self.local[None, first])[0]
        return fused(self.photos[first] @ self.sketches[number], local, self.encoder.local_weight)

    def precision(self, number: int, first: np.ndarray) -> float:
        """Share of right photos among the best of the first ones by their fused score."""
        best = first[np.argsort(-self.fused(number, first))[:TOP]]
        return float(self.is_right[number, best].mean())

    def measure(self, name: str, search: Search, size: int, build_seconds: float | None) -> None:
        """Measure a first stage that takes some bytes for all photos, and some seconds to build."""
        count = len(self.sketches)
        wall, cpu = time.perf_counter(), time.process_time()
        found = [search(number) for number in range(count)]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        row = {"name": name, "milliseconds": 1000 * wall / count, "cpu_milliseconds": 1000 * cpu / count}
        row |= {"bytes": size / len(self.local), "build_seconds": build_seconds}
        for recall, best in self.best.items():
            overlaps = [len(one & set(first)) for one, first in zip(best, found, strict=True)]
            row[recall] = float(np.mean(overlaps)) / NUM_CANDIDATES
        row[f"P@{TOP}"] = float(np.mean([self.precision(number, first) for number, first in enumerate(found)]))
        self.rows.append(row)
        print(json.dumps(row), flush=True)


def measure_multivector(stages: FirstStages, folder: Path) -> None:
    """Measure a table of the tokens of all photos, without and with an index."""
    count, tokens, width = stages.local.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(stages.local.ravel()), width)
    column = pa.ListArray.from_arrays(pa.array(np.arange(0, count * tokens + 1, tokens, dtype=np.int32)), vectors)
    start = time.perf_counter()
    table = lancedb.connect(folder).create_table("photos", pa.table({"row": np.arange(count), "tokens": column}))
    built = time.perf_counter() - start

    def search(number: int, refine: int | None = None) -> np.ndarray:
        inked = stages.sketch_local[number][stages.sketch_local[number].any(axis=1)]
        query = table.search(inked, vector_column_name="tokens").distance_type("cosine")
        query = query if refine is None else query.refine_factor(refine)
        return query.limit(NUM_CANDIDATES).select(["row", "_distance"]).to_arrow()["row"].to_numpy()

    stages.measure("LanceDB, exact", search, size_of(folder), built)
    start = time.perf_counter()
    table.create_index("tokens", config=IvfPq(distance_type="cosine"))
    built += time.perf_counter() - start
    for refine in REFINED:
        name = "LanceDB, IVF_PQ" + (f", {refine} times as many photos refined" if refine else "")
        stages.measure(name, lambda number, n=refine: search(number, n), size_of(folder), built)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    run(main)
