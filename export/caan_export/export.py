"""Exports a checkpoint to a folder of ONNX graphs, which is written only if the graphs pass the verification."""

import copy
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from caan_hf.benchmarks.sample import draw_object
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.preprocessing import Preprocessing
from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import check_out_dir, staged_folder, write_whole_text
from caan_hf.utils.installation import versions

from .agreement import load_split, measure_agreement, require_agreement
from .check import ATOL, check_atol, check_graphs, measure_parity, reference_answers, require_parity
from .graphs import OPSETS, write_graphs
from .manifest import CONFIG, HUB_BANK, MANIFEST, PREPROCESSING, REFERENCE, Manifest, Parity, file_entries
from .options import ExportOptions
from .runtime import CaanOnnx
from .session import choose_providers, name_of
from .source import Source, full_float32

PACKAGES = ("caan-hf", "torch", "transformers", "timm", "onnx", "onnxruntime", "onnxscript")
MAX_GREY_LEVELS = 1.0
"""Difference between the resizing of torchvision and PIL, which round differently."""
MAX_RARE_GREY_LEVELS = 2.0
RARE = 1e-3
"""Share of pixel values that may differ by more than MAX_GREY_LEVELS."""
TOLERANCE = 1e-3
NOISE_SIZES = ((300, 200), (97, 210), (64, 64), (31, 45))


def export_checkpoint(
    checkpoint: str,
    out_dir: Path,
    options: ExportOptions | None = None,
    *,
    report: Callable[[str], object] = lambda stage: None,
) -> Manifest:
    """Export a CAAN and verify the graphs against torch.

    Args:
        checkpoint: Folder, or id of a model on the Hub.
        out_dir: Folder to write. It appears only if the export succeeds.
        options: See [`ExportOptions`].
        report: Called with the name of each stage.

    Returns:
        The manifest, with the differences from torch and the sizes of the files.

    Raises:
        CaanError: An option is not valid, a tower cannot be exported, or the outputs of the graphs differ from torch.
    """
    options = options or ExportOptions()
    _check_options(options)
    check_out_dir(out_dir, MANIFEST, overwrite=options.overwrite)
    providers = choose_providers([options.device])
    split = load_split(options.eval_data, options.eval_split) if options.eval_data is not None else None
    report("loading the checkpoint")
    source = Source.find(checkpoint, options.revision)
    encoder = source.load(options.image_size, options.device)
    preprocessing = preprocessing_of(encoder, source.name)
    config = encoder.model.config
    with staged_folder(out_dir, MANIFEST, overwrite=options.overwrite) as folder:
        report("exporting the graphs")
        preprocessing.write(folder / PREPROCESSING)
        write_whole_text(folder / CONFIG, config.to_json_string(use_diff=True))
        if encoder.hub_sketches is not None:
            np.savez(folder / HUB_BANK, sketches=encoder.hub_sketches)
        graphs = write_graphs(copy.deepcopy(encoder.model), folder, opset=options.opset, dtype=options.dtype)
        check_graphs(folder, graphs)
        report("comparing with torch")
        with full_float32():
            reference = reference_answers(encoder, preprocessing)
        np.savez_compressed(folder / REFERENCE, **reference)  # type: ignore[arg-type]
        atol = options.atol if options.atol is not None else ATOL[options.dtype]
        manifest = Manifest(
            versions={"python": platform.python_version(), **versions(PACKAGES)},
            checkpoint=source.entry(),
            identity=encoder.identity,
            training=encoder.training_data,
            opset=options.opset,
            dtype=options.dtype,
            local_matching=config.local_matching,  # type: ignore[arg-type]
            local_position_weight=config.local_position_weight,
            hub_weight=config.hub_weight,
            expand=config.expand,
            local_weight=config.local_weight,
            graphs=graphs,
            files=file_entries(folder),
            parity=Parity(atol=atol, provider=name_of(providers[0]), differences=()),
        )
        manifest.write(folder / MANIFEST)  # which the runtime reads
        onnx = CaanOnnx.from_pretrained(folder, providers)
        differences = measure_parity(onnx, reference, atol)
        require_parity(differences)
        agreement = None
        if split is not None:
            report("comparing retrieval results")
            agreement = measure_agreement(split, encoder, onnx)
            require_agreement(agreement, options.min_overlap, options.max_map_difference)
        parity = manifest.parity.model_copy(update={"differences": tuple(differences)})
        manifest = manifest.model_copy(update={"parity": parity, "agreement": agreement})
        manifest.write(folder / MANIFEST)
    return manifest


def preprocessing_of(encoder: CheckpointEncoder, name: str) -> Preprocessing:
    """The settings with which numpy and PIL prepare pictures as the checkpoint's processor does with torch.

    Args:
        encoder: The checkpoint.
        name: What error messages call it.

    Raises:
        CaanError: The processor does something that is not supported without torch, has unusable settings, or prepares
            pictures of another size than the model's.
    """
    kind = type(encoder.processor.image_processor).__name__
    try:
        preprocessing = Preprocessing.of_processor(encoder.processor)
        preprocessing.require_size(
            encoder.model.config.image_size, f"{name}: its processor", "Pass --image-size, which sets both."
        )
        largest, share = grey_level_difference(encoder, preprocessing)
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CaanError(f"{name}: its {kind} cannot be exported ({first_line(error)})") from error
    if largest > MAX_RARE_GREY_LEVELS + TOLERANCE or share > RARE:
        raise CaanError(
            f"{name}: its {kind} cannot be exported. It prepares pictures in a way that is not supported without torch "
            f"(they differ by up to {largest:.1f} grey levels)."
        )
    return preprocessing


def grey_level_difference(encoder: CheckpointEncoder, preprocessing: Preprocessing) -> tuple[float, float]:
    """Largest difference in grey levels, and the share of pixel values that differ by more than MAX_GREY_LEVELS.

    The pictures are drawings and noise, which is the worst case, enlarged and reduced.
    """
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in NOISE_SIZES]
    pictures += [draw_object("tent", modality, seed=0, index=0, image_size=96) for modality in ("photo", "sketch")]
    levels = np.asarray(preprocessing.std)[:, None, None] / preprocessing.scale  # (3, 1, 1)
    differences = []
    for picture in pictures:
        expected, found = encoder.prepare(picture, "photo"), preprocessing.photo(picture)
        if found.shape != expected.shape:
            return float("inf"), 1.0
        differences.append((np.abs(found - expected) * levels).ravel())
    together = np.concatenate(differences)
    return float(together.max()), float((together > MAX_GREY_LEVELS + TOLERANCE).mean())


def _check_options(options: ExportOptions) -> None:
    lowest, highest = OPSETS
    if not lowest <= options.opset <= highest:
        raise CaanError(f"--opset {options.opset}: choose an opset from {lowest} to {highest}")
    check_atol(options.atol)
    if options.dtype == "int8" and options.device != "cpu":
        raise CaanError("--dtype int8 cannot be combined with --device cuda. Choose --dtype fp16 for a GPU.")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise CaanError("--device cuda: torch finds no GPU. Choose --device cpu.")
