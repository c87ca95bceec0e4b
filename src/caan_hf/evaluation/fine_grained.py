"""Fine-grained retrieval: each sketch ranks the photos of its category, and the photo it was drawn from is right.

This is the fine-grained ZS-SBIR that ZSE-SBIR (Lin et al., CVPR 2023) and CLIP-AT (Sain et al., CVPR 2023) report.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caan_hf.encoding.cache import LocalEmbeds
from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import Array
from caan_hf.errors import CaanError
from caan_hf.retrieval.ranking import BYTE_BUDGET, BYTES_PER_PAIR, stable_order
from caan_hf.retrieval.reranking import all_local_scores, fused
from caan_hf.utils.progress import progress_bar

from .bootstrap import interval, resampled_averages
from .conventions import Values
from .embeddings import LocalPair, check_sizes, timed
from .metrics import as_array, category_numbers, means_by_category
from .rankings import TOP, Labels

ACCURACY_CUTOFFS = (1, 5)
FINE_METRICS = (*(f"Acc@{k}" for k in ACCURACY_CUTOFFS), "MRR")
NO_PHOTO = -1


@dataclass(frozen=True)
class FineGrainedRanking:
    """One ranking of the photos of each sketch's category.

    Attributes:
        ranks: (A,) int64, 1-based rank of the photo that each sketch was drawn from.
        labels: (A,) categories of the sketches.
        top: (A, 10) gallery positions of the best photos; rows of smaller categories end in -1.
    """

    ranks: NDArray[np.int64]
    labels: NDArray
    top: NDArray[np.int64]

    @cached_property
    def per_query(self) -> dict[str, Values]:
        """Metric to (A,) values: 1 if the rank is at most K, for "Acc@K", and 1 / rank, for "MRR"."""
        values = {f"Acc@{k}": (self.ranks <= k).astype(np.float64) for k in ACCURACY_CUTOFFS}
        return {**values, "MRR": 1 / self.ranks}

    @property
    def metrics(self) -> dict[str, float]:
        """Metric to average over the sketches."""
        return {name: float(values.mean()) for name, values in self.per_query.items()}

    def confidence(self, *, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Metric to 95 % bootstrap interval of its average, see `bootstrap.resampled_averages`."""
        values = np.stack(list(self.per_query.values()), axis=1)  # (A, V)
        low, high = interval(resampled_averages(values, self.labels, macro=False, seed=seed)).tolist()
        return dict(zip(self.per_query, zip(low, high, strict=True), strict=True))

    def by_category(self) -> dict[Any, dict[str, float]]:
        """Category to metric to average over its sketches."""
        return means_by_category(self.per_query, self.labels)


