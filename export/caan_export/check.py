"""Verifies an exported folder: the hashes of its files, and the outputs of its graphs compared with those of torch."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caan_hf.encoding.encoder import Encoder
from caan_hf.encoding.features import PLURAL, Modality
from caan_hf.encoding.preprocessing import Preprocessing
from caan_hf.errors import CaanError, first_line
from caan_hf.images_caan import clean_photo
from caan_hf.sketches_caan import clean_sketch

from .manifest import EXPORT_AGAIN, LATE_INTERACTION, MANIFEST, REFERENCE, RELATION, Difference, Manifest
from .options import CheckOptions
from .runtime import ENCODER_OF, CaanOnnx, open_unchanged
from .session import choose_providers

INPUTS: tuple[tuple[Modality, str], ...] = (
    ("sketch", "noise"),
    ("sketch", "sketches"),
    ("photo", "noise"),
    ("photo", "photos"),
)
"""Kinds of pictures on which each encoder is compared."""
DRAWN = ("tent", "cat", "mug", "fish", "house", "car", "tent", "cat")
"""Objects in the drawn sketches and photos."""
BATCH_SIZES = (1, 3, 8)
PAIRS = ((1, 1), (1, 8), (3, 8), (8, 3), (8, 8))
ATOL = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.15}
"""Largest absolute difference that is accepted by default, in components of unit vectors."""

Reference = dict[str, np.ndarray]
"""Pictures and an encoder's outputs, as `reference.npz` holds them: `picture/KIND` (8, H, W, 3) uint8,
`answer/GRAPH/KIND/OUTPUT` (8, ...) float32, and `local_scores` (8, 8) float32 of the sketches with the photos."""


@dataclass(frozen=True)
class CheckResult:
    """Result of a check.

    Attributes:
        differences: Differences of all outputs.
        reference: What the graphs were compared with.
        providers: The provider that ran each graph.
    """

    differences: list[Difference]
    reference: str
    providers: dict[str, str]


def check_export(folder: str | Path, checkpoint: str | None = None, options: CheckOptions | None = None) -> CheckResult:
    """Check the hashes of the files, validate the graphs and compare their outputs with those of torch.

    A file that was damaged in the Hub's cache is downloaded once more.

    Args:
        folder: Exported folder, or id of a repository on the Hub.
        checkpoint: Folder or Hub id of the exported checkpoint, which torch then runs again. By default the graphs are
            compared with the outputs that were recorded at the export, without torch.
        options: See [`CheckOptions`].

    Raises:
        CaanError: A check fails; the message names the first failure.
    """
    options = options or CheckOptions()
    check_atol(options.atol)
    choose_providers(options.providers)  # before anything is downloaded
    export = open_unchanged(folder)
    atol = options.atol if options.atol is not None else _recorded_limit(export.path, export.manifest)
    onnx = CaanOnnx.from_pretrained(export.path, options.providers)
    with suppress(ModuleNotFoundError):  # onnx is optional where graphs are only run
        check_graphs(export.path, export.manifest.graphs)
    if checkpoint is None:
        reference, source = _recorded(export.path), "the outputs of torch, recorded at the export"
    else:
        reference, source = _reference_of(checkpoint, onnx, options.revision), f"torch, with {checkpoint}"
    differences = measure_parity(onnx, reference, atol)
    require_parity(differences)
    return CheckResult(differences, source, onnx.providers)


def check_graphs(folder: Path, graphs: Iterable[str]) -> None:
    """Run the ONNX checker, with shape inference, on each graph of a folder.

    Raises:
        CaanError: A graph is not valid.
    """
    import onnx  # noqa: PLC0415 - optional at run time

    for graph in graphs:
        file = folder / f"{graph}.onnx"
        try:
            onnx.checker.check_model(str(file), full_check=True)  # by path, as graphs above 2 GB require
        except Exception as error:  # exceptions of the checker, protobuf and shape inference
            raise CaanError(f"{file}: not a valid ONNX graph ({first_line(error)}). {EXPORT_AGAIN}") from error


def reference_answers(encoder: Encoder, preprocessing: Preprocessing) -> Reference:
    """Draw pictures, prepare them with `preprocessing` and encode them."""
    from caan_hf.benchmarks.sample import draw_object  # noqa: PLC0415 - not needed with recorded outputs

    def draw(modality: Modality, clean: Callable[[Image.Image], Image.Image]) -> np.ndarray:
        images = (draw_object(name, modality, seed=i, index=i, image_size=256) for i, name in enumerate(DRAWN))
        return np.stack([np.asarray(preprocessing.fit(clean(image))) for image in images])

    reference: Reference = {
        "picture/sketches": draw("sketch", lambda image: clean_sketch(image, preprocessing.sketch_margin)),
        "picture/photos": draw("photo", clean_photo),
    }
    shape = reference["picture/photos"].shape
    reference["picture/noise"] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for modality, kind in INPUTS:
        features = encoder.encode_prepared(preprocessing.normalise(reference[f"picture/{kind}"]), modality)
        for output, values in features._asdict().items():
            reference[_key(modality, kind, output)] = values
    reference["local_scores"] = encoder.local_scores(*_local_embeds(reference))
    return reference


def measure_parity(onnx: CaanOnnx, reference: Reference, atol: float) -> list[Difference]:
    """Differences of every output of the encoders and of the local scores, at several batch sizes.

    Args:
        onnx: The graphs.
        reference: Outputs of torch.
        atol: Largest absolute difference that is accepted for the encoders.
    """
    differences = []
    for modality, kind in INPUTS:
        pixel_values = onnx.preprocessing.normalise(reference[f"picture/{kind}"])
        for size in BATCH_SIZES:
            for output, found in onnx.encode_prepared(pixel_values[:size], modality)._asdict().items():
                expected = reference[_key(modality, kind, output)][:size]
                place = {"graph": ENCODER_OF[modality], "output": output, "inputs": kind, "batch": str(size)}
                inked = expected.any(axis=-1)
                cosine = float((found * expected).sum(-1)[inked].min(initial=1.0))
                differences.append(_difference(place, found, expected, atol, cosine))
    return differences + _local_differences(onnx, reference, atol)


def _local_differences(onnx: CaanOnnx, reference: Reference, atol: float) -> list[Difference]:
    """Differences of the local scores of the drawn sketches and photos.

    The graph of a relation network gets the local embeddings of torch. It is always in float32, so the limit of fp32
    applies. Late interaction gets those of the graphs, because there is no graph of its own to compare.
    """
    if onnx.export.manifest.local_matching == RELATION:
        place = {"graph": RELATION, "output": "relation_logits", "inputs": "pairs"}
        sketches, photos = _local_embeds(reference)
        atol = atol if onnx.export.manifest.dtype == "fp32" else min(atol, ATOL["fp32"])
    else:
        place = {"graph": LATE_INTERACTION, "output": "local_scores", "inputs": "pictures"}
        sketches, photos = (_encoded_drawings(onnx, reference, modality) for modality in ENCODER_OF)
    differences = []
    for rows, columns in PAIRS:
        expected = reference["local_scores"][:rows, :columns]
        allowed = atol * max(1.0, float(np.abs(expected).max()))
        found = onnx.local_scores(sketches[:rows], photos[:columns])
        differences.append(_difference({**place, "batch": f"{rows} x {columns}"}, found, expected, allowed))
    return differences


def check_atol(atol: float | None) -> None:
    """Check that the option `--atol` is a positive number, if it is given.

    Raises:
        CaanError: It is not.
    """
    if atol is not None and not 0 < atol < np.inf:
        raise CaanError(f"--atol {atol}: must be positive and finite")


def require_parity(differences: Iterable[Difference]) -> None:
    """Check that no output differs from torch by more than is allowed.

    Raises:
        CaanError: An output does; the message names the worst one.
    """
    failed = [difference for difference in differences if not difference.passed]
    if failed:
        worst = max(failed, key=lambda difference: np.nan_to_num(difference.largest / difference.allowed, nan=np.inf))
        name = worst.graph if worst.graph == LATE_INTERACTION else f"{worst.graph}.onnx"
        raise CaanError(
            f"{name}: {worst.output} differs from torch by {worst.largest:.2g} on {worst.inputs} at batch "
            f"size {worst.batch}; {worst.allowed:.2g} is allowed. Choose another --dtype, or raise --atol."
        )


def _key(modality: Modality, kind: str, output: str) -> str:
    return f"answer/{ENCODER_OF[modality]}/{kind}/{output}"


def _local_embeds(reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Local embeddings (8, M, R) of the drawn sketches and photos."""
    return reference[_key("sketch", "sketches", "local_embeds")], reference[_key("photo", "photos", "local_embeds")]


