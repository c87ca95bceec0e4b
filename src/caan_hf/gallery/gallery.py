"""A gallery of photos that is searched by sketch."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from caan_hf.encoding.encoder import BATCH_SIZE, Encoder
from caan_hf.encoding.features import Array, EncodedSketch, Features
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.utils.prefetch import batched, map_ahead
from caan_hf.utils.progress import Advance

from .engine import Engine, LocalEngine
from .explanation import Explanation, explain
from .indexing import IndexReport, index_photos
from .options import IndexOptions, SearchOptions
from .photo import decode_photo
from .results import GalleryPhoto, SearchResult
from .sources import PhotoSource, photo_source, read_file
from .table import GLOBAL, KEY, LOCAL, GalleryError, GalleryInfo, PhotoTable, from_vectors

DISPLAY_SIDE = 1024
"""Photos are decoded for display with at least this side in pixels, if they are that large."""


class Gallery:
    """Photos with their embeddings, on disk or object storage. Use `Gallery.create` or `Gallery.open`.

    Example:
        >>> from caan_hf import Gallery
        >>> gallery = Gallery.create("my_gallery")
        >>> gallery.add("my_photos")
        >>> for result in gallery.search("sketch.png", k=10):
        ...     print(result.rank, f"{result.score:.3f}", result.path)
    """

    def __init__(
        self,
        table: PhotoTable,
        model: str | os.PathLike[str] | Encoder | None,
        *,
        device: str | None = None,
        dtype: str = "float32",
    ):
        self.table = table
        self.device = device
        self.dtype = dtype
        self._model = model
        self._encoder: Encoder | None = None

    @classmethod
    def open(
        cls,
        gallery: str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | Encoder | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> "Gallery":
        """Open a gallery for searching. The model is loaded with the first sketch.

        Args:
            gallery: Folder or URL of the gallery.
            model: Checkpoint or ONNX export to use in place of the model that the gallery was indexed with.
            device: Device of the model; a GPU by default if there is one.
            dtype: Precision in which a checkpoint computes.

        Raises:
            CaanError: There is no gallery.
        """
        return cls(PhotoTable.open(gallery), model, device=device, dtype=dtype)

    @classmethod
    def create(
        cls,
        gallery: str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | Encoder | None = None,
        local: bool = True,
        device: str | None = None,
        dtype: str = "float32",
    ) -> "Gallery":
        """Open a gallery for adding photos, or create an empty one.

        Args:
            gallery: Folder or URL of the gallery, such as `s3://bucket/gallery`.
            model: Whatever `load_encoder` opens, or an encoder; the published CAAN by default.
            local: Store local embeddings in a new gallery, if the encoder has any. Without them, re-ranking and
                explanations encode the photos again.
            device: Device of the model; a GPU by default if there is one.
            dtype: Precision in which a checkpoint computes.

        Raises:
            CaanError: The model cannot be loaded, the gallery was indexed with another model, or the folder holds
                something else.
        """
        encoder = model if isinstance(model, Encoder) else load_encoder(model, device=device, dtype=dtype)
        info = GalleryInfo(model=encoder.name, identity=encoder.identity, local=local and encoder.has_local)
        opened = cls(PhotoTable.create_or_open(gallery, info), encoder, device=device, dtype=dtype)
        opened._encoder = encoder
        return opened

    def __len__(self) -> int:
        return len(self.table)

    @property
    def info(self) -> GalleryInfo:
        """What the gallery holds."""
        return self.table.info

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded at first use.

        Raises:
            CaanError: It cannot be loaded, or its embeddings cannot be compared with those of the gallery.
        """
        if self._encoder is None:
            self._encoder = self._load_encoder()
        return self._encoder

    def add(
        self, photos: Any, options: IndexOptions | None = None, *, progress: Advance | None = None, **changes: Any
    ) -> IndexReport:
        """Bring the gallery up to date with photos: new and changed ones are encoded, unchanged ones are skipped.

        If it is interrupted or killed, the next call continues; at most the last 20 seconds of encoding are lost.
        Several processes may add photos to a gallery at the same time.

        Args:
            photos: Folder, text file with one path per line, dataset or paths, see `photo_source`.
            options: How photos are added.
            progress: Called after each batch, see `progress_bar`.
            **changes: Fields of [`IndexOptions`] that differ from `options`, such as `prune=True`.

        Raises:
            CaanError: There are no photos, an option is out of range, or the gallery cannot be written.
        """
        options = replace(options or IndexOptions(), **changes)
        source: PhotoSource = photo_source(photos, split=options.split)
        engine = (
            self._ray_engine(options) if options.engine == "ray" else LocalEngine(self.encoder, self.table, options)
        )
        return index_photos(self.table, source, engine, prune=options.prune, progress=progress)

    def encode_sketch(self, sketch: Any) -> EncodedSketch:
        """Open, clean and encode a sketch once, for any number of searches and explanations.

        Args:
            sketch: Picture or stroke file as path, bytes, PIL image or array, see `load_sketch`.

        Raises:
            CaanError: The sketch cannot be read or is blank.
        """
        return self.encoder.encode_sketch(sketch)

    def search(self, sketch: Any, options: SearchOptions | None = None, **changes: Any) -> list[SearchResult]:
        """Find the photos that are most similar to a sketch.

        With query expansion, scores are cosines with the expanded query; re-ranking compares with the sketch alone. In
        a gallery without local embeddings, re-ranking encodes the photos and leaves out those that cannot be read.

        Args:
            sketch: A sketch, or the result of `encode_sketch`.
            options: How the gallery is searched.
            **changes: Fields of [`SearchOptions`] that differ from `options`, such as `k=20`.

        Returns:
            At most `k` results, best first.

        Raises:
            CaanError: The sketch cannot be used, the gallery is empty, or an option is out of range.
        """
        options = replace(options or SearchOptions(), **changes)
        query = self.encode_sketch(sketch)
        vector = query.global_embeds
        if options.expand is not None:
            vector = self._expanded(vector, options.expand, exact=options.exact)
        number = max(options.k, options.candidates) if options.rerank else options.k
        found = self.table.nearest(vector, number, self._columns, exact=options.exact)
        if not len(found):
            raise GalleryError(self.table.uri, "the gallery is empty", "Add photos with `caan index`.")
        if not options.rerank:
            return self._results(found)
        found, photo_local = self._with_local(found)
        assert query.local_embeds is not None
        logits = self.encoder.relation_logits(query.local_embeds[None], photo_local)[0]
        order = np.argsort(-logits, kind="stable")[: options.k]
        return self._results(found.take(order), 1 / (1 + np.exp(-logits[order].astype(np.float64))))

    def explain(self, sketch: Any, photo: SearchResult | str, *, max_matches: int = 8) -> Explanation:
        """Find which regions of a sketch match which regions of a photo.

        Args:
            sketch: A sketch, or the result of `encode_sketch`.
            photo: A result of `search`, or its path.
            max_matches: Maximum number of matches.

        Raises:
            CaanError: The gallery has no such photo, its file cannot be read, or the model has no local embeddings.
        """
        query = self.encode_sketch(sketch)
        found = self._look_up(photo)
        local = self._encode_local([found])[1] if found.local_embeds is None else found.local_embeds[None]
        return explain(query, self._decode(found, DISPLAY_SIDE), local[0].astype(np.float32), max_matches=max_matches)

    def photo(self, photo: GalleryPhoto | str) -> Image.Image:
        """A photo of the gallery, upright and in RGB; its thumbnail if the file cannot be read.

        Args:
            photo: A result of `search`, or its path. Only photos of the gallery are read.

        Raises:
            CaanError: The gallery has no such photo, or its file cannot be read.
        """
        return self._decode(self._look_up(photo), DISPLAY_SIDE)

    @property
    def _columns(self) -> list[str]:
        """Columns that a `GalleryPhoto` is made from."""
        return [KEY, "width", "height", "thumbnail", *([LOCAL] if self.info.local else [])]

    def _load_encoder(self) -> Encoder:
        model = self.info.model if self._model is None else self._model
        try:
            encoder = model if isinstance(model, Encoder) else load_encoder(model, device=self.device, dtype=self.dtype)
        except CaanError as error:
            if self._model is not None:
                raise
            raise CaanError(
                f"{error} {self.table.uri} was indexed with it: pass its new place with --model."
            ) from error
        self.info.require(encoder.identity, encoder.name, self.table.uri)
        return encoder

    def _ray_engine(self, options: IndexOptions) -> Engine:
        try:
            from .ray_engine import RayEngine  # noqa: PLC0415 - optional
        except ImportError as error:
            raise CaanError('--engine ray needs Ray: pip install "caan-hf[scale]"') from error
        return RayEngine(self.encoder.name, self.info, options, self.device, self.dtype)

    def _expanded(self, query: Array, k: int, *, exact: bool) -> Array:
        """The global embedding (D,) of a sketch, expanded by the k photos that it finds."""
        found = self.table.nearest(query, k, [GLOBAL], exact=exact)
        return expand_queries(query, from_vectors(found[GLOBAL]).astype(np.float32)) if len(found) else query

    def _with_local(self, found: pa.Table) -> tuple[pa.Table, Array]:
        """Rows with their local embeddings (K, M, R); if they have to be computed, without unreadable photos."""
        shape = self.info.identity.local_shape
        if self.info.local and shape is not None:
            return found, from_vectors(found[LOCAL]).reshape(len(found), *shape).astype(np.float32)
        rows, local = self._encode_local([GalleryPhoto(**fields) for fields in self._fields(found)])
        return found.take(rows), local

    def _encode_local(self, photos: list[GalleryPhoto]) -> tuple[list[int], Array]:
        """Positions of the photos that can be read, and their local embeddings (K, M, R).

        Raises:
            CaanError: None of the photos can be read, or the encoder has no local embeddings.
        """
        encoder = self.encoder
        if not encoder.has_local:
            raise CaanError(f"{encoder.name}: has no local embeddings. Use a CAAN model.")

        def prepare(photo: GalleryPhoto) -> Array | GalleryError:
            try:
                return encoder.prepare(self._decode(photo, encoder.identity.image_size), "photo", photo.path)
            except GalleryError as error:
                return error

        prepared = list(map_ahead(prepare, photos))
        rows = [row for row, one in enumerate(prepared) if not isinstance(one, GalleryError)]
        if not rows:
            raise next(one for one in prepared if isinstance(one, GalleryError))
        batches = batched((one for one in prepared if not isinstance(one, GalleryError)), BATCH_SIZE)
        features = Features.joined([encoder.encode_batch(batch, "photo", local=True) for batch in batches])
        assert features.local_embeds is not None
        return rows, features.local_embeds

    def _results(self, found: pa.Table, relation_scores: np.ndarray | None = None) -> list[SearchResult]:
        scores = 1 - found["_distance"].to_numpy()
        relation = [None] * len(found) if relation_scores is None else relation_scores.tolist()
        return [
            SearchResult(**fields, rank=row + 1, score=float(scores[row]), relation_score=relation[row])
            for row, fields in enumerate(self._fields(found))
        ]

    def _fields(self, found: pa.Table) -> list[dict[str, Any]]:
        """Fields of a `GalleryPhoto` for each row."""
        photos = found.select([KEY, "width", "height", "thumbnail"]).to_pylist()
        shape = self.info.identity.local_shape
        if self.info.local and shape is not None:
            for photo, local in zip(photos, from_vectors(found[LOCAL]), strict=True):
                photo["local_embeds"] = local.reshape(shape)
        return photos

    def _look_up(self, photo: GalleryPhoto | str) -> GalleryPhoto:
        if isinstance(photo, GalleryPhoto):
            return photo
        found = self.table.rows_where(KEY, [photo], self._columns)
        if not len(found):
            raise GalleryError(photo, "this photo is not in the gallery")
        return GalleryPhoto(**self._fields(found)[0])

    def _decode(self, photo: GalleryPhoto, side: int) -> Image.Image:
        """Decode the file of a photo, or if it cannot be read the copy in the gallery, or the thumbnail."""
        try:
            return decode_photo(read_file(photo.path), side).image
        except (OSError, ValueError) as error:
            copy = self.table.rows_where(KEY, [photo.path], ["image"])["image"].to_pylist()
            data = (copy[0] if copy else None) or photo.thumbnail
            if data is None:
                reason = getattr(error, "strerror", None) or error
                problem = f"this photo cannot be read any more ({reason})"
                raise GalleryError(photo.path, problem, "Run `caan index` again.") from error
            return decode_photo(data, side).image