@dataclass(frozen=True)
class FineGrainedResult:
    """Result of a fine-grained evaluation.

    Attributes:
        num_queries: Number of all sketches.
        num_left_out: Number of sketches whose photo is not in the gallery, which no average includes.
        num_gallery: Number of photos.
        queries: (A,) positions of the other sketches, ascending.
        labels: (A,) their categories.
        rankings: "global" (cosine of the global embeddings) and, of an encoder with local tokens, "local" (local score
            alone) and, if the encoder has a weight for it, "fused", to the ranking.
        chance: Metric to its expected value in a random ranking.
        seconds: Wall time per stage: "encode", "rank".
        protocol: Id of the protocol, such as "sketchy-25-fine@1", if known.
        split: Name of the split, if known.
        model: Folder or Hub id of the evaluated model, if known.
        model_kind: "checkpoint", "ONNX export" or "untrained tower", if known.
        precision: Precision in which the model encoded, if known.
        local_weight: Weight of the local score in the fused score; None without a fused score.
        notes: Caveats that a reader must know, as sentences.
        removed_categories: Category that was left out because training saw it, to its name in the training data.
    """

    num_queries: int
    num_left_out: int
    num_gallery: int
    queries: NDArray[np.int64]
    labels: NDArray
    rankings: dict[str, FineGrainedRanking]
    chance: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
    protocol: str | None = None
    split: str | None = None
    model: str | None = None
    model_kind: str | None = None
    precision: str | None = None
    local_weight: float | None = None
    notes: tuple[str, ...] = ()
    removed_categories: Mapping[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """Metric to value of the ranking by global embeddings."""
        return self.rankings["global"].metrics


def evaluate_instance_embeddings(
    sketch_embeds: Any,
    photo_embeds: Any,
    sketch_categories: Any,
    photo_categories: Any,
    sketch_instances: Any,
    photo_instances: Any,
    *,
    encoder: Encoder | None = None,
    sketch_local: LocalEmbeds | None = None,
    photo_local: LocalEmbeds | None = None,
    byte_budget: int = BYTE_BUDGET,
    seconds: dict[str, float] | None = None,
    progress: bool = False,
) -> FineGrainedResult:
    """Rank the photos of each sketch's category, exactly, and evaluate the rank of the photo it was drawn from.

    Ties keep the order of the gallery. If several photos of a category have the instance of a sketch, the best counts.

    Args:
        sketch_embeds: (Q, D) L2-normalised global embeddings, as arrays or tensors.
        photo_embeds: (N, D) L2-normalised global embeddings.
        sketch_categories: (Q,) integers or names. With one category for all, each sketch ranks the whole gallery.
        photo_categories: (N,) integers or names.
        sketch_instances: (Q,) integers or names of what each sketch was drawn from, unique within a category.
        photo_instances: (N,) integers or names of what each photo shows.
        encoder: Encoder with local tokens, for the local and the fused score.
        sketch_local: (Q, M, R) local embeddings, with `encoder`.
        photo_local: (N, M, R) local embeddings, with `encoder`.
        byte_budget: Bytes that ranking may hold at a time besides the embeddings; at least one sketch is ranked.
        seconds: Wall time per earlier stage, which the result then includes.
        progress: Show a progress bar on a terminal.

    Raises:
        CaanError: No sketch has its photo in the gallery.
        ValueError: Sizes do not match, or embeddings hold NaN.

    Example:
        ```python
        result = evaluate_instance_embeddings(
            sketches, photos, ["cup", "cup"], ["cup", "cup"], ["blue-mug", "glass"], ["glass", "blue-mug"]
        )
        result.metrics["Acc@1"]
        ```
    """
    queries, gallery = as_array(sketch_embeds), as_array(photo_embeds)
    labels = Labels(*category_numbers(sketch_categories, photo_categories))
    check_sizes(queries, gallery, labels)
    instances = Labels(*category_numbers(sketch_instances, photo_instances))
    check_sizes(queries, gallery, instances, "instances")
    answered = np.flatnonzero(np.isin(*_keys(labels, instances)))  # (A,)
    if not len(answered):
        raise CaanError(
            "No sketch has the photo that it was drawn from in the gallery, so there is nothing to evaluate."
        )
    local = None if encoder is None else LocalPair.of(encoder, sketch_local, photo_local)
    local_bytes = 0 if local is None else 4 * int(np.prod(local.sketches.shape[1:]))
    ranks: dict[str, NDArray[np.int64]] = {}
    top: dict[str, NDArray[np.int64]] = {}
    seconds = {} if seconds is None else seconds
    with timed(seconds, "rank"), progress_bar("ranking", len(answered), shown=progress) as advance:
        for places, photos in _chunks(labels, answered, byte_budget, local_bytes):
            rows = answered[places]
            is_right = instances.photos[photos] == instances.sketches[rows, None]  # (q, n)
            for name, scores in _scores(queries, gallery, local, rows, photos).items():
                order = stable_order(scores)  # (q, n)
                hits = np.take_along_axis(is_right, order, axis=1)
                ranks.setdefault(name, np.zeros(len(answered), np.int64))[places] = hits.argmax(axis=1) + 1
                best = photos[order[:, :TOP]]
                top.setdefault(name, np.full((len(answered), TOP), NO_PHOTO))[places, : best.shape[1]] = best
            advance(len(rows))
    names = labels.names[labels.sketches[answered]]
    return FineGrainedResult(
        num_queries=len(queries),
        num_left_out=len(queries) - len(answered),
        num_gallery=len(gallery),
        queries=answered,
        labels=names,
        rankings={name: FineGrainedRanking(ranks[name], names, top[name]) for name in ranks},
        chance=_chance(labels, instances, answered),
        seconds=seconds,
        local_weight=local.encoder.local_weight if local else None,
    )


def chance_of(photos: int, right: int) -> dict[str, float]:
    """Expected metrics of a random ranking of `photos` photos, of which `right` are right.

    P(rank > k) is the product over i < k of (N - R - i) / (N - i), with N photos and R right ones. For R = 1 this gives
    Acc@K = K / N and MRR = (1 + 1/2 + ... + 1/N) / N.
    """
    before = np.arange(photos)
    later = np.cumprod((photos - right - before).clip(min=0) / (photos - before))  # (N,) P(rank > k), k = 1..N
    at = np.concatenate([[1.0], later[:-1]]) - later  # (N,) P(rank = k)
    accuracies = {f"Acc@{k}": float(1 - later[min(k, photos) - 1]) for k in ACCURACY_CUTOFFS}
    return {**accuracies, "MRR": float((at / (before + 1)).sum())}


def _scores(
    queries: NDArray, gallery: NDArray, local: LocalPair | None, rows: NDArray[np.intp], photos: NDArray[np.intp]
) -> dict[str, Array]:
    """Ranking to the scores (q, n) of the sketches at q positions with the photos at n positions."""
    cosines = queries[rows].astype(np.float32) @ gallery[photos].astype(np.float32).T
    if local is None:
        return {"global": cosines}
    scores = {"global": cosines, "local": all_local_scores(local.encoder, local.sketches[rows], local.photos, photos)}
    if (weight := local.encoder.local_weight) is not None:
        scores["fused"] = fused(cosines, scores["local"], weight)
    return scores


def _chance(labels: Labels, instances: Labels, answered: NDArray[np.int64]) -> dict[str, float]:
    """Average of `chance_of` over the sketches."""
    sizes = np.bincount(labels.photos, minlength=len(labels.names))[labels.sketches[answered]]  # (A,)
    sketch_keys, photo_keys = _keys(labels, instances)
    asked, ordered = sketch_keys[answered], np.sort(photo_keys)
    right = np.searchsorted(ordered, asked, "right") - np.searchsorted(ordered, asked, "left")  # (A,)
    kinds, counts = np.unique(np.stack([sizes, right], axis=1), axis=0, return_counts=True)
    values = np.array([list(chance_of(*kind).values()) for kind in kinds.tolist()])
    return dict(zip(FINE_METRICS, (counts @ values / counts.sum()).tolist(), strict=True))


def _keys(labels: Labels, instances: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(Q,) and (N,) numbers of category and instance together."""
    sketches, photos = (labels[side] * len(instances.names) + instances[side] for side in range(2))
    return sketches, photos


def _chunks(
    labels: Labels, answered: NDArray[np.int64], byte_budget: int, bytes_per_query: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Places in `answered` of some sketches of one category, and the positions of the photos of the category."""
    categories = labels.sketches[answered]
    for category in np.unique(categories):
        places, photos = np.flatnonzero(categories == category), np.flatnonzero(labels.photos == category)
        step = max(1, byte_budget // (BYTES_PER_PAIR * len(photos) + bytes_per_query))
        for start in range(0, len(places), step):
            yield places[start : start + step], photos
