"""From a checkpoint to the folder of a model repository: weights, code, processor, card, results, ONNX graphs."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoProcessor

from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import load_checkpoint
from caan_hf.publishing.card import OnnxGraphs, model_card
from caan_hf.publishing.folder import save_published
from caan_hf.publishing.provenance import restriction
from caan_hf.publishing.public_metrics import public_metrics
from caan_hf.publishing.results import Results, read_results
from caan_hf.publishing.training_record import read_training_record, record_of_recipe, write_record

from .publish import CARD, digest
from .published_folder import METRICS_FILE, copy_kept, copy_published, is_published

ONNX_FOLDER = "onnx"
ONNX_MANIFEST = "caan_export.json"
FIGURE_FILE = "top10.png"
SHARD_SIZE = "5GB"
SIZE = re.compile(r"\s*(?=.*[1-9])\d{1,9}(\.\d+)?\s*[KMGT]B\s*", re.IGNORECASE)


@dataclass(frozen=True)
class ModelOptions:
    """What goes into a model repository beside the checkpoint.

    Attributes:
        onnx: folder of an ONNX export.
        results: `metrics.json` of `caan evaluate`.
        figure: whether the retrieval grid beside `results` goes too; None unless its photos are somebody else's.
        recipe: recipe of the training run, for a checkpoint that has no record of it.
        with_text: keep the text tower, the alignment and the tokenizer.
        dtype: precision of the weights, such as "float16"; that of the checkpoint by default.
        licence: id of a licence on the Hub.
        max_shard_size: weights above it are split over several files; None for 5GB.
    """

    onnx: Path | None = None
    results: Path | None = None
    figure: bool | None = None
    recipe: Path | None = None
    with_text: bool = False
    dtype: str | None = None
    licence: str | None = None
    max_shard_size: str | None = None


def build_model_repository(checkpoint: Path, repo_id: str, folder: Path, options: ModelOptions) -> list[str]:
    """Fill an empty folder with what the repository is to hold.

    A folder that is a model repository already is taken as it stands; ONNX graphs may be added to it, and the examples
    of its card name `repo_id`.

    Args:
        checkpoint: a folder.
        repo_id: for the card.
        folder: empty.
        options: see [`ModelOptions`].

    Returns:
        What the user should know, a sentence each.

    Raises:
        CaanError: the checkpoint, the results or the ONNX folder cannot be used.
    """
    _check_shard_size(options.max_shard_size)
    graphs = _read_onnx(options.onnx, checkpoint) if options.onnx else None
    if is_published(checkpoint):
        _refuse_to_rebuild(checkpoint, options)
        notes = copy_published(checkpoint, repo_id, folder)
    else:
        notes = _build(checkpoint, repo_id, folder, options, graphs)
    if options.onnx:
        shutil.rmtree(folder / ONNX_FOLDER, ignore_errors=True)
        notes += copy_kept(options.onnx, folder / ONNX_FOLDER, f"{ONNX_FOLDER}/")
    return notes


def _check_shard_size(size: str | None) -> None:
    if size is not None and not SIZE.fullmatch(size):
        raise CaanError(f"--max-shard-size {size}: give a number with KB, MB, GB or TB, such as 500MB")


def _refuse_to_rebuild(checkpoint: Path, options: ModelOptions) -> None:
    given = {
        "--results": options.results,
        "--recipe": options.recipe,
        "--with-text": options.with_text,
        "--dtype": options.dtype,
        "--license": options.licence,
        "--no-figure" if options.figure is False else "--figure": options.figure,
        "--max-shard-size": options.max_shard_size,
    }
    names = [name for name, value in given.items() if value not in (None, False) or name == "--no-figure"]
    if names:
        raise CaanError(
            f"{checkpoint} is a published folder and goes as it stands: edit its files, or make it anew from the "
            f"checkpoint with {', '.join(names)} --dry-run --out {checkpoint}"
        )


def _build(checkpoint: Path, repo_id: str, folder: Path, options: ModelOptions, graphs: OnnxGraphs | None) -> list[str]:
    results = read_results(options.results) if options.results else None
    record = record_of_recipe(options.recipe) if options.recipe else read_training_record(checkpoint)
    model, processor = _load(checkpoint, with_text=options.with_text)
    if options.dtype:
        model.to(getattr(torch, options.dtype))
    save_published(model, processor, folder, max_shard_size=options.max_shard_size or SHARD_SIZE)
    notes = [] if record else [f"{checkpoint} has no record of its training: --recipe FILE tells the card about it"]
    if record:
        write_record(record | {"repo_id": repo_id}, folder)
    figure, note = _add_results(options, results, repo_id, folder) if results else (None, None)
    card = model_card(
        repo_id, model, record=record, results=results, figure=figure, onnx=graphs, licence=options.licence
    )
    card.save(folder / CARD)
    return notes + ([note] if note else [])


def _load(checkpoint: Path, *, with_text: bool):
    if not checkpoint.is_dir():
        raise CaanError(f"{checkpoint}: no such folder; give the one that training saved, or a folder of hub/")
    model, processor = load_checkpoint(str(checkpoint))  # says kindly what is wrong with a checkpoint
    if not with_text:
        return model, processor.drop_text()
    whole = AutoModel.from_pretrained(checkpoint, use_safetensors=True, trust_remote_code=False)
    if whole.config.text_config is None:
        raise CaanError(f"{checkpoint} has no text tower: give a checkpoint-N of the run, or leave out --with-text")
    return whole.eval(), AutoProcessor.from_pretrained(checkpoint, trust_remote_code=False)


def _add_results(options: ModelOptions, results: Results, repo_id: str, folder: Path) -> tuple[str | None, str | None]:
    """Copies the metrics and the retrieval grid; gives the grid's name and what to tell the user."""
    _write_metrics(options.results, repo_id, folder)
    grid = options.results.with_name(FIGURE_FILE)
    if options.figure is False:
        return None, None
    if not grid.is_file():
        if options.figure:
            raise CaanError(f"{grid}: no such file; `caan evaluate` writes it beside {METRICS_FILE}")
        return None, None
    if options.figure is None and restriction(results.protocol):
        return None, (
            f"{grid.name} shows photos of {results.benchmark}, which are not free to share, and is left out; --figure "
            "puts it in"
        )
    shutil.copyfile(grid, folder / FIGURE_FILE)
    return FIGURE_FILE, None


