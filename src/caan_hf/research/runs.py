"""The runs of a study: planning, training and evaluation."""

import gc
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.evaluation.rankings import EvaluationResult
from caan_hf.training import Recipe, load_recipe, train_recipe
from caan_hf.training.category_sentences import category_sentences
from caan_hf.training.recipe import EXECUTION_KEYS
from caan_hf.utils.files import make_folder, write_json
from caan_hf.utils.records import Record

from .study import STUDY_KEYS, Study

RESULT_FILE = "result.json"
IDENTITY_FILE = "run.json"  # written before training: the recipe that the folder's checkpoints belong to
REMEDY = "Remove its folder to run again."


@dataclass(frozen=True)
class StudyRun:
    """One combination of a study with one seed.

    Attributes:
        labels: Label on each axis.
        seed: Seed of the run.
        recipe: Recipe of the run.
        folder: Folder of the run.
        splits: Splits that the model is evaluated on.
    """

    labels: tuple[str, ...]
    seed: int
    recipe: Recipe
    folder: Path
    splits: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{', '.join(self.labels)}, seed {self.seed}"


class StudyResult(Record):
    """Result of a run, as its `result.json` holds it.

    Attributes:
        labels: Label on each axis.
        seed: Seed of the run.
        recipe: The recipe that was trained, with a fingerprint of the data.
        scores: Split -> metric -> value of the global ranking in convention `standard`.
        chance: Split -> expected mAP@all of a random ranking.
        train_seconds: Wall time of the training loop; if the run was resumed, since then.
        average_precisions: Split -> average precision of each sketch.
    """

    labels: tuple[str, ...]
    seed: int
    recipe: dict[str, Any]
    scores: dict[str, dict[str, float]]
    chance: dict[str, float]
    train_seconds: float
    average_precisions: dict[str, list[float]] = Field(default_factory=dict)


class _Identity(Record):
    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]


def plan_runs(study: Study, overrides: Sequence[str] = ()) -> list[StudyRun]:
    """All runs of a study, after checking their recipes and data.

    Args:
        study: The study.
        overrides: Changes to the recipe of every run, as `section.key=value`.

    Raises:
        CaanError: A recipe is invalid, an override changes a key of the grid, two runs would share a folder, the data
            lack a prompt, or no split has images.
    """
    taken = {key for axis in study.grid.values() for changes in axis.values() for key in changes} | set(STUDY_KEYS)
    for key in (word.partition("=")[0] for word in overrides):
        if key in taken:
            raise CaanError(f"{key}: set by the study itself. Change the study, or use --seeds and --out.")
    runs = [run for seed in study.seeds for run in _runs_of_seed(study, seed, overrides)]
    if len({run.folder for run in runs}) < len(runs):
        raise CaanError(f"{study.output_dir}: two labels of the grid give the same folder name. Rename one.")
    for run in runs:
        run.recipe.training_arguments()
    for folder, prompts in {(run.recipe.data.benchmark_folder(), tuple(run.recipe.data.prompts or ())) for run in runs}:
        category_sentences(load_benchmark(folder)[0]["train"], prompts or None)
    _require_images({run.recipe.data.benchmark_folder() for run in runs}, study.splits)
    return runs


def run_study(
    runs: Sequence[StudyRun], *, announce: Callable[[str], None] = lambda line: None
) -> Iterator[StudyResult]:
    """Train and evaluate the runs that are not finished, and yield the result of every run.

    A run that was stopped resumes from its last checkpoint.

    Args:
        runs: Runs of [`plan_runs`].
        announce: Called with one line before each run.

    Raises:
        CaanError: A run fails, or its folder holds the result of another recipe.
    """
    for number, run in enumerate(runs, start=1):
        result = read_result(run)
        state = "training" if result is None else "finished before"
        announce(f"{number}/{len(runs)} {run.name}: {state}")
        if result is None:
            result = _train_and_evaluate(run)
            gc.collect()  # the trainer holds its model in reference cycles
        yield result


