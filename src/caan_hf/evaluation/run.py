"""One evaluation of a checkpoint, from its name to its report."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from caan_hf.benchmarks import load_benchmark
from caan_hf.descriptions.spelling import fold

from .cache import EmbeddingCache
from .checkpoint import load_checkpoint
from .conventions import CONVENTIONS
from .document import Provenance
from .evaluator import MAX_PAIRS, ZeroShotEvaluator
from .figure import top10_figure
from .report import write_report
from .setting import Setting, generalized, plain, training_categories, unseen_by


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure; see `caan evaluate --help`.

    Attributes:
        data: folder of a prepared benchmark.
        split: whose sketches are the queries.
        rerank: re-order the best so many photos by relation.
        expand: rank with each sketch expanded by its so many first photos.
        exhaustive: rank by the relation of all pairs.
        max_pairs: the most of them.
        generalized: mix seen photos into the gallery.
        trained_on: prepared benchmark, protocol or file of the categories that training saw; None for what the
            checkpoint says of itself.
        dtype: of the encoders.
        batch_size: images an encoder call.
        num_workers: processes that read images.
        device: where to compute.
        cache: where embeddings are kept; None for nowhere.
        seed: of the figure's choice of sketches and of the bootstrap.
        progress: show progress bars.
    """

    data: Path
    split: str = "test"
    rerank: int | None = None
    expand: int | None = None
    exhaustive: bool = False
    max_pairs: int = MAX_PAIRS
    generalized: bool = False
    trained_on: str | None = None
    dtype: str = "float32"
    batch_size: int = 64
    num_workers: int = 0
    device: torch.device | str = "cpu"
    cache: Path | None = None
    seed: int = 0
    progress: bool = True

    def command(self, checkpoint: str) -> str:
        """The command that measures the same again: only the options that change the numbers."""
        parts = ["caan", "evaluate", checkpoint, "--data", str(self.data), "--split", self.split]
        parts += ["--rerank", str(self.rerank)] if self.rerank else []
        parts += ["--expand", str(self.expand)] if self.expand else []
        parts += ["--exhaustive", "--max-pairs", str(self.max_pairs)] if self.exhaustive else []
        parts += ["--generalized"] if self.generalized else []
        parts += ["--trained-on", self.trained_on] if self.trained_on else []
        parts += ["--dtype", self.dtype] if self.dtype != "float32" else []
        parts += ["--seed", str(self.seed)] if self.seed else []
        return shlex.join(parts)


def evaluate_checkpoint(checkpoint: str, options: EvaluationOptions, folder: Path) -> dict[str, Any]:
    """Measure a checkpoint and write its report.

    Args:
        checkpoint: a folder, or the id of a model on the Hub.
        options: what to measure.
        folder: of the report.

    Returns:
        The content of `metrics.json`.

    Raises:
        CaanError: the checkpoint, the data or the options cannot be used.
    """
    benchmark, info = load_benchmark(options.data)
    setting = plain(benchmark, info, options.split)
    model, processor = load_checkpoint(checkpoint)
    setting = _without_seen(setting, model.config, options.trained_on)
    if options.generalized:
        setting = generalized(setting, benchmark)
    with _cache(options) as cache:
        evaluator = ZeroShotEvaluator(
            setting.rows,
            protocol=setting.protocol,
            split=setting.split,
            batch_size=options.batch_size,
            rerank=options.rerank,
            expand=options.expand,
            exhaustive=options.exhaustive,
            max_pairs=options.max_pairs,
            deduplicate=True,
            conventions=tuple(CONVENTIONS),
            dtype=getattr(torch, options.dtype),
            num_workers=options.num_workers,
            cache=cache,
            progress=options.progress,
        )
        result = evaluator(model, processor, device=options.device)
    provenance = Provenance(
        checkpoint,
        str(options.data),
        options.command(checkpoint),
        notes=setting.notes,
        removed=setting.removed,
        seed=options.seed,
    )
    return write_report(result, evaluator, top10_figure(evaluator, result, seed=options.seed), provenance, folder)


@contextmanager
def _cache(options: EvaluationOptions) -> Iterator[EmbeddingCache | None]:
    """Where embeddings are kept: local ones never in memory, so where nothing is to be kept, for the time being."""
    if options.cache is not None:
        yield EmbeddingCache(options.cache)
    elif options.rerank is None and not options.exhaustive:
        yield None
    else:
        with TemporaryDirectory(prefix="caan-embeddings-") as folder:
            yield EmbeddingCache(Path(folder))


def _without_seen(setting: Setting, config, trained_on: str | None) -> Setting:
    """Leave out what training saw where it was another benchmark; where it was this one, only say what it saw."""
    if trained_on is not None:
        protocol, seen = training_categories(trained_on)
    elif config.training_protocol is not None:
        protocol = config.training_protocol
        seen = (*(config.training_categories or ()), *(config.validation_categories or ()))
    else:
        return setting
    if _name(protocol) != _name(setting.protocol):
        return unseen_by(setting, protocol, seen)
    # Selecting on validation categories and measuring there is no fault of the split that is for it.
    trained = {fold(name) for name in (seen if trained_on or setting.split == "test" else config.training_categories)}
    leaked = [name for name in setting.categories() if fold(name) in trained]
    return setting.noted(f"not zero-shot: training saw {', '.join(leaked)}") if leaked else setting


def _name(protocol: str) -> str:
    return protocol.partition("@")[0]
