"""Folders that are model repositories already: which of their files are pushed, and under which repository id."""

import re
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

from caan_hf.encoding.model_files import check_model_files
from caan_hf.errors import CaanError
from caan_hf.evaluation.record import EvaluationRecord
from caan_hf.evaluation.report_record import METRICS_FILE
from caan_hf.publishing.results import public_results
from caan_hf.publishing.training_record import RECORD_FILE, read_training_record, write_record
from caan_hf.utils.records import Record

from .publish import CARD, copy_files, files_of

MODEL = (
    r"[a-z0-9_]+_caan\.py|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|config\.json"
    r"|(pre)?processor_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|vocab\.(txt|json)"
    r"|merges\.txt|training\.json|metrics\.json|top10\.png|text/text\.(json|safetensors)"
)
# Files in onnx/ that contain no code: nothing pickled, no settings of other programs.
ONNX = r"onnx/([\w.-]+/)*[\w.-]+\.(onnx|onnx\.data|json|npz|md|txt)"
MANUAL = r"(?!onnx/)(.+/)?([^/]+\.(png|jpe?g|webp|gif|svg|md|txt)|LICEN[CS]E|NOTICE)|generation_config\.json"
MODEL_FILES = re.compile(rf"{MODEL}|onnx/.*")  # written by `caan-hub push`
PUSHED_FILES = re.compile(f"{MODEL}|{ONNX}|{MANUAL}")  # pushed from a published folder
REPORTS = re.compile(r"evaluation-[^/]+/.+")  # folders that `caan evaluate` writes
CODE = re.compile(r"[a-z0-9_]+_caan\.[A-Za-z]+")  # allowed in `auto_map`: a class in a file of the folder
MARK_FILE = ".caan-hub"  # written by `--dry-run`; holds the repository id
REMEDY = "Build it again from the checkpoint with --dry-run."


class AutoMap(Record, extra="ignore"):
    """The part of `config.json` and `processor_config.json` that names remote code."""

    auto_map: dict[str, str] | None = None


def is_published(folder: Path) -> bool:
    """Whether a folder is a model repository: a CAAN with its code and a card.

    Raises:
        CaanError: It is one, but it contains another model, is incomplete, or runs other code.
    """
    config = folder / "config.json"
    if not (config.is_file() and (folder / CARD).is_file()):
        return False
    if "AutoModel" not in (AutoMap.read(config, REMEDY).auto_map or {}):
        return False
    model_type = check_model_files(folder).model_type
    if model_type != "caan":
        raise CaanError(f"{folder}: this is a '{model_type}' model, not a CAAN. {REMEDY}")
    required = {CARD, "config.json", *_code_files(folder), *(file.name for file in folder.glob("*.safetensors"))}
    missing = sorted(required - set(_pushed_files(folder)[0]))
    if missing:
        raise CaanError(f"{folder}: {', '.join(missing)} missing, or a symlink out of the folder. {REMEDY}")
    return True


def _code_files(folder: Path) -> set[str]:
    """The files that `trust_remote_code=True` runs, including those that they import."""
    names: set[str] = set()
    for config in (folder / "config.json", folder / "processor_config.json"):
        for name in (AutoMap.read(config, REMEDY).auto_map or {}).values() if config.is_file() else ():
            if not CODE.fullmatch(name):
                raise CaanError(f"{config}: auto_map names {name}, which is not code of caan-hf. {REMEDY}")
            names.add(f"{name.partition('.')[0]}.py")
    modules = [folder / name for name in names if (folder / name).is_file()]
    try:
        return names | {Path(file).name for module in modules for file in get_relative_import_files(module)}
    except OSError as error:  # an import of a file that is missing
        raise CaanError(f"{folder}: {Path(str(error.filename)).name} missing. {REMEDY}") from error


def copy_published(source: Path, repo_id: str, folder: Path) -> list[str]:
    """Copy the files of a published folder that belong into a model repository, and name its new repository in them.

    Returns:
        Notes for the user, one sentence each.
    """
    notes = [f"{source} is a published folder and is pushed without changes."]
    pushed, left_out = _pushed_files(source)
    copy_files(pushed, folder)
    if left_out:
        notes.append(f"Left out, because they are not part of a model repository: {', '.join(left_out)}")
    recorded = None
    if (folder / METRICS_FILE).is_file():
        results = EvaluationRecord.of_folder(folder)
        recorded = results.checkpoint
        public_results(results, repo_id).write(folder / METRICS_FILE)
    if (folder / RECORD_FILE).is_file() and (record := read_training_record(folder)):
        recorded = record.repo_id or recorded
        write_record(record.model_copy(update={"repo_id": repo_id}), folder)
    if (source / MARK_FILE).is_file():
        recorded = (source / MARK_FILE).read_text(encoding="utf-8")
    if recorded is None:
        return [*notes, f"{source} does not record its repository id. Check the examples in {CARD}."]
    card = folder / CARD  # only the folder's own id is replaced, not those of other models in the card
    text = card.read_text(encoding="utf-8")
    card.write_text(text.replace(f'from_pretrained("{recorded}"', f'from_pretrained("{repo_id}"'), encoding="utf-8")
    return notes


def _pushed_files(source: Path) -> tuple[dict[str, Path], list[str]]:
    """The files that belong into a model repository, by path, and the paths of the other files."""
    files = {path: file for path, file in files_of(source).items() if not REPORTS.fullmatch(path)}
    root = source.resolve()
    pushed = {
        path: file
        for path, file in files.items()
        if PUSHED_FILES.fullmatch(path) and file.resolve().is_relative_to(root)  # no symlinks out of the folder
    }
    return pushed, [path for path in files if path not in pushed]