def _write_metrics(file: Path, repo_id: str, folder: Path) -> None:
    """Puts a `metrics.json`, known to be one, into the repository, without the folders of this machine."""
    document = public_metrics(json.loads(file.read_text(encoding="utf-8")), repo_id)
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    (folder / METRICS_FILE).write_text(text, encoding="utf-8")


def _read_onnx(folder: Path, checkpoint: Path) -> OnnxGraphs:
    """What an export holds, once its files are known to be whole and those of the checkpoint's weights."""
    manifest = folder / ONNX_MANIFEST
    try:
        found: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        dtype, opset = str(found.get("dtype", "fp32")), found.get("opset")
        recorded = {folder / Path(name).name: entry["sha256"] for name, entry in (found.get("files") or {}).items()}
        origin = {
            checkpoint / Path(name).name: sha256
            for name, sha256 in ((found.get("checkpoint") or {}).get("sha256") or {}).items()
            if name.endswith(".safetensors")
        }
    except FileNotFoundError:
        raise CaanError(f"{folder}: no {ONNX_MANIFEST}; give the folder that `caan-export onnx` wrote") from None
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise CaanError(f"{manifest}: not the manifest of an ONNX export ({error})") from error
    graphs = tuple(path.name for path in sorted(folder.glob("*.onnx")))
    if not graphs:
        raise CaanError(f"{folder}: holds no .onnx file; export the model again")
    for file, sha256 in recorded.items():
        if not _is_file_of(file, sha256):
            raise CaanError(f"{file}: missing, or not the file that was exported; export the model again")
    if not all(_is_file_of(file, sha256) for file, sha256 in origin.items()):
        raise CaanError(f"{folder} was exported from other weights than those in {checkpoint}: export these")
    return OnnxGraphs(graphs, dtype, opset if isinstance(opset, int) else None)


def _is_file_of(file: Path, sha256: str) -> bool:
    return file.is_file() and digest(hashlib.sha256(), file) == sha256
