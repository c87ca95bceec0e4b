"""Judge a model on a split: every sketch is a query, every photo is in the gallery, each image is encoded once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import datasets
import torch
from torch import Tensor

from caan_hf.errors import CaanError

from .cache import EmbeddingCache
from .embedding import PLURAL, Embeddings, Modality, embed_images
from .image_hashes import image_hashes, repeated
from .judge import judge_embeddings, timed
from .ranking import BYTE_BUDGET, LocalEmbeds
from .result import EvaluationResult

MAX_PAIRS = 20_000_000
"""Pairs that exhaustive scoring takes on without being told to: some minutes on a GPU, some hours on two cores."""


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
        expand: int | None = None,
        conventions: Sequence[str] = ("standard",),
        dtype: torch.dtype | None = None,
        num_workers: int = 0,
        exhaustive: bool = False,
        max_pairs: int = MAX_PAIRS,
        deduplicate: bool = False,
        cache: EmbeddingCache | None = None,
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
            expand: rank with each sketch expanded by its so many first photos too; see `expand_queries`.
            conventions: names in `metrics.CONVENTIONS`.
            dtype: `torch.bfloat16` or `torch.float16` to encode in automatic mixed precision.
            num_workers: processes that read and prepare images; 0 does it in this one.
            exhaustive: rank by the relation of every sketch with every photo, instead of the best `rerank` alone.
            max_pairs: the most pairs that `exhaustive` agrees to score.
            deduplicate: measure the gallery without its duplicate photos too.
            cache: where embeddings are kept from one evaluation to the next; nowhere by default.
            byte_budget: what ranking may hold at a time, in bytes.
            progress: show progress bars on stderr.

        Raises:
            CaanError: the split has no sketches or no photos, `rerank` or `expand` is not positive, `rerank` goes with
                `exhaustive`, or that would score more than `max_pairs`.
        """
        for name, count in (("rerank", rerank), ("expand", expand)):
            if count is not None and count < 1:
                raise CaanError(f"{name} must be at least 1, got {count}")
        if exhaustive and rerank is not None:
            raise CaanError("rerank and exhaustive exclude each other: one re-orders the best photos, the other all")
        self.protocol = protocol
        self.split = split or (str(dataset.split) if dataset.split is not None else None)
        self.rerank = rerank
        self.expand = expand
        self.exhaustive = exhaustive
        self.deduplicate = deduplicate
        self.cache = cache
        self.conventions = tuple(conventions)
        self.byte_budget = byte_budget
        self.encoding = {"batch_size": batch_size, "dtype": dtype, "num_workers": num_workers, "progress": progress}
        self.category_names: list[str] = dataset.features["category"].names
        self.sketches = self._of(dataset, "sketch")
        self.photos = self._of(dataset, "photo")
        self.sketch_categories = _column(self.sketches, "category")  # (Q,)
        self.photo_categories = _column(self.photos, "category")  # (N,)
        pairs = len(self.sketches) * len(self.photos)
        if exhaustive and pairs > max_pairs:
            raise CaanError(
                f"exhaustive scoring takes the relation of {pairs:,} pairs, more than the {max_pairs:,} allowed: "
                "re-rank the best 100 of each sketch instead, or allow more (--max-pairs)"
            )

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
        with timed(seconds, "encode"):
            sketches = self._embed(model, processor, "sketch", device)
            photos = self._embed(model, processor, "photo", device)
        return self.evaluate_embeddings(
            sketches.global_embeds,
            photos.global_embeds,
            self.sketch_categories,
            self.photo_categories,
            sketch_local=sketches.local_embeds,
            photo_local=photos.local_embeds,
            model=model,
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
        sketch_local: LocalEmbeds | None = None,
        photo_local: LocalEmbeds | None = None,
        model: torch.nn.Module | None = None,
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
            model: whose relation network re-ranks; without it only the global ranking is judged.
            device: where to rank.
            seconds: stage -> wall time so far.

        Raises:
            CaanError: no sketch has a photo of its category, or exhaustive scoring was asked of too many pairs.
        """
        result = judge_embeddings(
            sketch_embeds,
            photo_embeds,
            sketch_categories,
            photo_categories,
            conventions=self.conventions,
            duplicates=self.duplicates,
            rerank=self.rerank,
            expand=self.expand,
            relation=_relation(model, "get_paired_relation_logits") if self.rerank and model is not None else None,
            pair_relation=_relation(model, "get_relation_logits") if self.exhaustive and model is not None else None,
            sketch_local=sketch_local,
            photo_local=photo_local,
            device=device,
            byte_budget=self.byte_budget,
            seconds=seconds,
            progress=self.encoding["progress"],
        )
        return replace(result, protocol=self.protocol, split=self.split)

    @cached_property
    def photo_hashes(self) -> Tensor:
        """(N, 32) uint8, the content of each photo; see `image_hashes`."""
        return image_hashes(self.photos, progress=self.encoding["progress"])

    @cached_property
    def duplicates(self) -> Tensor | None:
        """(N,) bool, photos that repeat an earlier one of their category; None where that was not asked for."""
        return repeated(self.photo_hashes, self.photo_categories) if self.deduplicate else None

    def _of(self, dataset: datasets.Dataset, modality: Modality) -> datasets.Dataset:
        wanted = dataset.features["modality"].str2int(modality)
        rows = (_column(dataset, "modality") == wanted).nonzero().flatten()
        if not len(rows):
            raise CaanError(f"split '{self.split}' has no {PLURAL[modality]}: it needs both modalities to be evaluated")
        return dataset.select(rows.tolist())

    def _embed(self, model: torch.nn.Module, processor, modality: Modality, device) -> Embeddings:
        images = self.sketches if modality == "sketch" else self.photos
        options = {**self.encoding, "device": device, "local": self.rerank is not None or self.exhaustive}
        if self.cache is None:
            return embed_images(model, processor, images, modality, **options)
        hashes = self.photo_hashes if modality == "photo" else image_hashes(images, progress=options["progress"])
        return self.cache.embed(model, processor, images, hashes, modality, **options)


def _relation(model: torch.nn.Module, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A relation method of the model that takes float32."""
    dtype = next(model.parameters()).dtype
    score = getattr(model, name)
    return lambda sketches, photos: score(sketches.to(dtype), photos.to(dtype))


def _column(dataset: datasets.Dataset, name: str) -> Tensor:
    """(rows,) int64, read without decoding any image."""
    return torch.as_tensor(dataset.select_columns([name]).with_format("numpy")[:][name]).long()
