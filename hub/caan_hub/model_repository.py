"""Build the folder of a model repository from a checkpoint."""

import re
import shutil
from pathlib import Path

import torch
from pydantic import ConfigDict, Field
from transformers import AutoModel, AutoProcessor

from caan_hf import CaanModel, CaanProcessor
from caan_hf.encoding.checkpoint import load_checkpoint
from caan_hf.errors import CaanError
from caan_hf.publishing.card import OnnxGraphs, model_card
from caan_hf.publishing.folder import MAX_SHARD_SIZE, save_published
from caan_hf.publishing.provenance import restriction
from caan_hf.publishing.results import METRICS_FILE, Results, read_results, write_public_metrics
from caan_hf.publishing.training_record import read_training_record, record_of_recipe, write_record
from caan_hf.utils.files import sha256_of
from caan_hf.utils.records import Record

from .options import PushOptions
from .publish import CARD
from .published_folder import copy_kept, copy_published, is_published

ONNX_FOLDER = "onnx"
ONNX_MANIFEST = "caan_export.json"
FIGURE_FILE = "top10.png"
BUILD_OPTIONS = ("results", "recipe", "with_text", "dtype", "license", "figure", "max_shard_size")
SIZE = re.compile(r"\s*(?=.*[1-9])\d{1,9}(\.\d+)?\s*[KMGT]B\s*", re.IGNORECASE)


class ExportedFile(Record):
    """A file of an ONNX export."""

    model_config = ConfigDict(extra="ignore")
    sha256: str


class ExportedCheckpoint(Record):
    """The checkpoint of an ONNX export: the hashes of its files by name."""

    model_config = ConfigDict(extra="ignore")
    sha256: dict[str, str] = Field(default_factory=dict)


class ExportManifest(Record):
    """The part of an export's `caan_export.json` that a push reads."""

    model_config = ConfigDict(extra="ignore")
    dtype: str = "fp32"
    opset: int | None = None
    files: dict[str, ExportedFile] = Field(default_factory=dict)
    checkpoint: ExportedCheckpoint = ExportedCheckpoint()


def build_model_repository(checkpoint: Path, repo_id: str, folder: Path, options: PushOptions) -> list[str]:
    """Fill an empty folder with the files of the repository.

    A published folder is copied without changes, except that its card, record and metrics name `repo_id`; ONNX graphs
    may be added to it.

    Args:
        checkpoint: Folder of a checkpoint or of a published model.
        repo_id: Repository that the examples of the card name.
        folder: An empty folder.
        options: See [`PushOptions`].

    Returns:
        Notes for the user, one sentence each.

    Raises:
        CaanError: The checkpoint, the results or the ONNX folder cannot be used, or nothing can be written.
    """
    if options.max_shard_size is not None and not SIZE.fullmatch(options.max_shard_size):
        raise CaanError(f"--max-shard-size {options.max_shard_size}: not a size. Use KB, MB, GB or TB, such as 500MB.")
    graphs = _read_onnx(options.onnx, checkpoint) if options.onnx else None
    if is_published(checkpoint):
        _require_no_build_options(checkpoint, options)
        notes = copy_published(checkpoint, repo_id, folder)
    else:
        notes = _build(checkpoint, repo_id, folder, options, graphs)
    if options.onnx:
        shutil.rmtree(folder / ONNX_FOLDER, ignore_errors=True)
        notes += copy_kept(options.onnx, folder / ONNX_FOLDER, f"{ONNX_FOLDER}/")
    return notes


def _require_no_build_options(checkpoint: Path, options: PushOptions) -> None:
    given = [name for name in BUILD_OPTIONS if getattr(options, name) not in (None, False)]
    given += ["no-figure"] if options.figure is False else []
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise CaanError(
            f"{checkpoint}: a published folder is pushed without changes, so {names} cannot be used. Edit its files, "
            f"or build it again from the checkpoint with {names} --dry-run --out {checkpoint}."
        )


def _build(checkpoint: Path, repo_id: str, folder: Path, options: PushOptions, graphs: OnnxGraphs | None) -> list[str]:
    results = read_results(options.results) if options.results else None
    record = record_of_recipe(options.recipe) if options.recipe else read_training_record(checkpoint)
    model, processor = _load(checkpoint, with_text=options.with_text)
    if options.dtype:
        model.to(getattr(torch, options.dtype))
    save_published(model, processor, folder, max_shard_size=options.max_shard_size or MAX_SHARD_SIZE)
    notes = []
    if record:
        write_record(record.model_copy(update={"repo_id": repo_id}), folder)
    else:
        notes.append(f"{checkpoint} has no record of its training. Pass --recipe FILE to describe it in the card.")
    has_figure = False
    if options.results and results:
        write_public_metrics(options.results, repo_id, folder)
        has_figure, note = _add_figure(options.results.with_name(FIGURE_FILE), options.figure, results, folder)
        notes += [note] if note else []
    card = model_card(
        repo_id,
        model,
        record=record,
        results=results,
        figure=FIGURE_FILE if has_figure else None,
        onnx=graphs,
        license=options.license,
    )
    card.save(folder / CARD)
    return notes


def _load(checkpoint: Path, *, with_text: bool) -> tuple[CaanModel, CaanProcessor]:
    model, processor = load_checkpoint(str(checkpoint))
    if not with_text:
        return model, processor.drop_text()
    model = AutoModel.from_pretrained(checkpoint, use_safetensors=True, trust_remote_code=False)
    if model.config.text_config is None:
        raise CaanError(f"{checkpoint}: has no text tower. Use a checkpoint-N of the run, or omit --with-text.")
    return model.eval(), AutoProcessor.from_pretrained(checkpoint, trust_remote_code=False)


def _add_figure(figure: Path, wanted: bool | None, results: Results, folder: Path) -> tuple[bool, str | None]:
    """Copy the retrieval grid; return whether it was copied, and a note for the user."""
    if wanted is False:
        return False, None
    if not figure.is_file():
        if wanted:
            raise CaanError(f"{figure}: no such file. `caan evaluate` writes it beside {METRICS_FILE}.")
        return False, None
    if wanted is None and restriction(results.protocol):
        return False, (
            f"{figure.name} is left out because it shows photos of {results.benchmark}, which may not be shared "
            "freely. Pass --figure to include it."
        )
    shutil.copyfile(figure, folder / FIGURE_FILE)
    return True, None


def _read_onnx(folder: Path, checkpoint: Path) -> OnnxGraphs:
    """Read an export after checking that its files are complete and come from the weights of the checkpoint."""
    if not (folder / ONNX_MANIFEST).is_file():
        raise CaanError(f"{folder}: no {ONNX_MANIFEST}. Give the folder that `caan-export onnx` wrote.")
    manifest = ExportManifest.read(folder / ONNX_MANIFEST, "Export the model again.")
    graphs = tuple(path.name for path in sorted(folder.glob("*.onnx")))
    if not graphs:
        raise CaanError(f"{folder}: contains no .onnx file. Export the model again.")
    for name, entry in manifest.files.items():
        file = folder / Path(name).name
        if not _has_sha256(file, entry.sha256):
            raise CaanError(f"{file}: missing or changed after the export. Export the model again.")
    for name, sha256 in manifest.checkpoint.sha256.items():
        if name.endswith(".safetensors") and not _has_sha256(checkpoint / Path(name).name, sha256):
            raise CaanError(f"{folder}: was exported from other weights than those in {checkpoint}. Export these.")
    return OnnxGraphs(graphs, manifest.dtype, manifest.opset)


def _has_sha256(file: Path, sha256: str) -> bool:
    return file.is_file() and sha256_of(file) == sha256
