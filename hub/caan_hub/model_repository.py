"""Build the folder of a model repository from a checkpoint."""

import re
import shutil
from pathlib import Path

import torch
from caan_export.manifest import MANIFEST, ExportedFolder

from caan_hf import CaanConfig, CaanModel, CaanProcessor
from caan_hf.encoding.checkpoint import load_checkpoint
from caan_hf.encoding.text_encoder import TEXT_FOLDER, TextEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation.record import EvaluationRecord
from caan_hf.evaluation.report_record import METRICS_FILE, REMEDY
from caan_hf.publishing.card import OnnxGraphs, model_card
from caan_hf.publishing.folder import save_published, share_weights
from caan_hf.publishing.local_matching import describe_local_matching, describe_reranking
from caan_hf.publishing.provenance import restriction
from caan_hf.publishing.results import public_results
from caan_hf.publishing.training_record import read_training_record, record_of_recipe, write_record
from caan_hf.utils.files import is_folder, sha256_of

from .options import PushOptions
from .publish import CARD
from .published_folder import copy_published, is_published

ONNX_FOLDER = "onnx"
FIGURE_FILE = "top10.png"
BUILD_OPTIONS = ("results", "recipe", "with_text", "dtype", "license", "figure", "max_shard_size")
SIZE = re.compile(r"\s*(?=.*[1-9])\d{1,9}(\.\d+)?\s*[KMGT]B\s*", re.IGNORECASE)


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
        CaanError: The checkpoint, the results or the ONNX folder cannot be used, or the folder cannot be written.
    """
    if not is_folder(checkpoint):
        raise CaanError(
            f"{checkpoint}: no such folder. Give the folder of a checkpoint. A model on the Hub has to be downloaded "
            "first: `hf download OWNER/MODEL --local-dir FOLDER`."
        )
    export = _open_export(options.onnx, checkpoint) if options.onnx else None
    if is_published(checkpoint):
        _require_no_build_options(checkpoint, options)
        notes = copy_published(checkpoint, repo_id, folder)
    else:
        notes = _build(checkpoint, repo_id, folder, options, export)
    config = CaanConfig.from_pretrained(folder)
    notes.append(f"Local matching: {describe_local_matching(config)}. Re-ranking: {describe_reranking(config)}.")
    if export:
        shutil.rmtree(folder / ONNX_FOLDER, ignore_errors=True)
        (folder / ONNX_FOLDER).mkdir()
        for name in (MANIFEST, *export.manifest.files):
            shutil.copyfile(export.path / name, folder / ONNX_FOLDER / name)
    return notes


def _require_no_build_options(checkpoint: Path, options: PushOptions) -> None:
    defaults = PushOptions()
    given = [name for name in BUILD_OPTIONS if getattr(options, name) != getattr(defaults, name)]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise CaanError(
            f"{checkpoint}: a published folder is pushed without changes, so {names} cannot be used. Edit its files, "
            "or build it again from the checkpoint with --dry-run."
        )


def _build(
    checkpoint: Path, repo_id: str, folder: Path, options: PushOptions, export: ExportedFolder | None
) -> list[str]:
    if not SIZE.fullmatch(options.max_shard_size):
        raise CaanError(f"--max-shard-size {options.max_shard_size}: not a size. Use KB, MB, GB or TB, such as 500MB.")
    results = EvaluationRecord.read(options.results, REMEDY) if options.results else None
    record = record_of_recipe(options.recipe) if options.recipe else read_training_record(checkpoint)
    model, processor = _load(checkpoint, with_text=options.with_text)
    if options.dtype:
        model.to(getattr(torch, options.dtype))
    save_published(model, processor, folder, max_shard_size=options.max_shard_size)
    notes = _copy_text_side(checkpoint, folder)
    if record:
        write_record(record.model_copy(update={"repo_id": repo_id}), folder)
    else:
        notes.append(f"{checkpoint} has no record of its training. Pass --recipe FILE to describe it in the card.")
    if options.results and results:
        public_results(results, repo_id).write(folder / METRICS_FILE)
        notes += _add_figure(options.results.with_name(FIGURE_FILE), options.figure, results.protocol or "", folder)
    card = model_card(
        repo_id,
        model,
        record=record,
        results=results,
        figure=FIGURE_FILE if (folder / FIGURE_FILE).is_file() else None,
        onnx=_graphs(export) if export else None,
        license=options.license,
    )
    card.save(folder / CARD)
    return notes


def _copy_text_side(checkpoint: Path, folder: Path) -> list[str]:
    """Copy the text side of a model, if it has one whose tower others can load; return a note for the user if not."""
    if not (checkpoint / TEXT_FOLDER).is_dir():
        return []
    text = TextEncoder.load(checkpoint)
    if text.settings.tower is None:
        return [f"{TEXT_FOLDER} is left out because its text tower has no name on the Hub."]
    text.save(folder)
    share_weights(folder)
    return []


def _load(checkpoint: Path, *, with_text: bool) -> tuple[CaanModel, CaanProcessor]:
    model, processor = load_checkpoint(str(checkpoint), with_text=with_text)
    if not with_text:
        return model, processor.drop_text()
    if model.config.text_config is None:
        raise CaanError(f"{checkpoint}: has no text tower. Use a checkpoint-N of the run, or omit --with-text.")
    return model, processor


def _add_figure(figure: Path, wanted: bool | None, protocol: str, folder: Path) -> list[str]:
    """Copy the retrieval grid, unless it may not be shared; return a note for the user if it was left out."""
    if wanted and not figure.is_file():
        raise CaanError(f"{figure}: no such file. `caan evaluate` writes it beside {METRICS_FILE}.")
    if wanted is False or not figure.is_file():
        return []
    if wanted is None and restriction(protocol):
        return [
            f"{figure.name} is left out because it shows photos of {protocol}, which may not be shared freely. Pass "
            "--figure to include it."
        ]
    shutil.copyfile(figure, folder / FIGURE_FILE)
    return []


def _open_export(folder: Path, checkpoint: Path) -> ExportedFolder:
    """Open an export after checking that its files are unchanged and come from the weights of the checkpoint."""
    export = ExportedFolder.open(folder)
    export.require_unchanged()
    for name, sha256 in export.manifest.checkpoint.sha256.items():
        file = checkpoint / name
        if name.endswith(".safetensors") and not (file.is_file() and sha256_of(file) == sha256):
            raise CaanError(
                f"{folder}: was exported from other weights than those in {checkpoint}. Export {checkpoint} again."
            )
    return export


def _graphs(export: ExportedFolder) -> OnnxGraphs:
    manifest = export.manifest
    return OnnxGraphs(tuple(f"{graph}.onnx" for graph in manifest.graphs), manifest.dtype, manifest.opset)