def read_result(run: StudyRun) -> StudyResult | None:
    """The result of a finished run, None for others.

    Raises:
        CaanError: The result is damaged, or belongs to another recipe.
    """
    file = run.folder / RESULT_FILE
    if not file.is_file():
        return None
    result = StudyResult.read(file, REMEDY)
    _require_same(result.recipe, run)
    return result


def evaluate_run(model_folder: Path, run: StudyRun) -> dict[str, EvaluationResult]:
    """Evaluate a model on each split of a run that has images.

    Returns:
        Split -> result.
    """
    encoder = CheckpointEncoder.load(str(model_folder), device=str(run.recipe.training_arguments().device))
    benchmark, info = load_benchmark(run.recipe.data.benchmark_folder())
    return {
        split: ZeroShotEvaluator(benchmark[split], protocol=info.protocol, split=split)(encoder)
        for split in run.splits
        if len(benchmark[split])
    }


def average_precisions(result: EvaluationResult) -> list[float]:
    """Average precision of each sketch in convention `standard`, rounded to five digits."""
    return [round(value, 5) for value in result.per_query["standard"]["mAP@all"].tolist()]


def _train_and_evaluate(run: StudyRun) -> StudyResult:
    identity = _identity(run.recipe)
    if (run.folder / IDENTITY_FILE).is_file():
        _require_same(_Identity.read(run.folder / IDENTITY_FILE, REMEDY).model_dump(), run)
    make_folder(run.folder)
    write_json(run.folder / IDENTITY_FILE, identity)
    trained = train_recipe(run.recipe)
    if not trained.is_finished:
        raise CaanError(f"{run.folder}: stopped by training.max_minutes. Run the command again to continue.")
    evaluated = evaluate_run(trained.folder, run)
    result = StudyResult(
        labels=run.labels,
        seed=run.seed,
        recipe=identity,
        scores={split: found.metrics for split, found in evaluated.items()},
        chance={split: found.chance for split, found in evaluated.items()},
        train_seconds=trained.metrics["train_runtime"],
        average_precisions={split: average_precisions(found) for split, found in evaluated.items()},
    )
    result.write(run.folder / RESULT_FILE)
    return result


def _require_same(recipe: Mapping[str, Any], run: StudyRun) -> None:
    if recipe != _identity(run.recipe):
        raise CaanError(
            f"{run.folder}: was run with another recipe or other data. Choose another folder with --out, or remove it."
        )


def _require_images(paths: set[Path], splits: Sequence[str]) -> None:
    """Check that there is a split on which all runs can be compared."""
    benchmarks = [load_benchmark(path)[0] for path in sorted(paths)]
    if not any(all(len(benchmark[split]) for benchmark in benchmarks) for split in splits):
        raise CaanError(
            f"{', '.join(map(str, sorted(paths)))}: no images in {' and '.join(splits)} to evaluate the runs on. "
            "Prepare the benchmark with such categories (--validation-categories N for validation), or change the "
            "study's splits."
        )


def _identity(recipe: Recipe) -> dict[str, Any]:
    """What was trained: the recipe without execution settings, and a fingerprint of its data; JSON types only."""
    tree = recipe.to_dict()
    tree["training"] = {key: value for key, value in tree["training"].items() if key not in EXECUTION_KEYS}
    states = sorted(recipe.data.benchmark_folder().glob("*/state.json"))  # each has a hash of the content of its split
    tree["data"]["fingerprint"] = hashlib.sha256(b"".join(state.read_bytes() for state in states)).hexdigest()
    return json.loads(json.dumps(tree, default=str))


def _runs_of_seed(study: Study, seed: int, overrides: Sequence[str]) -> Iterator[StudyRun]:
    for combination in itertools.product(*(axis.items() for axis in study.grid.values())):
        labels = tuple(label for label, _ in combination)
        folder = study.output_dir / "--".join(_slug(label) for label in labels) / f"seed-{seed}"
        changes = dict(study.changes)
        for _, of_label in combination:
            changes |= of_label
        own = {"training.seed": seed, "training.output_dir": str(folder), "training.resume_from_checkpoint": True}
        recipe = load_recipe(study.recipe, overrides, changes | own)
        yield StudyRun(labels, seed, recipe, folder, study.splits)


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", label.casefold()).strip("-.") or "run"
