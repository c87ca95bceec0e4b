"""Ablation studies: a grid of changes to one recipe, each trained with several seeds and judged the same way."""

import gc
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from caan_hf.benchmarks import load_benchmark
from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import load_checkpoint
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.evaluation.result import EvaluationResult
from caan_hf.whole_file import write_whole_text

from .recipe import NOT_OF_THE_RUN, Recipe, load_recipe, training_arguments
from .run import run_recipe
from .sentences import category_sentences
from .study import OF_THE_STUDY, SPLITS, Study

RESULT_FILE = "result.json"
IDENTITY_FILE = "run.json"  # written before training: what the folder's checkpoints belong to


@dataclass(frozen=True)
class Run:
    """One combination with one seed: its label on each axis, its recipe, its folder and the splits it is judged on."""

    labels: tuple[str, ...]
    seed: int
    recipe: Recipe
    folder: Path
    judge_on: tuple[str, ...] = SPLITS

    @property
    def name(self) -> str:
        """For people."""
        return f"{', '.join(self.labels)}, seed {self.seed}"


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        labels: on each axis.
        seed: of the run.
        recipe: what was trained, as a recipe holds it, and a fingerprint of the data.
        scores: split -> metric -> value in the convention `standard`, of the global ranking.
        chance: split -> expected mAP@all of a random ranking.
        train_seconds: wall time of the training loop; of a run that was resumed, since then.
        average_precisions: split -> average precision of each of its sketches, in their order.
    """

    labels: tuple[str, ...]
    seed: int
    recipe: dict[str, Any]
    scores: dict[str, dict[str, float]]
    chance: dict[str, float]
    train_seconds: float
    average_precisions: dict[str, list[float]] = field(default_factory=dict)


def plan_runs(study: Study, overrides: Sequence[str] = ()) -> list[Run]:
    """Every run of a study, with recipes and data that are known to fit.

    Args:
        study: what to run.
        overrides: further changes to every run, as `section.key=value`.

    Raises:
        CaanError: a change names no key of a recipe, an override is one of the grid's own, two runs would lie in one
            folder, the data lack a prompt, or no split that the runs are judged on has images.
    """
    taken = {key for axis in study.axes.values() for changes in axis.values() for key in changes}
    for key in (word.partition("=")[0] for word in overrides):
        if key in taken | set(OF_THE_STUDY):
            raise CaanError(f"{key} is set by the study itself: change the study, or use --seeds and --out")
    runs = [run for seed in study.seeds for run in _runs_of_seed(study, seed, overrides)]
    if len({run.folder for run in runs}) < len(runs):
        raise CaanError(f"{study.output_dir}: two labels of the grid give the same folder name; rename one")
    for run in runs:
        training_arguments(run.recipe)
    for path, prompts in {(run.recipe.data.path, tuple(run.recipe.data.prompts or ())) for run in runs}:
        category_sentences(load_benchmark(_data_path(path))[0]["train"], prompts or None)
    _require_a_split_to_judge_on({run.recipe.data.path for run in runs}, study.judge_on)
    return runs


def _require_a_split_to_judge_on(paths: set[str], judge_on: Sequence[str]) -> None:
    """Rows are compared on a split that all runs are judged on, which cannot be an empty one."""
    benchmarks = {path: load_benchmark(path)[0] for path in sorted(paths)}
    if not any(all(len(benchmark[split]) for benchmark in benchmarks.values()) for split in judge_on):
        raise CaanError(
            f"{', '.join(benchmarks)}: no images in {' and '.join(judge_on)} to judge the runs on: prepare it with "
            "such categories (--validation-categories N for validation), or change the study's judge_on"
        )


def run_study(runs: Sequence[Run], *, announce: Callable[[str], None] = lambda line: None) -> Iterator[RunResult]:
    """Trains and judges what is not finished yet, and gives the result of every run as it is there.

    A run that was stopped goes on from its last checkpoint, if it has one.

    Args:
        runs: of `plan_runs`.
        announce: told what happens next.

    Raises:
        CaanError: a run fails, or its folder holds the result of another recipe.
    """
    for number, run in enumerate(runs, start=1):
        place = f"{number}/{len(runs)} {run.name}"
        result = read_result(run)
        if result is not None:
            announce(f"{place}: finished before")
        else:
            announce(f"{place}: training")
            result = _train_and_judge(run)
            gc.collect()  # the trainer's cycles hold the last run's model
        yield result


def read_result(run: Run) -> RunResult | None:
    """The result of a run that is finished.

    Raises:
        CaanError: the folder's result is damaged, or that of another recipe.
    """
    file = run.folder / RESULT_FILE
    if not file.is_file():
        return None
    try:
        result = RunResult(**_read_json(file))
    except TypeError as error:
        raise CaanError(f"{file}: not the result of a run ({error}); remove it to run again") from error
    _require_same(result.recipe, run)
    return result


def _require_same(recipe: Any, run: Run) -> None:
    if recipe != _identity(run.recipe):
        raise CaanError(
            f"{run.folder} was run with another recipe or other data: choose another folder with --out, or remove it"
        )


def _train_and_judge(run: Run) -> RunResult:
    identity = _identity(run.recipe)
    if (run.folder / IDENTITY_FILE).is_file():
        _require_same(_read_json(run.folder / IDENTITY_FILE), run)
    run.folder.mkdir(parents=True, exist_ok=True)
    _write_json(identity, run.folder / IDENTITY_FILE)
    run.recipe.training["resume_from_checkpoint"] = True
    trained = run_recipe(run.recipe)
    if not trained.is_finished:
        raise CaanError(f"{run.folder}: stopped by training.max_minutes; give the command again to go on")
    judged = judge_checkpoint(trained.folder, run)
    result = RunResult(
        labels=run.labels,
        seed=run.seed,
        recipe=identity,
        scores={split: found.metrics for split, found in judged.items()},
        chance={split: found.chance for split, found in judged.items()},
        train_seconds=trained.metrics["train_runtime"],
        average_precisions={split: average_precisions(found) for split, found in judged.items()},
    )
    _write_json(asdict(result), run.folder / RESULT_FILE)
    return result


def judge_checkpoint(folder: Path, run: Run) -> dict[str, EvaluationResult]:
    """Split -> what the model in `folder` comes to on it, for each split that the run is judged on."""
    model, processor = load_checkpoint(str(folder))
    model.to(training_arguments(run.recipe).device)
    benchmark, info = load_benchmark(run.recipe.data.path)
    return {
        split: ZeroShotEvaluator(benchmark[split], protocol=info.protocol, split=split)(model, processor)
        for split in run.judge_on
        if len(benchmark[split])
    }


def average_precisions(found: EvaluationResult) -> list[float]:
    """Of each sketch, in the convention `standard`, rounded as a record keeps them."""
    return [round(value, 5) for value in found.by_global.measured.per_query["standard"]["mAP@all"].tolist()]


def _write_json(document: dict[str, Any], file: Path) -> None:
    write_whole_text(file, json.dumps(document, indent=2) + "\n")


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaanError(f"{file}: cannot be read ({error}); remove its folder to run again") from error


def _identity(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON gives it back, without what does not belong to the run, and a fingerprint of its data."""
    tree = recipe.to_dict()
    tree["training"] = {key: value for key, value in tree["training"].items() if key not in NOT_OF_THE_RUN}
    states = sorted(_data_path(recipe.data.path).glob("*/state.json"))  # each holds a hash of its split's contents
    tree["data"]["fingerprint"] = hashlib.sha256(b"".join(state.read_bytes() for state in states)).hexdigest()
    return json.loads(json.dumps(tree))


def _data_path(path: str | None) -> Path:
    if path is None:
        raise CaanError("data.path is missing: prepare a benchmark with `caan prepare` and give data.path=DIR")
    return Path(path)


def _runs_of_seed(study: Study, seed: int, overrides: Sequence[str]) -> Iterator[Run]:
    for combination in itertools.product(*(axis.items() for axis in study.axes.values())):
        labels = tuple(label for label, _ in combination)
        folder = study.output_dir / "--".join(_slug(label) for label in labels) / f"seed-{seed}"
        words = [_word(key, value) for key, value in study.changes.items()]
        words += [_word(key, value) for _, changes in combination for key, value in changes.items()]
        words += [*overrides, _word("training.seed", seed), _word("training.output_dir", str(folder))]
        yield Run(labels, seed, load_recipe(study.recipe, words), folder, study.judge_on)


def _word(key: str, value: Any) -> str:
    try:
        return f"{key}={json.dumps(value)}"
    except TypeError:
        raise CaanError(f"{key}: {value!r} is no value for a recipe; put it in quotes") from None


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", label.casefold()).strip("-.") or "run"
