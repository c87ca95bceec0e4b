"""A gallery of photos that is searched by drawing."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from caan_hf.errors import CaanError
from caan_hf.evaluation.expansion import expand_queries

from .comparing import Changes
from .encoder import Encoder, load_encoder
from .explanation import Explanation, explain
from .indexing import Engine, IndexReport, index_photos
from .local_engine import KnownContent, LocalEngine
from .photo import decode_photo
from .rows import GLOBAL, LOCAL, RowSettings, matrix
from .sketch_input import load_sketch
from .sources import photo_source, read_file
from .table import GalleryInfo, PhotoTable

CANDIDATES = 100
"""Photos that are re-ranked unless told otherwise."""
SHOWN_SIDE = 1024
"""Photos are decoded for display at no less than this."""


@dataclass(frozen=True)
class Sketch:
    """A sketch that has been encoded: search and explanations take it in place of the picture.

    Attributes:
        image: the square that the encoder saw: dark lines on white, cropped to the ink.
        global_embeds: (D,) float32, L2-normalised.
        local_embeds: (M, R) float32.
    """

    image: Image.Image
    global_embeds: np.ndarray
    local_embeds: np.ndarray


@dataclass(frozen=True)
class SearchResult:
    """A photo that was found.

    Attributes:
        rank: 1 for the best.
        path: where the photo lies; of a dataset's image, the dataset and its row.
        score: cosine of the sketch's and the photo's global embeddings, in [-1, 1].
        relation_score: probability of "the same category" in the eyes of the relation network, where re-ranked.
        width: of the photo, in pixels.
        height: likewise.
        thumbnail: a small JPEG; None where the gallery keeps none.
    """

    rank: int
    path: str
    score: float
    relation_score: float | None
    width: int
    height: int
    thumbnail: bytes | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: everything but the thumbnail."""
        names = ("rank", "path", "score", "relation_score", "width", "height")
        return {name: getattr(self, name) for name in names}


