"""Embeds photos with Ray Data, on any number of machines; the table is written by the process that asked."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data

from .encoder import load_encoder
from .local_engine import Chunk
from .rows import KEY, PROBLEM, Preparation, RowSettings, encode_rows, row_schema
from .sources import PhotoSource
from .table import GalleryInfo

BLOCKS_A_WORKER = 8
MAX_BLOCK_ROWS = 8192
"""Photos that are handed out together: few enough that the last worker does not keep all others waiting."""
READERS = 4
"""Threads of a worker that read and decode."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know beside the photos.

    Attributes:
        model: folder or Hub id, to be found by every machine.
        info: the gallery.
        settings: what is kept of a photo.
        device: where to compute; a GPU if the worker has one.
        dtype: precision in which to compute.
    """

    model: str
    info: GalleryInfo
    settings: RowSettings
    device: str | None
    dtype: str


class RayEngine:
    """Embeds on a Ray cluster: that of `RAY_ADDRESS`, one that was started on this machine, or a new one here.

    A machine that dies costs only what it was working on: its photos go to the others. Photos and model must be found
    under the same names everywhere, on a shared file system or the Hub.

    Args:
        model: folder or Hub id of the model.
        info: the gallery.
        workers: how many encoders at a time; one a GPU, or without GPUs one a core, by default.
        batch_size: photos an encoder call.
        device: where to compute; a GPU if there is one.
        dtype: precision in which to compute.
    """

    def __init__(
        self,
        model: str,
        info: GalleryInfo,
        *,
        workers: int | None = None,
        batch_size: int = 32,
        device: str | None = None,
        dtype: str = "float32",
    ):
        self.model = model
        self.info = info
        self.device = device
        self.dtype = dtype
        self.workers = workers
        self.batch_size = batch_size

    def __call__(self, source: PhotoSource, todo: pa.Table, settings: RowSettings) -> Iterator[Chunk]:
        """Embed the photos of a listing, in no particular order."""
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
        _be_quiet()
        gpus = int(ray.cluster_resources().get("GPU", 0)) if self.device != "cpu" else 0
        most = gpus or int(ray.cluster_resources()["CPU"])
        workers = min(self.workers or most, most)  # Ray would wait for more machines for ever
        rows = max(self.batch_size, min(MAX_BLOCK_ROWS, len(todo) // (BLOCKS_A_WORKER * workers)))
        blocks = [todo.slice(start, rows).combine_chunks() for start in range(0, len(todo), rows)]
        encoded = ray.data.from_arrow(blocks).map_batches(
            RayWorker,
            fn_constructor_args=(source, WorkerSettings(self.model, self.info, settings, self.device, self.dtype)),
            batch_size=self.batch_size,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks))),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        for batch in encoded.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield _chunk(batch)


class RayWorker:
    """An encoder on some machine.

    Args:
        source: where to read photos.
        worker: how to encode them.
    """

    def __init__(self, source: PhotoSource, worker: WorkerSettings):
        self.settings = worker.settings
        self.encoder = load_encoder(worker.model, device=worker.device, dtype=worker.dtype)
        worker.info.require(self.encoder.identity, worker.model, "the gallery")
        self.schema = row_schema(self.encoder.identity, local=self.settings.local).append(
            pa.field(PROBLEM, pa.string())
        )
        self.preparation = Preparation.of(source, self.encoder.identity, self.settings)
        self.pool = ThreadPoolExecutor(READERS)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Listed photos (schema `LISTING`) to rows of the gallery, with a column that says what is wrong."""
        prepared = list(self.pool.map(self.preparation, *(column.to_pylist() for column in batch.columns)))
        good = [photo for photo in prepared if not photo.problem]
        bad = [photo for photo in prepared if photo.problem]
        parts = [self._problems([photo.path for photo in bad], [photo.problem for photo in bad])]
        if good:
            rows = encode_rows(self.encoder, good, self.settings)
            parts.append(rows.append_column(PROBLEM, pa.nulls(len(rows), pa.string())).cast(self.schema))
        return pa.concat_tables(parts).combine_chunks()

    def _problems(self, paths: list[str], reasons: list[str]) -> pa.Table:
        given = {KEY: pa.array(paths, pa.string()), PROBLEM: pa.array(reasons, pa.string())}
        columns = [given.get(field.name, pa.nulls(len(paths), field.type)) for field in self.schema]
        return pa.table(columns, schema=self.schema)


def _chunk(batch: pa.Table) -> Chunk:
    good = pc.is_null(batch[PROBLEM])
    bad = batch.filter(pc.invert(good))
    rows = batch.filter(good).drop_columns([PROBLEM])
    return Chunk(
        rows=rows if len(rows) else None,
        problems=list(zip(bad[KEY].to_pylist(), bad[PROBLEM].to_pylist(), strict=True)),
    )


def _be_quiet() -> None:
    """Our own progress is shown; Ray's bars and plans would be mixed with it."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
