"""Evaluate encoders on a split: every sketch is a query, and every photo is in the gallery."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caan_hf.benchmarks.prepared import checked_split
from caan_hf.encoding.cache import CachedFeatures, EmbeddingCache, default_cache_folder
from caan_hf.encoding.dataset_pictures import DatasetPictures, unreadable
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import PLURAL, Features, Modality
from caan_hf.errors import CaanError
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.retrieval.ranking import BYTE_BUDGET
from caan_hf.utils.progress import progress_bar

from .embeddings import evaluate_embeddings, timed
from .metrics import CUTOFFS
from .options import EvaluationOptions
from .rankings import EvaluationResult

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger(__name__)

MIXED_CUTOFFS = (12,)
"""Further K of "P@K" in a mixed gallery: about as many photos as a user looks at."""
IN_TRAINING = EvaluationOptions(no_cache=True, no_rerank=True)
Encoded = Features | CachedFeatures


class ZeroShotEvaluator:
    """Ranks all photos of a split for each of its sketches.

    Args:
        dataset: Rows with `image`, `modality` and `category`, see [`checked_split`].
        options: Options. The default is that of training: photos are not re-ranked, and embeddings are not cached,
            because they are used once.
        protocol: Protocol id for the report.
        split: Name of the split for the report; the dataset's own by default.
        conventions: One or more names in `CONVENTIONS`.
        deduplicate: Also evaluate the gallery without its duplicate photos.
        byte_budget: Bytes that ranking may hold at a time besides the embeddings.

    Attributes:
        sketches: Rows of the Q queries.
        photos: Rows of the gallery of N photos.
        category_names: Names of all categories of the dataset.
        sketch_categories: (Q,) number of each sketch's category.
        photo_categories: (N,) number of each photo's category.

    Raises:
        CaanError: The split has no sketches or no photos, or `exhaustive` would score more than `max_pairs` pairs.

    Example:
        ```python
        evaluator = ZeroShotEvaluator(benchmark["validation"], EvaluationOptions(rerank=100), protocol="sketchy-25@1")
        result = evaluator(load_encoder("runs/mine/model"))
        result.metrics[evaluator.primary_metric]
        ```
    """

    primary_metric = "mAP@all"
    greater_is_better = True

    def __init__(
        self,
        dataset: "datasets.Dataset",
        options: EvaluationOptions = IN_TRAINING,
        *,
        protocol: str | None = None,
        split: str | None = None,
        conventions: str | Sequence[str] = "standard",
        deduplicate: bool = False,
        byte_budget: int = BYTE_BUDGET,
    ):
        dataset = checked_split(dataset)
        self.options = options
        self.protocol = protocol
        self.split = split or (None if dataset.split is None else str(dataset.split))
        self.conventions = conventions
        self.deduplicate = deduplicate
        self.byte_budget = byte_budget
        self.category_names: list[str] = dataset.features["category"].names
        self.sketches = self._rows(dataset, "sketch")
        self.photos = self._rows(dataset, "photo")
        self.sketch_categories = column_of(self.sketches, "category")
        self.photo_categories = column_of(self.photos, "category")
        pairs = len(self.sketches) * len(self.photos)
        if options.exhaustive and pairs > options.max_pairs:
            raise CaanError(
                f"--exhaustive would score {pairs:,} pairs, more than {options.max_pairs:,}. Use --rerank 100, or "
                "raise --max-pairs."
            )

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Each K of "P@K"."""
        return (*MIXED_CUTOFFS, *CUTOFFS) if self.options.mixed else CUTOFFS

    def __call__(self, encoder: Encoder) -> EvaluationResult:
        """Encode every image of the split once, rank and evaluate.

        Args:
            encoder: Any encoder. Options that need local tokens need an encoder with local tokens.

        Raises:
            CaanError: An image cannot be read, no sketch has a photo of its category, or local tokens are missing.
        """
        hubs = HubCorrection.of(encoder, self.options.hub_weight)
        rerank = self.options.num_candidates(encoder)
        needs_local = rerank > 0 or self.options.exhaustive
        if needs_local and not encoder.has_local:
            option = "--exhaustive" if self.options.exhaustive else "--rerank"
            raise CaanError(
                f"{encoder.name}: {option} needs local tokens, which this {encoder.kind} does not "
                "have. Leave the option out."
            )
        seconds: dict[str, float] = {}
        with self.encoded(encoder, seconds, local=needs_local) as (sketches, photos):
            result = self.evaluate_embeddings(
                sketches.global_embeds,
                photos.global_embeds,
                hubs=hubs,
                rerank=rerank,
                encoder=encoder,
                sketch_local=sketches.local_embeds,
                photo_local=photos.local_embeds,
                device=encoder.device,
                seconds=seconds,
            )
        return replace(
            result,
            model=encoder.name,
            model_kind=encoder.kind,
            precision=encoder.identity.precision,
        )

    @contextmanager
    def encoded(self, encoder: Encoder, seconds: dict[str, float], *, local: bool) -> Iterator[tuple[Encoded, Encoded]]:
        """Encode every image of the split once.

        Args:
            encoder: Any encoder; with local tokens if `local` is set.
            seconds: Wall time per stage, to which "encode" is added.
            local: Encode local tokens too. Without a cache they lie in a folder that is removed after the block.

        Yields:
            Features of the sketches and of the photos.

        Raises:
            CaanError: An image cannot be read.
        """
        if self.options.progress:
            logger.info("encoding %s images with %s", f"{len(self.sketches) + len(self.photos):,}", encoder.name)
        with self._cache(local) as cache:
            with timed(seconds, "encode"):
                sketches = self._encode(encoder, "sketch", cache, local)
                photos = self._encode(encoder, "photo", cache, local)
            yield sketches, photos

    def evaluate_embeddings(
        self, sketch_embeds: Any, photo_embeds: Any, *, rerank: int = 0, device: Any = "cpu", **local: Any
    ) -> EvaluationResult:
        """Evaluate embeddings that were computed elsewhere, for example gathered from several processes.

        Args:
            sketch_embeds: (Q, D) L2-normalised global embeddings, as arrays or tensors.
            photo_embeds: (N, D) L2-normalised global embeddings.
            rerank: Number of first photos of each sketch to re-rank; 0 for none.
            device: Where embeddings are ranked.
            **local: Arguments of [`embeddings.evaluate_embeddings`] for the correction of hubs and re-ranking.

        Raises:
            CaanError: No sketch has a photo of its category.
        """
        names = np.array(self.category_names)
        result = evaluate_embeddings(
            sketch_embeds,
            photo_embeds,
            names[self.sketch_categories],
            names[self.photo_categories],
            conventions=self.conventions,
            cutoffs=self.cutoffs,
            duplicates=repeated(self.photo_hashes, self.photo_categories) if self.deduplicate else None,
            smooth=self.options.smooth,
            expand=self.options.expand,
            rerank=rerank,
            exhaustive=self.options.exhaustive,
            byte_budget=self.byte_budget,
            progress=self.options.progress,
            device=str(device),
            **local,
        )
        return replace(result, protocol=self.protocol, split=self.split)

    @cached_property
    def photo_hashes(self) -> list[bytes]:
        """SHA-256 of the content of each photo."""
        return DatasetPictures(self.photos).hashes(progress=self.options.progress)

    def _rows(self, dataset: "datasets.Dataset", modality: Modality) -> "datasets.Dataset":
        rows = select_modality(dataset, modality)
        if not len(rows):
            raise CaanError(
                f"The {self.split or 'given'} split has no {PLURAL[modality]}. Evaluation needs sketches and photos."
            )
        return rows

    def _encode(self, encoder: Encoder, modality: Modality, cache: EmbeddingCache | None, local: bool) -> Encoded:
        pictures = DatasetPictures(self.sketches if modality == "sketch" else self.photos)
        options = self.options
        feeding: dict[str, Any] = {"local": local, "batch_size": options.batch_size, "workers": options.num_workers}
        try:
            with progress_bar(f"encoding {PLURAL[modality]}", len(pictures), shown=options.progress) as advance:
                if cache is not None:
                    hashes = self.photo_hashes if modality == "photo" else pictures.hashes(progress=options.progress)
                    return cache.encode(encoder, pictures, hashes, modality, progress=advance, **feeding)
                parts = []
                for batch in encoder.stream(pictures, modality, **feeding):
                    parts.append(batch.features)
                    advance(len(batch.sources))
                return Features.joined(parts)
        except ValueError as error:
            raise unreadable(error) from error

    @contextmanager
    def _cache(self, local: bool) -> Iterator[EmbeddingCache | None]:
        """The embedding cache. Without one, local embeddings still lie on disk, because they may exceed memory."""
        if not self.options.no_cache:
            yield EmbeddingCache(self.options.cache or default_cache_folder())
        elif not local:
            yield None
        else:
            with TemporaryDirectory(prefix="caan-embeddings-") as folder:
                yield EmbeddingCache(Path(folder))


def repeated(hashes: Sequence[bytes], categories: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(N,) whether an earlier image has the same content hash and category."""
    first: dict[tuple[bytes, int], int] = {}
    keys = zip(hashes, categories.tolist(), strict=True)
    return np.array([first.setdefault(key, row) < row for row, key in enumerate(keys)], dtype=bool)


def column_of(dataset: "datasets.Dataset", name: str) -> NDArray[np.int64]:
    """A column of integers, read without decoding any image."""
    column: NDArray[np.int64] = dataset.select_columns([name]).with_format("numpy")[:][name]
    return column


def is_modality(dataset: "datasets.Dataset", modality: Modality) -> NDArray[np.bool_]:
    """(N,) whether each row is a sketch, or each a photo."""
    return column_of(dataset, "modality") == dataset.features["modality"].str2int(modality)


def select_modality(dataset: "datasets.Dataset", modality: Modality) -> "datasets.Dataset":
    """The sketches or the photos of a dataset."""
    return dataset.select(np.flatnonzero(is_modality(dataset, modality)))
