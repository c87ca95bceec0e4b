"""Judge a model on a split: every sketch is a query, every photo is in the gallery, each image is encoded once."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import datasets
import torch
from torch import Tensor

from caan_hf.errors import CaanError

from .embedding import PLURAL, Embeddings, Modality, embed_images
from .metrics import MetricAccumulator, chance_map, count_relevant
from .ranking import BYTE_BUDGET, RankedChunk, Relation, rank_hits, rerank

TOP = 10
"""How many of the best photos of each query a result keeps, for the figure."""


@dataclass(frozen=True)
class RerankedResult:
    """The same measurement after the best `k` of each ranking were re-ordered by relation.

    Attributes:
        k: how many of the best photos were re-ordered.
        conventions: convention -> metric -> value in [0, 1].
        top: (Q, 10) int64 gallery positions of the best photos, fewer columns where the gallery is smaller.
    """

    k: int
    conventions: dict[str, dict[str, float]]
    top: Tensor


@dataclass(frozen=True)
class EvaluationResult:
    """What one evaluation found.

    Attributes:
        conventions: convention -> metric -> value in [0, 1], of the ranking by global embeddings.
        top: (Q, 10) int64 gallery positions of that ranking's best photos, fewer columns where the gallery is smaller.
        num_queries: sketches, those left out included.
        num_left_out: sketches without a photo of their category in the gallery.
        num_gallery: photos.
        chance: expected mAP@all of a random ranking.
        reranked: the same after re-ranking, where it was asked for.
        seconds: stage ("encode", "rank", "rerank") -> wall time.
        protocol: the benchmark protocol, such as "sketchy-25", where known.
        split: the split's name, where known.
    """

    conventions: dict[str, dict[str, float]]
    top: Tensor
    num_queries: int
    num_left_out: int
    num_gallery: int
    chance: float
    reranked: RerankedResult | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    protocol: str | None = None
    split: str | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Metric -> value of the global ranking in the first convention asked for, `standard` by default."""
        return next(iter(self.conventions.values()))