class Gallery:
    """Photos on disk or object storage with their embeddings.

    Example:
        >>> from caan_hf.gallery import Gallery
        >>> gallery = Gallery.create("my_gallery", model="runs/quickstart/model")
        >>> gallery.add("my_photos")
        >>> for result in gallery.search("sketch.png", k=10):
        ...     print(result.rank, f"{result.score:.3f}", result.path)
    """

    def __init__(self, table: PhotoTable, model: str | Encoder | None, *, device: str | None, dtype: str):
        """Use `Gallery.open` or `Gallery.create`."""
        self.table = table
        self._load = lambda name: load_encoder(name, device=device, dtype=dtype)
        self._model = model
        self._encoder: Encoder | None = None

    @classmethod
    def open(
        cls,
        gallery: str | os.PathLike,
        *,
        model: str | Encoder | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> "Gallery":
        """Open a gallery for searching; the model is loaded with the first sketch.

        Args:
            gallery: its folder or URL.
            model: a checkpoint or an export of it, where it is not to be the one that the gallery was indexed with.
            device: where the model computes; a GPU if there is one.
            dtype: precision in which a checkpoint computes.

        Raises:
            CaanError: there is no gallery.
        """
        return cls(PhotoTable.open(gallery), model, device=device, dtype=dtype)

    @classmethod
    def create(
        cls,
        gallery: str | os.PathLike,
        *,
        model: str | Encoder,
        local: bool = True,
        device: str | None = None,
        dtype: str = "float32",
    ) -> "Gallery":
        """Open a gallery for adding photos, or make an empty one.

        Args:
            gallery: its folder or URL, such as `s3://bucket/gallery`.
            model: a checkpoint folder, a Hub id, an export of either, or an encoder.
            local: keep local embeddings in a new gallery; without them, re-ranking and explanations read the photos.
            device: where the model computes; a GPU if there is one.
            dtype: precision in which a checkpoint computes.

        Raises:
            CaanError: the model cannot be loaded, the gallery is another checkpoint's, or something else is there.
        """
        encoder = load_encoder(model, device=device, dtype=dtype) if isinstance(model, str) else model
        info = GalleryInfo(encoder.name, encoder.identity, local)
        return cls(PhotoTable.create_or_open(gallery, info), encoder, device=device, dtype=dtype)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def info(self) -> GalleryInfo:
        """What the gallery holds."""
        return self.table.info

    @property
    def encoder(self) -> Encoder:
        """The model, loaded at first use.

        Raises:
            CaanError: it cannot be loaded, or is another than the gallery was indexed with.
        """
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return self._encoder

    def add(
        self,
        photos,
        *,
        split: str | None = None,
        prune: bool = False,
        settings: RowSettings | None = None,
        batch_size: int = 32,
        threads: int | None = None,
        engine: Engine | None = None,
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> IndexReport:
        """Bring the gallery up to date with photos: adds new ones, skips unchanged ones.

        Interrupted at any point, even by a kill, it loses at most the last seconds of embedding, and the next run goes
        on from there. Several processes may add to one gallery at a time.

        Args:
            photos: a folder, a list file, a dataset (folder, Hub id or object), or paths; see `photo_source`.
            split: of a dataset.
            prune: remove photos that have vanished from the folder, list or dataset.
            settings: what is kept of each photo; of local embeddings, the gallery decides.
            batch_size: photos an encoder call.
            threads: that read photos.
            engine: embeds in place of this process, such as `RayEngine`.
            watch: called with the number of photos dealt with and of all that have to be.

        Raises:
            CaanError: there are no photos, or the gallery cannot be written.
        """
        source = photo_source(photos, split=split)
        kept = settings or RowSettings()
        kept = RowSettings(self.info.local, kept.thumbnail, kept.keep_bytes or source.keeps_bytes)

        def engine_for(changes: Changes) -> Engine:
            if engine is not None:
                return engine
            known = KnownContent(changes.may_hold, lambda hashes: self.table.rows_where("sha256", hashes))
            return LocalEngine(self.encoder, known, batch_size=batch_size, threads=threads)

        return index_photos(self.table, source, engine_for, kept, prune=prune, watch=watch)

    def encode_sketch(self, sketch) -> Sketch:
        """Encode a sketch once, for several searches and explanations.

        Args:
            sketch: a path, a file's content, an image or an array; see `load_sketch`.

        Raises:
            CaanError: it cannot be read, or is blank.
        """
        if isinstance(sketch, Sketch):
            return sketch
        image = load_sketch(sketch)
        name = f"{os.fspath(sketch)}: " if isinstance(sketch, (str, os.PathLike)) else ""
        try:
            clean = self.encoder.clean_sketch(image)
            features = self.encoder.encode_sketches([image])
        except ValueError as error:
            raise CaanError(f"{name}{_without_name(error)}") from error
        return Sketch(clean, features.global_embeds[0], features.local_embeds[0])

    def search(
        self,
        sketch,
        k: int = 10,
        *,
        expand: int | None = None,
        rerank: bool = False,
        candidates: int = CANDIDATES,
        exact: bool = False,
    ) -> list[SearchResult]:
        """The photos that a sketch is most alike.

        Args:
            sketch: what `encode_sketch` takes or gives.
            k: how many, at least 1; fewer where the gallery has fewer.
            expand: look again with the sketch and so many photos that it found first (query expansion). Scores are
                then of both together; re-ranking still goes by the sketch alone.
            rerank: order the best `candidates` by the relation network; a photo that has to be read for it, and cannot
                be any more, is left out.
            candidates: how many photos are re-ranked, at least `k`.
            exact: look at every photo, without the index.

        Returns:
            The best first; photos of equal score in no particular order.

        Raises:
            CaanError: the sketch cannot be used, the gallery is empty, or a number of photos is none above 0.
        """
        for name, count in (("k", k), ("candidates", candidates), ("expand", 1 if expand is None else expand)):
            if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
                raise CaanError(f"{name} is {count!r}; ask for a whole number of photos, at least 1")
        query = self.encode_sketch(sketch)
        wanted = query.global_embeds if expand is None else self._expanded(query.global_embeds, expand, exact=exact)
        columns = ["path", "width", "height", "thumbnail"]
        if not rerank:
            found = self.table.nearest(wanted, k, columns, exact=exact)
            return self._results(found, None)
        if self.info.local:
            columns.append(LOCAL)
        found = self.table.nearest(wanted, max(k, candidates), columns, exact=exact)
        if not len(found):
            return self._results(found, None)
        found, photos = (found, None) if self.info.local else self._still_there(found)
        logits = self.encoder.relation_logits(query.local_embeds, self._local_of(found, photos))
        order = np.argsort(-logits, kind="stable")[:k]
        return self._results(found.take(order), 1 / (1 + np.exp(-logits[order].astype(np.float64))))

    def explain(self, sketch, result: SearchResult | str, *, max_matches: int = 8) -> Explanation:
        """Which regions of the sketch matched which regions of a photo.

        Args:
            sketch: what `encode_sketch` takes or gives.
            result: a result of `search`, or its path.
            max_matches: how many pairs of regions to keep.

        Raises:
            CaanError: the gallery has no such photo, or its file cannot be read any more.
        """
        query = self.encode_sketch(sketch)
        row = self._row(result if isinstance(result, str) else result.path)
        photo = self._photo_of(row)
        local = self._local_of(row, [photo])[0]
        return explain(query.image, photo, query.local_embeds, local, max_matches=max_matches)

    def photo(self, result: SearchResult | str) -> Image.Image:
        """A photo of the gallery, upright, in RGB; only photos that the gallery holds are read.

        Raises:
            CaanError: the gallery has no such photo, or its file cannot be read any more.
        """
        return self._photo_of(self._row(result if isinstance(result, str) else result.path))

    def _load_encoder(self) -> Encoder:
        model = self._model or self.info.model
        try:
            encoder = self._load(model) if isinstance(model, str) else model
        except CaanError as error:
            hint = "" if self._model else f"; {self.table.uri} was indexed with it: say where it is with --model"
            raise CaanError(f"{error}{hint}") from error
        self.info.require(encoder.identity, str(model), self.table.uri)
        return encoder

    def _expanded(self, query: np.ndarray, k: int, *, exact: bool) -> np.ndarray:
        """A sketch's (D,) global embedding together with those of the k photos that it finds."""
        found = self.table.nearest(query, k, [GLOBAL], exact=exact)
        return expand_queries(query, matrix(found[GLOBAL]).astype(np.float32)) if len(found) else query

    def _results(self, found: pa.Table, relation_scores: np.ndarray | None) -> list[SearchResult]:
        if not len(found):
            raise CaanError(f"{self.table.uri}: the gallery is empty; add photos with `caan index`")
        return [
            SearchResult(
                rank=number + 1,
                path=row["path"],
                score=1 - row["_distance"],
                relation_score=None if relation_scores is None else float(relation_scores[number]),
                width=row["width"],
                height=row["height"],
                thumbnail=row["thumbnail"],
            )
            for number, row in enumerate(found.drop_columns([LOCAL] if LOCAL in found.column_names else []).to_pylist())
        ]

    def _row(self, path: str) -> pa.Table:
        found = self.table.rows_where("path", [path])
        if not len(found):
            raise CaanError(f"{path}: not in the gallery {self.table.uri}")
        return found

    def _photo_of(self, row: pa.Table) -> Image.Image:
        path, data = row["path"][0].as_py(), row["image"][0].as_py()
        try:
            return decode_photo(data if data is not None else read_file(path), SHOWN_SIDE).image
        except (OSError, ValueError) as error:
            thumbnail = row["thumbnail"][0].as_py()
            if thumbnail is not None:
                return Image.open(io.BytesIO(thumbnail)).convert("RGB")
            reason = error.strerror if isinstance(error, OSError) else error
            raise CaanError(f"{path}: cannot be read any more ({reason}); run `caan index` again") from error

    def _still_there(self, found: pa.Table) -> tuple[pa.Table, list[Image.Image]]:
        """The rows whose photo can still be read, and those photos; the last error if there is none."""
        photos: dict[int, Image.Image] = {}
        for number, path in enumerate(found["path"].to_pylist()):
            try:
                photos[number] = self.photo(path)
            except CaanError:
                if number == len(found) - 1 and not photos:
                    raise
        return found.take(list(photos)), list(photos.values())

    def _local_of(self, rows: pa.Table, photos: list[Image.Image] | None = None) -> np.ndarray:
        """(K, M, R) local embeddings: kept ones, or computed from the photos."""
        if self.info.local:
            return matrix(rows[LOCAL]).reshape(len(rows), *self.info.identity.local_shape).astype(np.float32)
        photos = photos or [self.photo(path) for path in rows["path"].to_pylist()]
        return self.encoder.encode_photos(photos).local_embeds


def _without_name(error: ValueError) -> str:
    """The processor names a picture that it was handed without a name "sketch"."""
    return str(error).removeprefix("sketch: ")
