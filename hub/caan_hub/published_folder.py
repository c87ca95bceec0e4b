"""A folder that is a model repository already: whether it is whole, what of it goes, and under which id."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import RepoCard
from transformers.dynamic_module_utils import get_relative_import_files

from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import check_named
from caan_hf.publishing.public_metrics import public_metrics
from caan_hf.publishing.results import read_results
from caan_hf.publishing.training_record import RECORD_FILE, read_training_record, write_record

from .mark import MARK
from .publish import CARD, files_of

METRICS_FILE = "metrics.json"

# What a push writes into a repository: what of it a later push does not write again is out of date.
OURS = re.compile(
    r"[a-z0-9]+_caan\.py|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|config\.json"
    r"|(pre)?processor_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|vocab\.(txt|json)"
    r"|merges\.txt|training\.json|metrics\.json|top10\.png|onnx/.*"
)
# Of these only what holds no code goes along: nothing pickled, no settings.
ONNX = re.compile(r"onnx/([\w.-]+/)*[\w.-]+\.(onnx|onnx\.data|json|npz|md|txt)")
BY_PEOPLE = re.compile(r"(.+/)?([^/]+\.(png|jpe?g|webp|gif|svg|md|txt)|LICEN[CS]E|NOTICE)|generation_config\.json")
REPORTS = "evaluation-"  # where `caan evaluate` leaves its reports
CODE = re.compile(r"[a-z0-9]+_caan\.[A-Za-z]+")  # what `auto_map` may name: a class in a file that lies beside it


def is_ours(path: str) -> bool:
    """Whether a file of a model repository is one that a push writes."""
    return OURS.fullmatch(path) is not None


def is_published(folder: Path) -> bool:
    """Whether a folder is a model repository, as a push writes them and `hub/` keeps them: with its code and a card.

    Raises:
        CaanError: it is one, but of another model or in parts.
    """
    try:
        auto_map = _json(folder / "config.json").get("auto_map")
    except (OSError, ValueError, AttributeError):
        return False
    if not (isinstance(auto_map, dict) and "AutoModel" in auto_map and (folder / CARD).is_file()):
        return False
    check_named(str(folder.absolute()))
    _require_whole(folder, _kept(folder)[0])
    _require_card(folder / CARD)
    return True


def copy_published(source: Path, repo_id: str, folder: Path) -> list[str]:
    """Copy a published folder, and let card, metrics and record name where it goes to.

    Returns:
        What the user should know, a sentence each.
    """
    notes = [f"{source} is a published folder: it goes as it stands", *copy_kept(source, folder)]
    known = _recorded_id(source)
    if (folder / METRICS_FILE).is_file():
        read_results(folder / METRICS_FILE)  # says kindly what is wrong with it
        document = public_metrics(_json(folder / METRICS_FILE), repo_id)
        (folder / METRICS_FILE).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if (folder / RECORD_FILE).is_file():
        write_record(read_training_record(folder) | {"repo_id": repo_id}, folder)
    if known is None:
        return [*notes, f"{source} does not record for which repository it was made: look at the examples in {CARD}"]
    _name_in_card(folder / CARD, known, repo_id)
    return notes


def copy_kept(source: Path, folder: Path, prefix: str = "") -> list[str]:
    """Copy the files that belong into a model repository, which calls the folder `prefix`; a note on the others."""
    kept, left_out = _kept(source, prefix)
    for path, file in kept.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / path)
    return [f"left out, being no part of a model repository: {', '.join(left_out)}"] if left_out else []


def _kept(source: Path, prefix: str = "") -> tuple[dict[str, Path], list[str]]:
    """The files that go, by path, and the paths of those that do not."""
    files = {path: file for path, file in files_of(source).items() if not path.startswith(REPORTS)}
    root = source.resolve()
    kept = {
        path: file
        for path, file in files.items()
        if _is_known(prefix + path) and file.resolve().is_relative_to(root)  # a link may lead anywhere
    }
    return kept, [path for path in files if path not in kept]


def _is_known(path: str) -> bool:
    if path.startswith("onnx/"):
        return ONNX.fullmatch(path) is not None
    return is_ours(path) or BY_PEOPLE.fullmatch(path) is not None


def _require_whole(folder: Path, kept: Mapping[str, Path]) -> None:
    wanted = {CARD, "config.json"}
    try:
        for name in ("config.json", "processor_config.json"):
            if (folder / name).is_file():
                wanted.update(_code_of(folder / name))
        modules = [folder / name for name in wanted if name.endswith(".py") and (folder / name).is_file()]
        wanted.update(Path(file).name for module in modules for file in get_relative_import_files(module))
        index = folder / "model.safetensors.index.json"
        wanted.update(_json(index)["weight_map"].values() if index.is_file() else ["model.safetensors"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CaanError(f"{folder}: a published folder with a damaged file ({error}): make it anew") from error
    missing = sorted(wanted - set(kept))
    if missing:
        raise CaanError(
            f"{folder}: a published folder without {', '.join(missing)} (files it has to hold, not links out of it): "
            "make it anew from the checkpoint with --dry-run"
        )


def _require_card(card: Path) -> None:
    try:
        RepoCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    except (ValueError, TypeError, AttributeError, OSError, yaml.YAMLError) as error:
        raise CaanError(f"{card}: the front matter cannot be read ({' '.join(str(error).split())})") from error


def _code_of(config: Path) -> Iterator[str]:
    for name in (_json(config).get("auto_map") or {}).values():
        if not CODE.fullmatch(name):
            raise CaanError(f"{config}: auto_map names {name}, which is no code of caan-hf: it is not pushed")
        yield f"{name.partition('.')[0]}.py"


def _recorded_id(folder: Path) -> str | None:
    """The repository that the folder was made for."""
    for name, key in ((MARK, "repo_id"), (RECORD_FILE, "repo_id"), (METRICS_FILE, "checkpoint")):
        try:
            found = _json(folder / name).get(key)
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(found, str):
            return found
    return None


def _name_in_card(card: Path, known: str, repo_id: str) -> None:
    """Lets the examples of a card load from where it is pushed to; other models that it names stay."""
    content = card.read_text(encoding="utf-8")
    card.write_text(content.replace(f'from_pretrained("{known}"', f'from_pretrained("{repo_id}"'), encoding="utf-8")


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
