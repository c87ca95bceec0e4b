"""Weight averaging: one model from several trained from the same start (model soups, Wortsman et al. 2022)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import load_checkpoint
from caan_hf.publishing.training_record import TrainingRecord, read_training_record

from .precompute import measure_centers
from .recipe import NOT_OF_THE_RUN
from .run import save_for_retrieval
from .triplets import TripletDataset

# They start at random in each run, so that those of two runs lie in no common valley: the first run's are taken.
OF_THE_FIRST = ("local_tokens.", "relation.", "sketch_projection.", "photo_projection.")


def average_checkpoints(checkpoints: Sequence[str | Path], out: Path, data: str | Path | None = None) -> None:
    """Averages the towers of models for retrieval, such as runs of one recipe with different seeds.

    Projections, local tokens and relation network are the first model's: they have no common start.

    Args:
        checkpoints: two or more, of one recipe but for the seed, where their records say how they were trained.
        out: the folder to write; it must not exist.
        data: the benchmark that they were trained on; needed to measure `center_features` anew.

    Raises:
        CaanError: there are too few, one is given twice, they are of different sizes or recipes, `out` exists or cannot
            be made, or `data` is missing.
    """
    _require_different(checkpoints)
    if out.exists():
        raise CaanError(f"{out} exists: choose a new folder")
    split = None if data is None else load_benchmark(data)[0]["train"]
    records = [read_training_record(Path(checkpoint)) for checkpoint in checkpoints]
    for checkpoint, record in zip(checkpoints[1:], records[1:], strict=True):
        _require_same_recipe(records[0], record, checkpoints[0], checkpoint)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaanError(f"{out}: cannot be made ({error})") from error
    model, processor = load_checkpoint(str(checkpoints[0]))
    if model.config.center_features and split is None:
        raise CaanError("these models centre their features, which is measured on training images: give their data")
    sums = {name: tensor.double() for name, tensor in model.state_dict().items()}
    averaged = [name for name in sums if not name.startswith(OF_THE_FIRST)]
    for checkpoint in checkpoints[1:]:
        other = load_checkpoint(str(checkpoint))[0].state_dict()
        _require_same_shapes(sums, other, checkpoints[0], checkpoint)
        for name in averaged:
            sums[name] += other[name]
    model.load_state_dict(sums | {name: sums[name] / len(checkpoints) for name in averaged})
    if model.config.center_features:
        measure_centers(model, processor, TripletDataset(split, processor))
    save_for_retrieval(model, processor, out, _averaged(records))


def _require_different(checkpoints: Sequence[str | Path]) -> None:
    if len(checkpoints) < 2:
        raise CaanError("give two checkpoints or more to average")
    places = [Path(checkpoint).resolve() for checkpoint in checkpoints]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise CaanError(f"{twice} is given twice: give different runs of a recipe")


def _require_same_recipe(one: TrainingRecord | None, other: TrainingRecord | None, first, second) -> None:
    """The average is recorded as one of runs of the first's recipe; models without a record are taken at their word."""
    if one is None or other is None:
        return
    settings, others = (
        {
            f"{section}.{key}": value
            for section, values in record.recipe.model_dump(exclude_unset=True).items()
            for key, value in (values or {}).items()
            if not (section == "training" and key in {"seed", *NOT_OF_THE_RUN})
        }
        for record in (one, other)
    )
    for key in sorted(settings.keys() | others.keys()):
        if settings.get(key) != others.get(key):
            raise CaanError(
                f"{second}: of another recipe than {first}: {key} is {others.get(key)!r}, not {settings.get(key)!r}"
            )


def _averaged(records: Sequence[TrainingRecord | None]) -> TrainingRecord | None:
    """The first record with the seeds of all runs; a seed is None if the run has no record or records no seed."""
    first = records[0]
    seeds = [record.recipe.training.seed if record else None for record in records]
    return first and first.model_copy(update={"averaged_seeds": seeds})


def _require_same_shapes(sums: dict[str, torch.Tensor], other: dict[str, torch.Tensor], first, second) -> None:
    shapes, others = ({name: tensor.shape for name, tensor in state.items()} for state in (sums, other))
    if shapes != others:
        name = next(name for name in sorted(shapes.keys() | others.keys()) if shapes.get(name) != others.get(name))
        raise CaanError(f"{second}: not of the same make as {first}: they differ in {name}")