def _encoded_drawings(onnx: CaanOnnx, reference: Reference, modality: Modality) -> np.ndarray:
    """Local embeddings (8, M, R) that a graph gives the drawn sketches or photos."""
    pixel_values = onnx.preprocessing.normalise(reference[f"picture/{PLURAL[modality]}"])
    local = onnx.encode_prepared(pixel_values, modality).local_embeds
    assert local is not None
    return local


def _difference(
    place: dict[str, Any], found: np.ndarray, expected: np.ndarray, allowed: float, cosine: float | None = None
) -> Difference:
    """The largest absolute difference; at least 1 if the two differ in which regions have ink (nonzero tokens)."""
    largest = np.abs(found - expected).max()
    if (found.any(axis=-1) != expected.any(axis=-1)).any():
        largest = np.maximum(largest, 1)
    return Difference(**place, largest=float(largest), allowed=allowed, cosine=cosine)


def _recorded_limit(folder: Path, manifest: Manifest) -> float:
    """The limit that the export accepted, which must not exceed the default for its precision."""
    recorded, usual = manifest.parity.atol, ATOL[manifest.dtype]
    if recorded > usual:
        raise CaanError(
            f"{folder / MANIFEST}: the export accepted differences from torch of up to {recorded:g}; the default for "
            f"{manifest.dtype} is {usual:g}. Pass --atol {recorded:g} to accept them again."
        )
    return recorded


def _recorded(folder: Path) -> Reference:
    try:
        with np.load(folder / REFERENCE, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # a damaged archive raises exceptions of many classes
        raise CaanError(f"{folder / REFERENCE}: cannot be read ({first_line(error)}). {EXPORT_AGAIN}") from error


def _reference_of(checkpoint: str, onnx: CaanOnnx, revision: str | None) -> Reference:
    """The outputs of torch with the checkpoint that was exported."""
    try:
        from .source import Source, full_float32  # noqa: PLC0415 - torch
    except ImportError as error:
        raise CaanError(
            f"{checkpoint}: comparing with a checkpoint needs {error.name}. Leave CHECKPOINT out to compare with the "
            "recorded outputs."
        ) from error
    source = Source.find(checkpoint, revision)
    encoder = source.load()
    if encoder.identity.difference(onnx.identity) is not None:  # it may have been exported with --image-size
        encoder = source.load(onnx.identity.image_size)
    if (difference := encoder.identity.difference(onnx.identity)) is not None:
        raise CaanError(
            f"{checkpoint}: {onnx.export.path} was exported from another checkpoint ({difference}). Give that "
            "checkpoint, or export again."
        )
    with full_float32():
        return reference_answers(encoder, onnx.preprocessing)
