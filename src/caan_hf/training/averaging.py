"""Weight averaging of models that were trained from the same start (model soups, Wortsman et al. 2022)."""

from collections.abc import Sequence
from pathlib import Path

import datasets
import torch

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import load_checkpoint
from caan_hf.encoding.load import model_folder
from caan_hf.encoding.text_encoder import TEXT_FOLDER, TextEncoder
from caan_hf.errors import CaanError
from caan_hf.publishing.training_record import TrainingRecord, read_training_record
from caan_hf.utils.files import require_writable

from .category_sentences import category_sentences
from .centers import measure_centers
from .checkpoints import changed_settings, save_for_retrieval
from .hub_bank import measure_hub_bank
from .triplets import TripletDataset

# Layers that start at random in each run, so that their weights cannot be averaged.
TAKEN_FROM_FIRST = ("local_tokens.", "relation.", "hub_bank.", "sketch_projection.", "photo_projection.")


def average_checkpoints(checkpoints: Sequence[str | Path], out: Path, data: str | Path | None = None) -> None:
    """Average the towers of models for retrieval, such as runs of one recipe with different seeds or numbers of steps.

    Projections, local tokens and relation network are taken from the first model, because they start at random.

    Args:
        checkpoints: At least two models. Their recorded recipes may differ only in section `training`.
        out: The folder to write; it must not exist.
        data: The benchmark that the models were trained on, required if parts of them are
            measured on training images: `center_features`, late interaction or `hub_bank_size`.

    Raises:
        CaanError: There are fewer than two models, one is given twice, they differ in size or recipe, `out` exists or
            cannot be written, or `data` is missing.
    """
    _require_different(checkpoints)
    if out.exists():
        raise CaanError(f"{out}: exists already. Choose another folder.")
    require_writable(out)
    split = None if data is None else load_benchmark(data)[0]["train"]
    folders = [model_folder(str(checkpoint)) for checkpoint in checkpoints]
    records = [read_training_record(folder) for folder in folders]
    for checkpoint, record in zip(checkpoints[1:], records[1:], strict=True):
        _require_same_recipe(records[0], record, checkpoints[0], checkpoint)
    model, processor = load_checkpoint(str(folders[0]))
    if model.config.is_measured and split is None:
        raise CaanError(
            f"{checkpoints[0]}: parts of the model are measured on training images (center_features, late interaction, "
            "hub_bank_size). Give the benchmark with --data."
        )
    sums = {name: tensor.double() for name, tensor in model.state_dict().items()}
    averaged = [name for name in sums if not name.startswith(TAKEN_FROM_FIRST)]
    for checkpoint, folder in zip(checkpoints[1:], folders[1:], strict=True):
        other = load_checkpoint(str(folder))[0].state_dict()
        _require_same_shapes(sums, other, checkpoints[0], checkpoint)
        for name in averaged:
            sums[name] += other[name]
    model.load_state_dict(sums | {name: sums[name] / len(checkpoints) for name in averaged})
    if model.config.is_measured:
        images = TripletDataset(split, processor).paired_rows()
        measure_centers(model, processor, images, progress=True)
        measure_hub_bank(model, processor, images, progress=True)
    seeds = [record.recipe.training.seed if record else None for record in records]
    steps = [record.steps if record else None for record in records]
    record = records[0] and records[0].model_copy(update={"averaged_seeds": seeds, "averaged_steps": steps})
    save_for_retrieval(model, processor, out, record, _averaged_text(folders, split, model.config.center_features))


def _averaged_text(
    folders: Sequence[Path], split: datasets.Dataset | None, center_features: bool
) -> TextEncoder | None:
    """The text sides of models with the mean of their projections; None if a model has none.

    The projections start at random, but they all map into the space of the towers, which start from the same weights.
    """
    if split is None or not all((folder / TEXT_FOLDER).is_dir() for folder in folders):
        return None
    text, *others = (TextEncoder.load(folder) for folder in folders)
    with torch.no_grad():
        for name, mean in text.projection.named_parameters():
            mean.copy_(torch.stack([mean, *(other.projection.get_parameter(name) for other in others)]).mean(dim=0))
        text.center.zero_()
        if center_features:
            text.center += torch.from_numpy(text.encode(list(category_sentences(split).values())).mean(axis=0))
    return text


def _require_different(checkpoints: Sequence[str | Path]) -> None:
    if len(checkpoints) < 2:
        raise CaanError("Averaging needs at least two checkpoints.")
    places = [Path(checkpoint).resolve() for checkpoint in checkpoints]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise CaanError(f"{twice}: given twice. Give different runs of a recipe.")


def _require_same_recipe(
    one: TrainingRecord | None, other: TrainingRecord | None, first: str | Path, second: str | Path
) -> None:
    """Compare model and data of the recorded recipes; a model without a record is not checked."""
    if one is None or other is None:
        return
    recipe, other_recipe = (record.recipe.model_dump(exclude_unset=True) for record in (one, other))
    for key, (expected, found) in changed_settings(recipe, other_recipe).items():
        if not key.startswith("training."):
            raise CaanError(
                f"{second}: trained with another recipe than {first}: {key} is {found!r}, was {expected!r}. Average "
                "runs that differ only in section training, such as in the seed."
            )


def _require_same_shapes(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], first: str | Path, second: str | Path
) -> None:
    shapes, others = ({name: tensor.shape for name, tensor in state.items()} for state in (one, other))
    for name in sorted(shapes.keys() | others.keys()):
        if shapes.get(name) != others.get(name):
            raise CaanError(f"{second}: another architecture than {first}; they differ in {name}.")
