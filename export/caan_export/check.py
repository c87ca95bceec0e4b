"""Verifies an exported folder: the hashes of its files, the graphs, and their answers on this machine."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from caan_hf.errors import CaanError, first_line

from .manifest import CONFIG, EXPORT_AGAIN, GRAPHS, MANIFEST, REFERENCE, Difference, ExportedFolder
from .options import CheckOptions
from .parity import ATOL, Reference, measure_parity, require_parity
from .providers import choose_providers
from .runtime import CaanOnnx, export_folder


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
    """Check the hashes of the files and the graphs, and compare their answers with those of torch.

    Args:
        folder: Exported folder, or id of a repository on the Hub.
        checkpoint: Folder or Hub id of the exported checkpoint, which is then evaluated with torch. By default the
            answers are used that were recorded at the export, without torch.
        options: See [`CheckOptions`].

    Raises:
        CaanError: A check fails; the message names the first failure.
    """
    options = options or CheckOptions()
    choose_providers(options.providers)  # before anything is downloaded
    export = ExportedFolder.open(export_folder(folder))
    export.require_unchanged()
    atol = _allowed_difference(export, options.atol)
    onnx = CaanOnnx.from_pretrained(export.path, options.providers)
    with suppress(ModuleNotFoundError):  # onnx is optional where graphs are only run
        check_graphs(export.path)
    if checkpoint is None:
        reference, source = Reference.load(export.path), "torch's answers, recorded at the export"
    else:
        reference, source = _reference_of(checkpoint, onnx, options.revision), f"torch, with {checkpoint}"
    differences = measure_parity(onnx, reference, atol)
    require_parity(differences)
    return CheckResult(differences, source, onnx.providers)


def check_graphs(folder: Path) -> None:
    """Run the ONNX checker, with shape inference, on each graph.

    Raises:
        CaanError: A graph is not valid.
    """
    import onnx  # noqa: PLC0415 - optional at run time

    for graph in GRAPHS:
        file = folder / f"{graph}.onnx"
        try:
            onnx.checker.check_model(str(file), full_check=True)  # by path, as graphs above 2 GB require
        except Exception as error:  # exceptions of the checker, protobuf and shape inference
            raise CaanError(f"{file}: not a valid ONNX graph ({first_line(error)}). {EXPORT_AGAIN}") from error


def _allowed_difference(export: ExportedFolder, atol: float | None) -> float:
    """The recorded limit, which may exceed the default for the precision only if the caller passes `atol`."""
    file, manifest = export.path / MANIFEST, export.manifest
    missing = [name for name in (REFERENCE, CONFIG) if name not in manifest.files]
    if missing or manifest.parity is None:
        raise CaanError(f"{file}: does not list {', '.join(missing) or 'parity'}. {EXPORT_AGAIN}")
    if atol is not None:
        return atol
    recorded, usual = manifest.parity.atol, ATOL[manifest.dtype]
    if recorded > usual:
        raise CaanError(
            f"{file}: the export accepted differences from torch of up to {recorded:g}; the default for "
            f"{manifest.dtype} is {usual:g}. Pass --atol {recorded:g} to accept them again."
        )
    return recorded


def _reference_of(checkpoint: str, onnx: CaanOnnx, revision: str | None) -> Reference:
    """The answers of the checkpoint that was exported."""
    try:
        from .source import Source, full_float32  # noqa: PLC0415 - torch
    except ImportError as error:
        raise CaanError(
            f"{checkpoint}: comparing with a checkpoint needs {error.name}. Leave CHECKPOINT out to compare with the "
            "recorded answers."
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
        return Reference.of_encoder(encoder, onnx.preprocessing)
