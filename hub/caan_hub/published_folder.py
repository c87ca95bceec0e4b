"""Folders that are model repositories already: which of their files are pushed, and under which repository id."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from huggingface_hub import RepoCard
from pydantic import ConfigDict
from transformers.dynamic_module_utils import get_relative_import_files

from caan_hf.encoding.checkpoint import check_folder
from caan_hf.errors import CaanError
from caan_hf.publishing.results import METRICS_FILE, read_results, write_public_metrics
from caan_hf.publishing.training_record import RECORD_FILE, read_training_record, write_record
from caan_hf.utils.records import Record

from .dry_run import MARK_FILE, DryRunMark
from .publish import CARD, files_of

# Files that `caan-hub push` writes into a repository.
MODEL_FILES = re.compile(
    r"[a-z0-9]+_caan\.py|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|config\.json"
    r"|(pre)?processor_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|vocab\.(txt|json)"
    r"|merges\.txt|training\.json|metrics\.json|top10\.png|onnx/.*"
)
# Files in onnx/ that contain no code: nothing pickled, no settings of other programs.
ONNX_FILES = re.compile(r"onnx/([\w.-]+/)*[\w.-]+\.(onnx|onnx\.data|json|npz|md|txt)")
MANUAL_FILES = re.compile(r"(.+/)?([^/]+\.(png|jpe?g|webp|gif|svg|md|txt)|LICEN[CS]E|NOTICE)|generation_config\.json")
REPORTS = "evaluation-"  # prefix of the folders that `caan evaluate` writes
CODE = re.compile(r"[a-z0-9]+_caan\.[A-Za-z]+")  # allowed in `auto_map`: a class in a file of the folder
REMEDY = "Build it again from the checkpoint with --dry-run."


class AutoMap(Record):
    """The part of `config.json` and `processor_config.json` that names remote code."""

    model_config = ConfigDict(extra="ignore")
    auto_map: dict[str, str] | None = None


def is_published(folder: Path) -> bool:
    """Whether a folder is a model repository: a CAAN with its code and a card.

    Raises:
        CaanError: It is one, but it contains another model, is incomplete or damaged, or runs other code.
    """
    config = folder / "config.json"
    if not (config.is_file() and (folder / CARD).is_file()):
        return False
    if "AutoModel" not in (AutoMap.read(config, REMEDY).auto_map or {}):
        return False
    model_type = check_folder(folder)
    if model_type != "caan":
        raise CaanError(f"{folder}: this is a '{model_type}' model, not a CAAN. {REMEDY}")
    _require_complete(folder, _kept(folder)[0])
    _require_card(folder / CARD)
    return True


def copy_published(source: Path, repo_id: str, folder: Path) -> list[str]:
    """Copy a published folder and replace its repository id in card, metrics and record.

    Returns:
        Notes for the user, one sentence each.
    """
    notes = [f"{source} is a published folder and is pushed without changes.", *copy_kept(source, folder)]
    recorded = None
    if (folder / METRICS_FILE).is_file():
        recorded = read_results(folder / METRICS_FILE).checkpoint
        write_public_metrics(folder / METRICS_FILE, repo_id, folder)
    if (folder / RECORD_FILE).is_file() and (record := read_training_record(folder)):
        recorded = record.repo_id or recorded
        write_record(record.model_copy(update={"repo_id": repo_id}), folder)
    if (source / MARK_FILE).is_file():
        recorded = DryRunMark.read(source / MARK_FILE, "Remove it.").repo_id
    if recorded is None:
        return [*notes, f"{source} does not record its repository id. Check the examples in {CARD}."]
    card = folder / CARD  # only the folder's own id is replaced, not those of other models in the card
    text = card.read_text(encoding="utf-8")
    card.write_text(text.replace(f'from_pretrained("{recorded}"', f'from_pretrained("{repo_id}"'), encoding="utf-8")
    return notes


def copy_kept(source: Path, folder: Path, prefix: str = "") -> list[str]:
    """Copy the files that belong into a model repository.

    Args:
        source: Folder to copy from.
        folder: Folder to copy to.
        prefix: Path of `folder` in the repository, with a trailing slash.

    Returns:
        A note that lists the files that were left out, if any.
    """
    kept, left_out = _kept(source, prefix)
    for path, file in kept.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / path)
    return [f"Left out, because they are not part of a model repository: {', '.join(left_out)}"] if left_out else []


def _kept(source: Path, prefix: str = "") -> tuple[dict[str, Path], list[str]]:
    """The files that belong into a model repository, by path, and the paths of the other files."""
    files = {path: file for path, file in files_of(source).items() if not path.startswith(REPORTS)}
    root = source.resolve()
    kept = {
        path: file
        for path, file in files.items()
        if _is_known(prefix + path) and file.resolve().is_relative_to(root)  # no symlinks out of the folder
    }
    return kept, [path for path in files if path not in kept]


def _is_known(path: str) -> bool:
    if path.startswith("onnx/"):
        return ONNX_FILES.fullmatch(path) is not None
    return any(pattern.fullmatch(path) for pattern in (MODEL_FILES, MANUAL_FILES))


def _require_complete(folder: Path, kept: Mapping[str, Path]) -> None:
    required = {CARD, "config.json"}
    for name in ("config.json", "processor_config.json"):
        if (folder / name).is_file():
            required.update(_code_files(folder / name))
    modules = [folder / name for name in required if name.endswith(".py") and (folder / name).is_file()]
    try:
        required.update(Path(file).name for module in modules for file in get_relative_import_files(module))
    except (OSError, ValueError) as error:  # the client opens each file to find its imports
        raise CaanError(f"{folder}: code cannot be read ({error}). {REMEDY}") from error
    required.update(file.name for file in folder.glob("*.safetensors"))
    missing = sorted(required - set(kept))
    if missing:
        raise CaanError(f"{folder}: {', '.join(missing)} missing, or a symlink out of the folder. {REMEDY}")


def _require_card(card: Path) -> None:
    try:
        RepoCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    except (ValueError, TypeError, AttributeError, OSError, yaml.YAMLError) as error:
        raise CaanError(
            f"{card}: the front matter is not valid YAML ({' '.join(str(error).split())}). Fix it."
        ) from error


def _code_files(config: Path) -> Iterator[str]:
    for name in (AutoMap.read(config, REMEDY).auto_map or {}).values():
        if not CODE.fullmatch(name):
            raise CaanError(f"{config}: auto_map names {name}, which is not code of caan-hf. {REMEDY}")
        yield f"{name.partition('.')[0]}.py"
