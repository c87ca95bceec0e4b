"""Compare searching a large gallery on disk with faiss in memory, and measure each stage of a search.

    python bench/gallery.py [--rows 1000000] [--dims 192,512] [--folder /tmp/bench-gallery]
    python bench/gallery.py stages --gallery GALLERY --sketch SKETCH [--models CHECKPOINT,ONNX_EXPORT]

The vectors are clustered and have decaying variance, like embeddings. Queries are other vectors from the same
clusters, with 1.5 times the noise of photos. Each contender builds and searches in a separate process, so that its peak
memory can be measured; "grown" is the peak memory in addition to that of the imports. The first 20 of 220 queries are
not counted.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import in_own_process, options_parser, peak_memory, run

ROWS_PER_CHUNK = 50_000
QUERIES, WARM = 200, 20
K = 10
CONTENDERS = ("ours", "faiss-flat", "faiss-hnsw")
NOISE, QUERY_NOISE = 0.7, 1.05
STAGES = ("read", "encode", "search", "rerank", "explain", "figure")


def centres(rows: int, dim: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.standard_normal((max(100, rows // 500), dim), dtype=np.float32) * spectrum(dim)


def spectrum(dim: int) -> np.ndarray:
    return (np.arange(1, dim + 1) ** -0.5).astype(np.float32)


def draw(middle: np.ndarray, count: int, noise: float, generator: np.random.Generator) -> np.ndarray:
    chosen = middle[generator.integers(0, len(middle), count)]
    values = chosen + noise * generator.standard_normal(chosen.shape, dtype=np.float32) * spectrum(middle.shape[1])
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def write_vectors(folder: Path, rows: int, dim: int) -> None:
    """Write the vectors, the queries and the true nearest neighbours, unless they exist."""
    if (folder / "true.npy").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    middle = centres(rows, dim)
    queries = draw(middle, QUERIES + WARM, QUERY_NOISE, np.random.default_rng(2))
    best = np.full((len(queries), K), -np.inf, np.float32)
    ids = np.zeros((len(queries), K), np.int64)
    generator = np.random.default_rng(1)
    with (folder / "vectors.f32").open("wb") as file:
        for start in range(0, rows, ROWS_PER_CHUNK):
            values = draw(middle, min(ROWS_PER_CHUNK, rows - start), NOISE, generator)
            values.tofile(file)
            scores = np.concatenate([best, queries @ values.T], axis=1)
            names = np.broadcast_to(np.arange(start, start + len(values)), (len(queries), len(values)))
            names = np.concatenate([ids, names], axis=1)
            top = np.argpartition(-scores, K - 1, axis=1)[:, :K]
            best, ids = np.take_along_axis(scores, top, 1), np.take_along_axis(names, top, 1)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "true.npy", ids)


def chunks(folder: Path, dim: int):
    with (folder / "vectors.f32").open("rb") as file:
        while len(values := np.fromfile(file, np.float32, ROWS_PER_CHUNK * dim)):
            yield values.reshape(-1, dim)


def build_ours(folder: Path, dim: int) -> Iterator[None]:
    import pyarrow as pa

    from caan_hf.encoding.identity import EncoderIdentity
    from caan_hf.gallery.schema import GLOBAL, GalleryInfo, to_vectors
    from caan_hf.gallery.table import PhotoTable
    from caan_hf.gallery.vector_index import maintain_index

    yield
    identity = EncoderIdentity("00", "00", "00", "float32", image_size=224, global_dim=dim, local_shape=None)
    info = GalleryInfo(model="bench", identity=identity, local=False)
    table = PhotoTable.create_or_open(folder / "gallery", info)
    first = 0
    for values in chunks(folder, dim):
        count = len(values)
        columns = {field.name: pa.nulls(count, field.type) for field in table.table.schema}
        columns |= {"path": [str(first + number) for number in range(count)], GLOBAL: to_vectors(values)}
        table.upsert(pa.table(columns, schema=table.table.schema))
        first += count
    print("written", file=sys.stderr)
    maintain_index(table)
    yield


def open_ours(folder: Path):
    from caan_hf.gallery.table import PhotoTable

    table = PhotoTable.open(folder / "gallery")
    return lambda query: [int(path) for path in table.nearest(query, K, ["path"])["path"].to_pylist()]


def build_faiss(folder: Path, dim: int, kind: str) -> Iterator[None]:
    import faiss

    yield
    index = faiss.IndexFlatIP(dim) if kind == "flat" else faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
    for values in chunks(folder, dim):
        index.add(values)
    faiss.write_index(index, str(folder / f"faiss-{kind}"))
    yield


def open_faiss(folder: Path, kind: str):
    import faiss

    index = faiss.read_index(str(folder / f"faiss-{kind}"))
    if kind == "hnsw":
        tune_hnsw(index, folder)
    return lambda query: index.search(query[None], K)[1][0].tolist()


def tune_hnsw(index, folder: Path) -> None:
    """Set the smallest efSearch with a recall of 95 % on the queries that are not counted, as `nprobes` is chosen."""
    queries, true = np.load(folder / "queries.npy")[:WARM], np.load(folder / "true.npy")[:WARM]
    for index.hnsw.efSearch in (64, 128, 256, 512, 1024):
        found = index.search(queries, K)[1]
        hits = sum(len(set(row) & set(wanted)) for row, wanted in zip(found.tolist(), true.tolist(), strict=True))
        if hits >= 0.95 * true.size:
            break


def measure(step: str, contender: str, folder: Path, dim: int) -> None:
    """Build or search with one contender, and print the measurements as JSON; runs in a separate process."""
    kind = contender.removeprefix("faiss-")
    if step == "build":
        stages = build_ours(folder, dim) if contender == "ours" else build_faiss(folder, dim, kind)
        next(stages)
        before, start = peak_memory(), time.perf_counter()
        next(stages)
        print(json.dumps({"seconds": time.perf_counter() - start, "grown": peak_memory() - before}))
        return
    if contender == "ours":
        import caan_hf.gallery.table  # noqa: F401 - memory of the imports is not counted
    else:
        import faiss  # noqa: F401
    before = peak_memory()
    search = open_ours(folder) if contender == "ours" else open_faiss(folder, kind)
    queries, true = np.load(folder / "queries.npy"), np.load(folder / "true.npy")
    times, hits = [], 0
    for number, query in enumerate(queries):
        start = time.perf_counter()
        found = search(query)
        if number >= WARM:
            times.append(time.perf_counter() - start)
            hits += len(set(found) & set(true[number].tolist()))
    p50, p95 = np.quantile(times, [0.5, 0.95]) * 1000
    print(json.dumps({"p50": p50, "p95": p95, "recall": hits / K / QUERIES, "grown": peak_memory() - before}))


def compare(options) -> None:
    """Compare all contenders at all widths."""
    print(f"{options.rows:,} vectors, {QUERIES} queries, recall@{K} against exact; times in ms, memory in GiB")
    print(f"{'':<17}{'build':>17}{'search':>33}")
    print(f"{'d':>4} {'contender':<12}{'s':>9}{'grown':>8}{'p50':>9}{'p95':>8}{'recall':>8}{'grown':>8}{'vectors':>9}")
    for dim in map(int, options.dims.split(",")):
        folder = options.folder / f"{options.rows}-{dim}"
        write_vectors(folder, options.rows, dim)
        for contender in options.contenders.split(","):
            words = "--contender", contender, "--folder", folder, "--dims", dim
            built, found = (in_own_process(__file__, step, *words) for step in ("build", "search"))
            size = options.rows * dim * 4 / 2**30
            print(
                f"{dim:>4} {contender:<12}{built['seconds']:>9.1f}{built['grown']:>8.2f}{found['p50']:>9.2f}"
                f"{found['p95']:>8.2f}{found['recall']:>8.3f}{found['grown']:>8.2f}{size:>9.2f}",
                flush=True,
            )


def stages(options) -> None:
    """Print the median time of each stage of a search in milliseconds, over 20 rounds."""
    from caan_hf.encoding.sketch_file import load_sketch
    from caan_hf.gallery import Gallery, SearchOptions

    print(f"{'model':<40}" + "".join(f"{stage:>9}" for stage in STAGES))
    for model in options.models.split(",") if options.models else [None]:
        gallery = Gallery.open(options.gallery, model=model, device="cpu")
        rounds = []
        for _ in range(25):
            marks = [time.perf_counter()]

            def mark(marks=marks):
                marks.append(time.perf_counter())

            image = load_sketch(options.sketch)
            mark()
            query = gallery.encode_sketch(image)
            mark()
            results = gallery.search(query, SearchOptions(k=K, rerank=False))
            mark()
            gallery.search(query, SearchOptions(k=K, rerank=True))
            mark()
            explanation = gallery.explain(query, results[0])
            mark()
            explanation.figure()
            mark()
            rounds.append(np.diff(marks))
        medians = np.median(rounds[5:], axis=0) * 1000
        name = str(model or gallery.info.model)
        print(f"{name[-38:]:<40}" + "".join(f"{value:>9.1f}" for value in medians))


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("step", nargs="?", default="compare", choices=("compare", "build", "search", "stages"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dims", default="192,512")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/bench-gallery"))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--gallery")
    parser.add_argument("--sketch")
    parser.add_argument("--models")
    options = parser.parse_args()
    if options.step == "compare":
        compare(options)
    elif options.step == "stages":
        stages(options)
    else:
        measure(options.step, options.contender, options.folder, int(options.dims))


if __name__ == "__main__":
    run(main)
