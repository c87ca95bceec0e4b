"""A checkpoint to a folder of verified ONNX graphs: whole and right, or not there at all."""

import copy
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from caan_hf.errors import CaanError

from .agreement import (
    MAX_MAP_DIFFERENCE,
    MIN_OVERLAP,
    Agreement,
    load_split,
    measure_agreement,
    require_agreement,
)
from .ask_torch import ask_torch
from .check import check_graphs
from .graphs import DEFAULT_OPSET, OPSETS, write_graphs
from .manifest import (
    BRANCHES,
    CONFIG,
    FORMAT,
    MANIFEST,
    PREPROCESSING,
    RELATION,
    file_entries,
    write_manifest,
)
from .parity import ATOL, Difference, measure_parity, require_parity, summary
from .preprocessing import Preprocessing
from .providers import choose_providers
from .runtime import CaanOnnx
from .settings import preprocessing_of
from .source import Source, find_checkpoint
from .staging import check_out_dir, staged

DType = Literal["fp32", "fp16", "int8"]
PACKAGES = ("caan-hf", "torch", "transformers", "timm", "onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        dtype: precision of the encoders. The relation network stays in float32: it is small, and in half precision
            its logits would tie.
        opset: of the graphs.
        atol: greatest difference to torch; by default that of the dtype in `parity.ATOL`.
        device: `cpu` or `cuda`: where torch traces and answers, and which provider the graphs are verified with.
        image_size: height and width in pixels, where it is to be another than the checkpoint's.
        eval_data: a prepared benchmark to compare rankings on.
        eval_split: which split of it.
        min_overlap: least share of the ten best photos that torch finds too.
        max_map_difference: greatest difference in mAP@all.
        overwrite: replace an exported folder.
    """

    dtype: DType = "fp32"
    opset: int = DEFAULT_OPSET
    atol: float | None = None
    device: str = "cpu"
    image_size: int | None = None
    eval_data: Path | None = None
    eval_split: str = "test"
    min_overlap: float = MIN_OVERLAP
    max_map_difference: float = MAX_MAP_DIFFERENCE
    overwrite: bool = False


@dataclass(frozen=True)
class Exported:
    """What an export gave: the folder, how far its answers are from torch's, and its sizes in bytes."""

    folder: Path
    differences: list[Difference]
    agreement: Agreement | None
    sizes: dict[str, int]


def export_checkpoint(
    checkpoint: str,
    out_dir: Path,
    options: ExportOptions,
    *,
    revision: str | None = None,
    say: Callable[[str], object] = lambda stage: None,
) -> Exported:
    """Export the branches of a CAAN, verify them against torch, and only then put the folder in place.

    Args:
        checkpoint: a folder, or the id of a model on the Hub.
        out_dir: the folder to be.
        options: how.
        revision: branch, tag or commit on the Hub.
        say: is told what is being done.

    Raises:
        CaanError: bad input, a tower that cannot be exported, or graphs that do not answer as torch does.
    """
    _check_options(options)
    check_out_dir(out_dir, MANIFEST, overwrite=options.overwrite)
    providers = choose_providers([options.device])
    split = load_split(options.eval_data, options.eval_split) if options.eval_data is not None else None
    say("loading the checkpoint")
    source = find_checkpoint(checkpoint, revision)
    model, processor = source.load(options.image_size)
    preprocessing = preprocessing_of(processor)
    _check_size(preprocessing, model.config.image_size, source.name)
    model.to(options.device)
    with staged(out_dir, MANIFEST, overwrite=options.overwrite) as folder:
        say("tracing the branches")
        content = _write(model, preprocessing, folder, options, source)
        say("comparing with torch")
        check_graphs(folder)
        caan = CaanOnnx.from_pretrained(folder, providers)
        reference = ask_torch(model, preprocessing)
        reference.save(folder)
        atol = options.atol if options.atol is not None else ATOL[options.dtype]
        differences = measure_parity(caan, reference, atol)
        require_parity(differences)
        content["parity"] = {
            "atol": atol,
            "provider": caan.providers["photo_encoder"],
            "greatest": summary(differences),
            "differences": [difference.as_row() for difference in differences],
        }
        agreement = None
        if split is not None:
            say("comparing what is retrieved")
            agreement = measure_agreement(split, model, processor, caan)
            require_agreement(agreement, options.min_overlap, options.max_map_difference)
            content["agreement"] = agreement.as_row()
        content["files"] = _files(folder)
        write_manifest(folder, content)
    return Exported(out_dir, differences, agreement, {name: entry["bytes"] for name, entry in content["files"].items()})


def _write(
    model: torch.nn.Module, preprocessing: Preprocessing, folder: Path, options: ExportOptions, source: Source
) -> dict[str, Any]:
    """Everything but the verdict; the manifest is complete enough for the runtime to open the folder."""
    preprocessing.save(folder / PREPROCESSING)
    config = model.config.to_json_string(use_diff=True)
    (folder / CONFIG).write_text(config, encoding="utf-8")
    traced = copy.deepcopy(model)
    image_size = model.config.image_size
    graphs = write_graphs(traced, folder, opset=options.opset, image_size=image_size, dtype=options.dtype)
    for branch in BRANCHES:
        graphs[branch]["dtype"] = "fp32" if branch == RELATION else options.dtype
    content = {
        "format": FORMAT,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "checkpoint": source.fingerprint(),
        "opset": options.opset,
        "dtype": options.dtype,
        "image_size": image_size,
        "graphs": graphs,
        "agreement": None,
    }
    content["files"] = _files(folder)
    write_manifest(folder, content)
    return content


def _check_size(preprocessing: Preprocessing, image_size: int, name: str) -> None:
    """Whatever its sides, a picture has to come out as the square that the graphs take."""
    for shape in ((8, 8, 3), (8, 12, 3), (12, 8, 3)):
        _, height, width = preprocessing.photo(np.zeros(shape, np.uint8)).shape
        if (height, width) != (image_size, image_size):
            raise CaanError(
                f"{name}: its processor makes pictures of {height} x {width} pixels, its model takes {image_size} x "
                f"{image_size}; pass --image-size, which sets both"
            )


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    return file_entries(folder, [file.name for file in folder.iterdir() if file.name != MANIFEST])


def _check_options(options: ExportOptions) -> None:
    lowest, highest = OPSETS
    if not lowest <= options.opset <= highest:
        raise CaanError(f"--opset {options.opset}: the exporter writes opsets {lowest} to {highest}")
    if options.atol is not None and not options.atol > 0:
        raise CaanError(f"--atol {options.atol}: it must be above 0")
    if options.image_size is not None and options.image_size < 1:
        raise CaanError(f"--image-size {options.image_size}: it must be at least 1 pixel")
    if options.device not in ("cpu", "cuda"):
        raise CaanError(f"--device {options.device}: choose cpu or cuda")
    if options.dtype == "int8" and options.device != "cpu":
        raise CaanError("--dtype int8 with --device cuda: CUDA has no such operators; use fp16 on a GPU")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise CaanError("--device cuda: torch finds no GPU here; use --device cpu")
