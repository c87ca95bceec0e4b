"""A gallery of photos that is searched by sketch."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caan_hf.descriptions.named_category import descriptions_of
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array, EncodedQuery, EncodedSketch
from caan_hf.encoding.identity import DType
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.retrieval.reranking import fused
from caan_hf.retrieval.words import with_words
from caan_hf.utils.installation import require
from caan_hf.utils.progress import Advance

from .engine import Engine, LocalEngine
from .explanation import Explanation, explain
from .index_report import IndexReport
from .indexing import index_photos, with_defaults
from .lance_table import REINDEX, GalleryError, LanceTable, NoGalleryError
from .options import IndexOptions, SearchOptions, check_words
from .results import GalleryPhoto, SearchResult
from .schema import GLOBAL, KEY, GalleryInfo, from_vectors
from .search_vectors import SearchVectors
from .sources import photo_source, real_folder
from .stored_photos import decode_stored, look_up, lost_photos, photo_columns, photo_fields, photos_where, with_local
from .table import PhotoTable

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
        dtype: DType = "auto",
    ):
        self.table = table
        self._vectors: SearchVectors | None = None
        self.model = model
        self.device = device
        self.dtype = dtype

    @classmethod
    def open(
        cls,
        gallery: str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | Encoder | None = None,
        device: str | None = None,
        dtype: DType = "auto",
    ) -> "Gallery":
        """Open a gallery for searching. The model is loaded with the first sketch.

        Args:
            gallery: Folder or URL of the gallery.
            model: Checkpoint or ONNX export to use in place of the model that the gallery was indexed with.
            device: See `load_encoder`.
            dtype: See `load_encoder`.

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
        dtype: DType = "auto",
    ) -> "Gallery":
        """Open a gallery for adding photos, or create an empty one.

        Args:
            gallery: Folder or URL of the gallery, such as `s3://bucket/gallery`.
            model: Whatever `load_encoder` opens, or an encoder. The default is the model that a gallery with photos was
                indexed with, and the published CAAN for a new gallery.
            local: Store local embeddings in a new gallery, if the encoder has any. Without them, re-ranking and
                explanations encode the photos again.
            device: See `load_encoder`.
            dtype: See `load_encoder`.

        Raises:
            CaanError: The model cannot be loaded, the gallery was indexed with another model, or the folder holds
                something else.
        """
        if model is None:
            model = _encoder_of(gallery, device, dtype)
        encoder = model if isinstance(model, Encoder) else load_encoder(model, device=device, dtype=dtype)
        info = GalleryInfo(model=encoder.name, identity=encoder.identity, local=local and encoder.has_local)
        return cls(PhotoTable.create_or_open(gallery, info), encoder, device=device, dtype=dtype)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def info(self) -> GalleryInfo:
        """What the gallery holds."""
        return self.table.info

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded at first use.

        Raises:
            CaanError: The encoder cannot be loaded, or its embeddings cannot be compared with those of the gallery.
        """
        model = self.info.model if self.model is None else self.model
        try:
            encoder = model if isinstance(model, Encoder) else load_encoder(model, device=self.device, dtype=self.dtype)
        except CaanError as error:
            if self.model is not None:
                raise
            raise CaanError(
                f"{error} {self.table.uri} was indexed with it. Pass its new place, or an ONNX export, with --model."
            ) from error
        self.info.require(encoder.identity, encoder.name, self.table.uri)
        return encoder

    @property
    def reranks(self) -> bool:
        """Whether a search re-ranks by default: local embeddings are stored, and the model has a weight for them."""
        return self.info.local and self.encoder.reranks

    def add(
        self, photos: Any, options: IndexOptions | None = None, *, progress: Advance | None = None, **changes: Any
    ) -> IndexReport:
        """Bring the gallery up to date with photos: new and changed ones are encoded, unchanged ones are skipped.

        After an interruption, the next call continues, and at most the last 20 seconds of encoding are lost. Several
        processes may add photos to a gallery at the same time.

        Args:
            photos: Folder, text file with one path per line, dataset or paths, see `photo_source`.
            options: How photos are added.
            progress: Called after each batch, see `progress_bar`.
            **changes: Fields of [`IndexOptions`] that differ from `options`, such as `prune=True`.

        Raises:
            CaanError: There are no photos, an option is out of range, or the gallery cannot be written.
        """
        wanted = replace(options or IndexOptions(), **changes)
        source = photo_source(photos, split=wanted.split, exclude=wanted.exclude)
        engine = self._engine(with_defaults(self.table, wanted))
        hubs = HubCorrection.of(self.encoder)
        return index_photos(self.table, source, engine, wanted, hubs=hubs, progress=progress)

    def encode_sketch(self, sketch: Any) -> EncodedSketch:
        """Encode a sketch once, for any number of searches and explanations; see `Encoder.encode_sketch`."""
        return self.encoder.encode_sketch(sketch)

    def encode_query(self, sketch: Any, text: str | None = None) -> EncodedQuery:
        """Encode a sketch, words, or both once, for any number of searches.

        Words that name a category with shipped descriptions, such as "a cup", stand for these descriptions.

        Args:
            sketch: A sketch, or the result of `encode_sketch`; None for words alone. An encoded query is returned as it
                is.
            text: Words, or None.

        Raises:
            CaanError: There is neither a sketch nor words, one of them cannot be used, or the model cannot encode
                words.
        """
        if isinstance(sketch, EncodedQuery):
            return sketch
        if sketch is None and text is None:
            raise CaanError("there is nothing to search for. Give a sketch, words, or both.")
        encoded = None if sketch is None else self.encode_sketch(sketch)
        if text is None:
            assert encoded is not None
            return EncodedQuery(encoded.global_embeds, encoded)
        check_words(text)
        words: Array = self.encoder.encode_text([descriptions_of(text) or text])[0]
        return EncodedQuery(words if encoded is None else with_words(encoded.global_embeds, words), encoded)

    def search(self, sketch: Any, options: SearchOptions | None = None, **changes: Any) -> list[SearchResult]:
        """Find the photos that are most similar to a sketch, to words, to both, or to a photo.

        Scores are described in [`SearchResult`]. The local score of re-ranking compares the sketch and the photo alone,
        without words and query expansion. In a gallery without local embeddings, re-ranking is off by default. With
        `rerank=True`, it encodes the photos and leaves out those that cannot be read.

        Args:
            sketch: A sketch, the result of `encode_sketch`, or the result of `encode_query` in place of sketch and
                `text`. With None, the search is by `text` alone and is not re-ranked. With `photo=True`, a picture, the
                global embedding (D,) of a photo, or a photo of the gallery (its path or a result), which is not encoded
                again and is left out of the results.
            options: How the gallery is searched.
            **changes: Fields of [`SearchOptions`] that differ from `options`, such as `k=20`.

        Returns:
            At most `k` results, best first.

        Raises:
            CaanError: The sketch or photo cannot be used, the model cannot encode words, the gallery is empty, or an
                option is out of range.

        Example:
            >>> best = gallery.search("sketch.png", k=1)[0]
            >>> others = gallery.search(best, photo=True)
            >>> described = gallery.search("sketch.png", text="a cup with two handles")
        """
        options = replace(options or SearchOptions(), **changes)
        if options.photo:
            return self._search_by_photo(sketch, options)
        vector, query = self.encode_query(sketch, options.text)
        table = self.table if options.plain else self._searched()
        vector = self._expanded(table, vector, options)
        rerank = self.reranks if options.rerank is None else options.rerank
        if query is None or not rerank:
            return self._nearest(table, vector, options.k, exact=options.exact)
        results = self._nearest(table, vector, max(options.k, options.candidates), exact=options.exact)
        return self._reranked(query, results)[: options.k]

    def gone(self, photos: Sequence[GalleryPhoto]) -> set[str]:
        """Paths of the photos whose files no longer exist and of which the gallery holds no copy."""
        return lost_photos(self.table, photos)

    def explain(self, sketch: Any, photo: GalleryPhoto | str, *, max_matches: int = 6) -> Explanation:
        """Divide the local score of a sketch and a photo among their regions, see [`Explanation`].

        Args:
            sketch: A sketch, or the result of `encode_sketch`.
            photo: A result of `search`, or its path.
            max_matches: Maximum number of matches.

        Raises:
            CaanError: The gallery has no such photo, its file cannot be read, or the model has no local embeddings.
        """
        query = self.encode_sketch(sketch)
        (found,) = with_local(self.table, self.encoder, [look_up(self.table, photo)])
        assert found.local_embeds is not None
        image = decode_stored(self.table, found, DISPLAY_SIDE)
        return explain(self.encoder, query, image, found.local_embeds, max_matches=max_matches)

    def photo(self, photo: GalleryPhoto | str) -> Image.Image:
        """A photo of the gallery, upright and in RGB; its thumbnail if the file cannot be read.

        Args:
            photo: A result of `search`, or its path. Only photos of the gallery are read.

        Raises:
            CaanError: The gallery has no such photo, or its file cannot be read.
        """
        return decode_stored(self.table, look_up(self.table, photo), DISPLAY_SIDE)

    def find(self, sha256: str) -> GalleryPhoto | None:
        """A photo by the SHA-256 of its file, or None. Of several copies, it is the one with the first path."""
        return min(photos_where(self.table, "sha256", sha256), key=lambda photo: photo.path, default=None)

    def _search_by_photo(self, photo: Any, options: SearchOptions) -> list[SearchResult]:
        """The photos nearest to a photo, without itself if it is in the gallery."""
        path, vector = self._photo_vector(photo)
        vector = self._expanded(self.table, vector, options)
        found = self._nearest(self.table, vector, options.k + (path is not None), exact=options.exact)
        others = [result for result in found if result.path != path]
        if not others:
            raise GalleryError(self.table.uri, "it holds no other photo", "Add photos with `caan index`.")
        return [replace(result, rank=rank) for rank, result in enumerate(others[: options.k], start=1)]

    def _photo_vector(self, photo: Any) -> tuple[str | None, Array]:
        """The path of a photo of the gallery, or None for another one, and its global embedding (D,)."""
        if isinstance(photo, np.ndarray) and photo.ndim == 1:
            return None, photo
        source = photo.path if isinstance(photo, GalleryPhoto) else photo
        if isinstance(source, (str, os.PathLike)):
            paths = [os.fspath(source), real_folder(Path(source))]
            stored = self.table.rows_where(KEY, paths, [KEY, GLOBAL])
            if len(stored):
                return stored[KEY][0].as_py(), from_vectors(stored[GLOBAL])[0]
            if isinstance(photo, GalleryPhoto):
                raise GalleryError(photo.path, "this photo is not in the gallery")
        try:
            return None, self.encoder.encode_photos(source)[0]
        except ValueError as error:
            raise CaanError(str(error)) from error

    def _nearest(self, table: LanceTable, vector: Array, k: int, *, exact: bool) -> list[SearchResult]:
        """The photos with the highest cosine.

        Raises:
            CaanError: There are none.
        """
        found = table.nearest(vector, k, photo_columns(self.info), exact=exact)
        if not len(found):
            if len(self):  # LanceDB leaves out embeddings that hold NaN
                raise GalleryError(self.table.uri, "its embeddings hold NaN or infinity", REINDEX)
            raise GalleryError(self.table.uri, "the gallery is empty", "Add photos with `caan index`.")
        scores = (1 - found["_distance"].to_numpy()).tolist()
        photos = zip(photo_fields(found, self.info), scores, strict=True)
        return [SearchResult(**fields, rank=rank, score=score) for rank, (fields, score) in enumerate(photos, start=1)]

    def _expanded(self, table: LanceTable, vector: Array, options: SearchOptions) -> Array:
        """The query (D,), expanded with the first photos that it finds if `expand` is set."""
        if options.expand is None:
            return vector
        first = table.nearest(vector, options.expand, [table.vectors], exact=options.exact)
        return expand_queries(vector, table.embeds(first[table.vectors])) if len(first) else vector

    def _searched(self) -> LanceTable:
        """The table to search: the search vectors, or the photos if there are none or the photos are being changed."""
        state = self.table.search_state()
        if state is None or state.token is None:
            return self.table
        if self._vectors is None or self._vectors.token != state.token:
            self._vectors = SearchVectors.of(self.table)
        return self.table if self._vectors is None else self._vectors

    def _engine(self, options: IndexOptions) -> Engine:
        if options.engine == "local":
            return LocalEngine(self.encoder, self.table, options)
        require("ray")
        from .ray_engine import RayEngine  # noqa: PLC0415 - optional

        return RayEngine(self.encoder.name, self.info, options, self.device, self.dtype)

    def _reranked(self, query: EncodedSketch, results: list[SearchResult]) -> list[SearchResult]:
        """The results in the order of the fused score, without photos that cannot be read."""
        results = with_local(self.table, self.encoder, results)
        photo_local = np.stack([one.local_embeds for one in results if one.local_embeds is not None])
        assert query.local_embeds is not None
        local = self.encoder.local_scores(query.local_embeds[None], photo_local.astype(np.float32))[0]
        cosines = np.array([one.score for one in results], np.float32)
        scores = fused(cosines, local, self.encoder.local_weight)
        order = np.argsort(-scores, kind="stable").tolist()
        return [
            replace(results[row], rank=rank, local_score=float(local[row]), fused_score=float(scores[row]))
            for rank, row in enumerate(order, start=1)
        ]


def _encoder_of(gallery: str | os.PathLike[str], device: str | None, dtype: DType) -> Encoder | None:
    """The encoder that a gallery with photos was indexed with; None if there is no such gallery."""
    try:
        opened = Gallery.open(gallery, device=device, dtype=dtype)
    except NoGalleryError:
        return None
    return opened.encoder if len(opened) else None
