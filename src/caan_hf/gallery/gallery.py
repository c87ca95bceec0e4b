"""A gallery of photos that is searched by sketch."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array, EncodedQuery, EncodedSketch
from caan_hf.encoding.identity import DType
from caan_hf.encoding.load import load_encoder
from caan_hf.errors import CaanError
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.retrieval.reranking import fused
from caan_hf.retrieval.words import with_words
from caan_hf.utils.files import read_bytes
from caan_hf.utils.installation import require
from caan_hf.utils.prefetch import map_ahead
from caan_hf.utils.progress import Advance

from .engine import Engine, LocalEngine
from .explanation import Explanation, explain
from .index_report import IndexReport
from .indexing import index_photos, with_defaults
from .lance_table import REINDEX, GalleryError, LanceTable, NoGalleryError
from .options import IndexOptions, SearchOptions
from .photo import decode_photo, open_thumbnail
from .results import GalleryPhoto, SearchResult
from .schema import GLOBAL, KEY, LOCAL, GalleryInfo, from_local, from_vectors, to_local
from .search_vectors import SearchVectors
from .sources import is_missing_file, photo_source, real_folder
from .table import PhotoTable

DISPLAY_SIDE = 1024
"""Photos are decoded for display with at least this side in pixels, if they are that large."""


PHOTO_COLUMNS = [KEY, "width", "height", "thumbnail", "sha256"]
Photo = TypeVar("Photo", bound=GalleryPhoto)


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
        self.columns = [*PHOTO_COLUMNS, LOCAL] if table.info.local else PHOTO_COLUMNS
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
            CaanError: It cannot be loaded, or its embeddings cannot be compared with those of the gallery.
        """
        model = self.info.model if self.model is None else self.model
        try:
            encoder = model if isinstance(model, Encoder) else load_encoder(model, device=self.device, dtype=self.dtype)
        except CaanError as error:
            if self.model is not None:
                raise
            raise CaanError(
                f"{error} {self.table.uri} was indexed with it: pass where it is now, or an ONNX export of it, with "
                "--model."
            ) from error
        self.info.require(encoder.identity, encoder.name, self.table.uri)
        return encoder

    @property
    def reranks(self) -> bool:
        """Whether a search re-ranks by default: if it helps the model, and no photo has to be encoded for it."""
        return self.info.local and self.encoder.reranks

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
        wanted = replace(options or IndexOptions(), **changes)
        source = photo_source(photos, split=wanted.split, exclude=wanted.exclude)
        engine = self._engine(with_defaults(self.table, wanted))
        hubs = HubCorrection.of(self.encoder)
        return index_photos(self.table, source, engine, wanted, hubs=hubs, progress=progress)

    def encode_sketch(self, sketch: Any) -> EncodedSketch:
        """Encode a sketch once, for any number of searches and explanations; see `Encoder.encode_sketch`."""
        return self.encoder.encode_sketch(sketch)

    def encode_query(self, sketch: Any, text: str | None = None) -> EncodedQuery:
        """Encode what is searched, once for any number of searches: a sketch, words, or both.

        Args:
            sketch: A sketch, or the result of `encode_sketch`; None for words alone. The result of this method is
                returned as it is.
            text: Words, or None.

        Raises:
            CaanError: There is neither a sketch nor words, the sketch cannot be used, or the model cannot encode words.
        """
        if isinstance(sketch, EncodedQuery):
            return sketch
        if sketch is None and text is None:
            raise CaanError("there is nothing to search for. Give a sketch, words, or both.")
        encoded = None if sketch is None else self.encode_sketch(sketch)
        if text is None:
            assert encoded is not None
            return EncodedQuery(encoded.global_embeds, encoded)
        words: Array = self.encoder.encode_text([text])[0]
        return EncodedQuery(words if encoded is None else with_words(encoded.global_embeds, words), encoded)

    def search(self, sketch: Any, options: SearchOptions | None = None, **changes: Any) -> list[SearchResult]:
        """Find the photos that are most similar to a sketch, to words, to both, or to a photo.

        Scores are cosines of sketch and photo: with query expansion of the expanded query, in a smoothed gallery of the
        smoothed photo, and with the correction of hubs lowered by it. The local tokens of re-ranking are those of the
        sketch and the photo alone. In a gallery without local embeddings, re-ranking is off by default; with
        `rerank=True` it encodes the photos and leaves out those that cannot be read.

        Args:
            sketch: A sketch, or the result of `encode_sketch`; None to search by `text` alone, which is never
                re-ranked; or the result of `encode_query`, in place of sketch and `text`. With `photo=True`: a picture,
                or a photo of the gallery (its path, or a result), which is not encoded again and is left out of the
                results, or the global embedding (D,) of a photo.
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
        if options.expand is not None:
            first = table.nearest(vector, options.expand, [table.vectors], exact=options.exact)
            vector = expand_queries(vector, table.embeds(first[table.vectors])) if len(first) else vector
        rerank = self.reranks if options.rerank is None else options.rerank
        if query is None or not rerank:
            return self._nearest(table, vector, options.k, exact=options.exact)
        results = self._nearest(table, vector, max(options.k, options.candidates), exact=options.exact)
        return self._reranked(query, results)[: options.k]

    def gone(self, photos: Sequence[GalleryPhoto]) -> set[str]:
        """The paths of those photos whose files no longer exist, and of which the gallery holds no copy."""
        missing = [photo.path for photo in photos if is_missing_file(photo.path)]
        if not missing:
            return set()
        column = "has_copy" if "has_copy" in self.table.schema.names else "image"  # of an earlier version
        rows = self.table.rows_where(KEY, missing, [KEY, column])
        copied = zip(rows[KEY].to_pylist(), rows[column].to_pylist(), strict=True)
        return set(missing) - {path for path, is_copied in copied if is_copied}

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
        (found,) = self._with_local([self._look_up(photo)])
        assert found.local_embeds is not None
        image = self._decode(found, DISPLAY_SIDE)
        return explain(self.encoder, query, image, found.local_embeds, max_matches=max_matches)

    def photo(self, photo: GalleryPhoto | str) -> Image.Image:
        """A photo of the gallery, upright and in RGB; its thumbnail if the file cannot be read.

        Args:
            photo: A result of `search`, or its path. Only photos of the gallery are read.

        Raises:
            CaanError: The gallery has no such photo, or its file cannot be read.
        """
        return self._decode(self._look_up(photo), DISPLAY_SIDE)

    def find(self, sha256: str) -> GalleryPhoto | None:
        """A photo by the SHA-256 of its file, of several copies the one with the first path; None if there is none."""
        found = self._fields(self.table.rows_where("sha256", [sha256], self.columns))
        return min((GalleryPhoto(**fields) for fields in found), key=lambda photo: photo.path, default=None)

    def _search_by_photo(self, photo: Any, options: SearchOptions) -> list[SearchResult]:
        """The photos nearest to a photo, without itself if it is in the gallery."""
        path, vector = self._photo_vector(photo)
        if options.expand is not None:
            first = self.table.nearest(vector, options.expand, [GLOBAL], exact=options.exact)
            vector = expand_queries(vector, from_vectors(first[GLOBAL])) if len(first) else vector
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
        found = table.nearest(vector, k, self.columns, exact=exact)
        if not len(found):
            if len(self):  # the table finds no photo whose embedding is not a number
                raise GalleryError(self.table.uri, "its embeddings hold NaN or infinity", REINDEX)
            raise GalleryError(self.table.uri, "the gallery is empty", "Add photos with `caan index`.")
        scores = (1 - found["_distance"].to_numpy()).tolist()
        return [
            SearchResult(**fields, rank=row + 1, score=scores[row]) for row, fields in enumerate(self._fields(found))
        ]

    def _searched(self) -> LanceTable:
        """The search vectors, or the photos if these are searched themselves or are being changed."""
        state = self.table.search_state()
        if state is None or state.token is None:
            return self.table
        if self._vectors is None or self._vectors.token != state.token:
            self._vectors = SearchVectors.of(self.table)
        return self._vectors or self.table

    def _engine(self, options: IndexOptions) -> Engine:
        if options.engine == "local":
            return LocalEngine(self.encoder, self.table, options)
        require("ray")
        from .ray_engine import RayEngine  # noqa: PLC0415 - optional

        return RayEngine(self.encoder.name, self.info, options, self.device, self.dtype)

    def _reranked(self, query: EncodedSketch, results: list[SearchResult]) -> list[SearchResult]:
        """The results in the order of the fused score, without photos that cannot be read."""
        results = self._with_local(results)
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

    def _with_local(self, photos: list[Photo]) -> list[Photo]:
        """The photos with their local embeddings; if these have to be computed, without unreadable photos.

        Raises:
            CaanError: None of the photos can be read, or the encoder has no local embeddings.
        """
        if all(photo.local_embeds is not None for photo in photos):
            return photos
        if not self.encoder.has_local:
            raise CaanError(f"{self.encoder.name}: has no local embeddings. Use a CAAN model.")

        def decode(photo: GalleryPhoto) -> Image.Image | GalleryError:
            try:
                return self._decode(photo, self.encoder.identity.image_size)
            except GalleryError as error:
                return error

        images = list(map_ahead(decode, photos))
        readable = [row for row, image in enumerate(images) if isinstance(image, Image.Image)]
        if not readable:
            raise next(error for error in images if isinstance(error, GalleryError))
        local = self.encoder.encode([images[row] for row in readable], "photo").local_embeds
        assert local is not None
        local = from_local(to_local(local), local.shape[1:])  # as if it were stored
        return [replace(photos[row], local_embeds=one) for row, one in zip(readable, local, strict=True)]

    def _fields(self, found: pa.Table) -> list[dict[str, Any]]:
        """Fields of a `GalleryPhoto` for each row."""
        photos = found.select(PHOTO_COLUMNS).to_pylist()
        if self.info.local:
            assert self.info.identity.local_shape is not None
            for photo, local in zip(photos, from_local(found[LOCAL], self.info.identity.local_shape), strict=True):
                photo["local_embeds"] = local
        return photos

    def _look_up(self, photo: GalleryPhoto | str) -> GalleryPhoto:
        if isinstance(photo, GalleryPhoto):
            return photo
        found = self._fields(self.table.rows_where(KEY, [photo], self.columns))
        if not found:
            raise GalleryError(photo, "this photo is not in the gallery")
        return GalleryPhoto(**found[0])

    def _decode(self, photo: GalleryPhoto, side: int) -> Image.Image:
        """Decode the file of a photo, or if it cannot be read the copy in the gallery, or the thumbnail."""
        try:
            return decode_photo(read_bytes(photo.path), side).image
        except (OSError, ValueError) as error:
            image = self._stored_copy(photo, side) or open_thumbnail(photo.thumbnail)
            if image is None:
                reason = getattr(error, "strerror", None) or error
                problem = f"this photo cannot be read any more ({reason})"
                raise GalleryError(photo.path, problem, "Run `caan index` again.") from error
            return image

    def _stored_copy(self, photo: GalleryPhoto, side: int) -> Image.Image | None:
        """The copy of a photo in the gallery; None if there is none or it is damaged."""
        copy = self.table.rows_where(KEY, [photo.path], ["image"])["image"].to_pylist()
        try:
            return decode_photo(copy[0], side).image if copy and copy[0] else None
        except ValueError:
            return None


def _encoder_of(gallery: str | os.PathLike[str], device: str | None, dtype: DType) -> Encoder | None:
    """The encoder that a gallery with photos was indexed with; None if there is no such gallery."""
    try:
        opened = Gallery.open(gallery, device=device, dtype=dtype)
    except NoGalleryError:
        return None
    return opened.encoder if len(opened) else None
