"""Build a model, dataset or Space repository and push it, or write it to disk with `dry_run`."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.utils._validators import validate_repo_id

import caan_hf
from caan_hf.errors import CaanError
from caan_hf.utils.files import staged_folder, writing
from caan_hf.utils.hub import LOG_IN, hub_errors

from .dataset_repository import DATASET_FILES, build_dataset_repository
from .model_repository import build_model_repository
from .options import CommonOptions, PushDatasetOptions, PushOptions, PushSpaceOptions
from .publish import Change, Target, files_of, publish
from .published_folder import MARK_FILE, MODEL_FILES
from .space import SPACE_FILES, copy_demo, read_sdk, set_model
from .static_space import STATIC_FILES, copy_page, read_title

Notes = list[str]


@dataclass(frozen=True)
class Outcome:
    """Result of a push or dry run.

    Attributes:
        notes: Remarks for the user, one sentence each.
        sizes: Size in bytes of each file that was built, by path.
        change: Changes to the repository; None for a dry run.
        out: Folder that a dry run wrote; None for a push.
    """

    notes: Notes
    sizes: dict[str, int]
    change: Change | None = None
    out: Path | None = None


def push_model(checkpoint: Path, repo_id: str, options: PushOptions) -> Outcome:
    """Push a trained model with its code, processor, model card, and optionally results and ONNX graphs.

    Args:
        checkpoint: Folder of a CAAN checkpoint, or a published folder, which is pushed without changes.
        repo_id: Owner and name of the repository.
        options: See [`PushOptions`].

    Raises:
        CaanError: The input or the options cannot be used, a file cannot be written, or the Hub refuses the push.
    """
    target = Target(repo_id, "model", options.revision, options.private)
    return _push(lambda out: build_model_repository(checkpoint, repo_id, out, options), target, options, MODEL_FILES)


def push_dataset(benchmark: Path, repo_id: str, options: PushDatasetOptions) -> Outcome:
    """Push a prepared benchmark as parquet files with a dataset card.

    Args:
        benchmark: Folder that `caan prepare` wrote.
        repo_id: Owner and name of the repository.
        options: See [`PushDatasetOptions`].

    Raises:
        CaanError: As [`push_model`].
    """
    target = Target(repo_id, "dataset", options.revision, options.private)

    def build(out: Path) -> Notes:
        build_dataset_repository(benchmark, repo_id, out, options)
        return []

    return _push(build, target, options, DATASET_FILES)


def push_space(repo_id: str, options: PushSpaceOptions) -> Outcome:
    """Push the demo as a Space and set the model that it shows, or push a page as a static Space.

    Args:
        repo_id: Owner and name of the Space.
        options: See [`PushSpaceOptions`].

    Raises:
        CaanError: As [`push_model`]; also if the model does not exist on the Hub, or the folder holds no page.
    """
    if options.static is not None:
        page = options.static
        if options.model is not None:
            raise CaanError("--model and --static are mutually exclusive: a page contains its model. Omit one.")
        title = read_title(page)
        target = Target(repo_id, "space", private=options.private, sdk="static")
        return _push(lambda out: copy_page(page, title, out), target, options, STATIC_FILES)
    if options.model is None:
        raise CaanError("--model: required for the demo. Give the Hub id of a model, or a page with --static.")
    model = options.model
    target = Target(repo_id, "space", private=options.private, sdk=read_sdk(options.demo))
    _check_repo_id(model)
    if not options.dry_run:
        with hub_errors(model):
            HfApi().model_info(model)
    outcome = _push(lambda out: copy_demo(options.demo, out), target, options, SPACE_FILES)
    if not options.dry_run:
        set_model(repo_id, model)
    return outcome


def _push(build: Callable[[Path], Notes], target: Target, options: CommonOptions, replaces: re.Pattern[str]) -> Outcome:
    """Push what `build` writes into an empty folder, or keep it on disk; `build` returns notes for the user."""
    _check_repo_id(target.repo_id)
    if options.dry_run:
        out = options.out or Path(target.repo_id.rpartition("/")[2])
        with staged_folder(out, MARK_FILE, overwrite=options.overwrite) as folder:
            notes = build(folder)
            (folder / MARK_FILE).write_text(target.repo_id, encoding="utf-8")
        return Outcome(notes, _sizes(out), out=out)
    if options.out is not None or options.overwrite:
        raise CaanError("--out and --overwrite: require --dry-run. Pass it, or omit them.")
    if get_token() is None:  # building may take minutes
        raise CaanError(f"not logged in. {LOG_IN}")
    message = options.message or f"Push with caan-hf {caan_hf.__version__}"
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="caan-hub-") as temporary:
        notes = build(Path(temporary))
        change = publish(Path(temporary), target, message=message, replaces=replaces)
        return Outcome(notes, _sizes(Path(temporary)), change)


def _check_repo_id(repo_id: str) -> None:
    with hub_errors(repo_id):
        validate_repo_id(repo_id)
    if "/" not in repo_id:
        raise CaanError(f"{repo_id}: the owner is missing. Use OWNER/NAME.")


def _sizes(folder: Path) -> dict[str, int]:
    return {path: file.stat().st_size for path, file in files_of(folder).items()}