class ZeroShotEvaluator:
    """Ranks all photos of a split for each of its sketches.

    Example:
        ```python
        evaluator = ZeroShotEvaluator(benchmark["validation"], protocol="sketchy-25", rerank=100)
        result = evaluator(model, processor)
        result.metrics[evaluator.primary_metric]
        ```
    """

    primary_metric = "mAP@all"
    greater_is_better = True

    def __init__(
        self,
        dataset: datasets.Dataset,
        *,
        protocol: str | None = None,
        split: str | None = None,
        batch_size: int = 64,
        rerank: int | None = None,
        conventions: Sequence[str] = ("standard",),
        dtype: torch.dtype | None = None,
        num_workers: int = 0,
        byte_budget: int = BYTE_BUDGET,
        progress: bool = True,
    ):
        """Take the queries and the gallery from a split.

        Args:
            dataset: rows with `image`, `modality` (ClassLabel "sketch", "photo"), `category` (ClassLabel) and `source`.
            protocol: name for the report.
            split: name for the report; the dataset's own by default.
            batch_size: images an encoder call.
            rerank: how many of the best photos to re-order by relation; none by default.
            conventions: names in `metrics.CONVENTIONS`.
            dtype: `torch.bfloat16` or `torch.float16` to encode in automatic mixed precision.
            num_workers: processes that read and prepare images; 0 does it in this one.
            byte_budget: what ranking may hold at a time, in bytes.
            progress: show progress bars on stderr.

        Raises:
            CaanError: the split has no sketches or no photos, or `rerank` is not positive.
        """
        if rerank is not None and rerank < 1:
            raise CaanError(f"rerank must be at least 1, got {rerank}")
        self.protocol = protocol
        self.split = split or (str(dataset.split) if dataset.split is not None else None)
        self.rerank = rerank
        self.conventions = tuple(conventions)
        self.byte_budget = byte_budget
        self.encoding = {"batch_size": batch_size, "dtype": dtype, "num_workers": num_workers, "progress": progress}
        self.category_names: list[str] = dataset.features["category"].names
        self.sketches = self._of(dataset, "sketch")
        self.photos = self._of(dataset, "photo")
        self.sketch_categories = _column(self.sketches, "category")  # (Q,)
        self.photo_categories = _column(self.photos, "category")  # (N,)

    def __call__(
        self, model: torch.nn.Module, processor, *, device: torch.device | str | None = None
    ) -> EvaluationResult:
        """Encode all images of the split once and rank them.

        Args:
            model: a `CaanModel`.
            processor: its `CaanProcessor`.
            device: where to compute; where the model is by default.

        Raises:
            CaanError: an image cannot be used, or no sketch has a photo of its category.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "encode"):
            sketches = self._embed(model, processor, "sketch", device)
            photos = self._embed(model, processor, "photo", device)
        return self.evaluate_embeddings(
            sketches.global_embeds,
            photos.global_embeds,
            self.sketch_categories,
            self.photo_categories,
            sketch_local=sketches.local_embeds,
            photo_local=photos.local_embeds,
            relation=_relation_of(model) if self.rerank else None,
            device=next(model.parameters()).device,
            seconds=seconds,
        )

    def evaluate_embeddings(
        self,
        sketch_embeds: Tensor,
        photo_embeds: Tensor,
        sketch_categories: Tensor,
        photo_categories: Tensor,
        *,
        sketch_local: Tensor | None = None,
        photo_local: Tensor | None = None,
        relation: Relation | None = None,
        device: torch.device | str = "cpu",
        seconds: dict[str, float] | None = None,
    ) -> EvaluationResult:
        """Rank embeddings that were computed elsewhere, for example gathered from several processes.

        Args:
            sketch_embeds: (Q, D) L2-normalised.
            photo_embeds: (N, D) L2-normalised.
            sketch_categories: (Q,) integers.
            photo_categories: (N,) integers.
            sketch_local: (Q, M, R), for re-ranking.
            photo_local: (N, M, R), for re-ranking.
            relation: `model.get_paired_relation_logits`, for re-ranking; without it only the global ranking is judged.
            device: where to rank.
            seconds: stage -> wall time so far; this adds "rank" and "rerank".

        Raises:
            CaanError: no sketch has a photo of its category.
        """
        seconds = {} if seconds is None else seconds
        labels = sketch_categories.cpu(), photo_categories.cpu()
        if not count_relevant(*labels).any():
            raise CaanError("no sketch of the split has a photo of its category: there is nothing to measure")
        by_global = _Tally(*labels, self.conventions)
        by_relation = _Tally(*labels, self.conventions) if self.rerank and relation is not None else None
        gallery = photo_embeds.to(device)  # (N, D)
        top = max(TOP, self.rerank or 0) if by_relation is not None else TOP
        chunks = rank_hits(sketch_embeds, gallery, *labels, top=top, byte_budget=self.byte_budget)
        while (chunk := _next_timed(chunks, seconds)) is not None:
            by_global.add(chunk)
            if by_relation is None:
                continue
            with _timed(seconds, "rerank"):
                by_relation.add(self._rerank(chunk, sketch_local, photo_local, relation, labels))
        metrics = by_global.metrics.compute()
        return EvaluationResult(
            conventions=metrics.conventions,
            top=by_global.top,
            num_queries=metrics.num_queries,
            num_left_out=metrics.num_left_out,
            num_gallery=len(gallery),
            chance=chance_map(*labels),
            reranked=by_relation and by_relation.reranked(self.rerank),
            seconds=seconds,
            protocol=self.protocol,
            split=self.split,
        )

    def _rerank(self, chunk: RankedChunk, sketch_local, photo_local, relation: Relation, labels) -> RankedChunk:
        best = RankedChunk(chunk.queries, chunk.hits, chunk.top[:, : self.rerank])
        label = int(labels[0][chunk.queries[0]])
        queries = sketch_local[chunk.queries]  # (q, M, R)
        again = rerank(best, queries, photo_local, labels[1], label, relation, byte_budget=self.byte_budget)
        top = torch.cat([again.top, chunk.top[:, self.rerank :]], dim=1)
        return RankedChunk(again.queries, again.hits, top)

    def _of(self, dataset: datasets.Dataset, modality: Modality) -> datasets.Dataset:
        wanted = dataset.features["modality"].str2int(modality)
        rows = (_column(dataset, "modality") == wanted).nonzero().flatten()
        if not len(rows):
            raise CaanError(f"split '{self.split}' has no {PLURAL[modality]}: it needs both modalities to be evaluated")
        return dataset.select(rows.tolist())

    def _embed(self, model: torch.nn.Module, processor, modality: Modality, device) -> Embeddings:
        images = self.sketches if modality == "sketch" else self.photos
        local = self.rerank is not None
        return embed_images(model, processor, images, modality, device=device, local=local, **self.encoding)


class _Tally:
    """Metrics and best photos of one way of ranking, gathered a chunk of queries at a time."""

    def __init__(self, sketch_categories: Tensor, photo_categories: Tensor, conventions: Sequence[str]):
        self.sketch_categories = sketch_categories  # (Q,)
        self.metrics = MetricAccumulator(conventions)
        self.top = torch.empty(len(sketch_categories), min(TOP, len(photo_categories)), dtype=torch.long)

    def add(self, chunk: RankedChunk) -> None:
        self.metrics.update(chunk.hits, self.sketch_categories[chunk.queries], chunk.queries)
        self.top[chunk.queries] = chunk.top[:, :TOP].cpu()

    def reranked(self, k: int) -> RerankedResult:
        return RerankedResult(k, self.metrics.compute().conventions, self.top)


def _relation_of(model: torch.nn.Module) -> Relation:
    dtype = next(model.parameters()).dtype
    return lambda sketches, photos: model.get_paired_relation_logits(sketches.to(dtype), photos.to(dtype))


def _column(dataset: datasets.Dataset, name: str) -> Tensor:
    """(rows,) int64, read without decoding any image."""
    return torch.as_tensor(dataset.select_columns([name]).with_format("numpy")[:][name]).long()


def _next_timed(chunks: Iterator[RankedChunk], seconds: dict[str, float]) -> RankedChunk | None:
    with _timed(seconds, "rank"):
        return next(chunks, None)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
