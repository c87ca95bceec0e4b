"""Encodes photos with Ray Data on any number of machines. The calling process writes the table."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data

from caan_hf.encoding.identity import DType
from caan_hf.encoding.load import load_encoder
from caan_hf.utils.prefetch import map_ahead

from .engine import Chunk, PhotoReader, PreparedPhoto, encode_photos
from .options import IndexOptions
from .schema import KEY, GalleryInfo
from .sources import PhotoSource

PROBLEM = "problem"
"""Column of a worker's output: the reason why a photo cannot be used. The other columns are then null."""
BLOCKS_PER_WORKER = 8
MAX_BLOCK_ROWS = 8192
"""Photos per block. Smaller blocks let all workers finish at about the same time."""
READERS = 4
"""Threads per worker that read and decode photos."""


@dataclass(frozen=True)
class RayEngine:
    """Encodes photos on a Ray cluster: the one at `RAY_ADDRESS`, one that runs on this machine, or a new local one.

    If a machine fails, the others encode its photos. Photos and model must have the same paths on all machines, on a
    shared file system or the Hub.

    Attributes:
        model: Folder or Hub id of the model.
        info: The gallery.
        options: What is stored of each photo, batch size, and number of workers. By default, there is one worker per
            GPU, or without GPUs one per core.
        device: Device of the model; a GPU by default if the worker has one.
        dtype: Precision in which the model computes. With "auto", each machine chooses its own.
    """

    model: str
    info: GalleryInfo
    options: IndexOptions
    device: str | None = None
    dtype: DType = "auto"

    def __call__(self, source: PhotoSource, todo: pa.Table) -> Iterator[Chunk]:
        """Encode the photos, in no particular order."""
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
        # Ray's own progress bars and plans would mix with the progress of indexing.
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        batch_size = self.options.batch_size
        gpus = int(ray.cluster_resources().get("GPU", 0)) if self.device != "cpu" else 0
        available = gpus or int(ray.cluster_resources()["CPU"])
        workers = min(self.options.workers or available, available)  # Ray would wait forever for more machines
        block_rows = max(batch_size, min(MAX_BLOCK_ROWS, len(todo) // (BLOCKS_PER_WORKER * workers)))
        blocks = [todo.slice(start, block_rows).combine_chunks() for start in range(0, len(todo), block_rows)]
        encoded = ray.data.from_arrow(blocks).map_batches(
            RayWorker,
            fn_constructor_args=(source, self),
            batch_size=batch_size,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks))),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        batches: Iterator[Any] = iter(encoded.iter_batches(batch_size=None, batch_format="pyarrow"))
        for batch in batches:
            is_usable = pc.is_null(batch[PROBLEM])
            problems = batch.filter(pc.invert(is_usable)).select([KEY, PROBLEM]).to_pylist()
            yield Chunk(batch.filter(is_usable).drop_columns([PROBLEM]), [(one[KEY], one[PROBLEM]) for one in problems])


class RayWorker:
    """Reads and encodes photos on one of the machines."""

    def __init__(self, source: PhotoSource, engine: RayEngine):
        self.encoder = load_encoder(engine.model, device=engine.device, dtype=engine.dtype)
        self.local = engine.info.local
        engine.info.require(self.encoder.identity, engine.model, "the gallery")
        self.reader = PhotoReader(source, self.encoder, engine.options)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of the gallery's table, with the column `problem`, from a batch of the listing."""
        photos = map_ahead(self._prepare, batch.to_pylist(), workers=READERS)
        chunk = encode_photos(self.encoder, list(photos), local=self.local)
        rows = chunk.rows.append_column(PROBLEM, pa.nulls(len(chunk.rows), pa.string()))
        problems = [{KEY: path, PROBLEM: reason} for path, reason in chunk.problems]
        return pa.concat_tables([rows, pa.Table.from_pylist(problems, schema=rows.schema)]).combine_chunks()

    def _prepare(self, listed: dict[str, Any]) -> PreparedPhoto:
        return self.reader.prepare(self.reader.read(**listed))
